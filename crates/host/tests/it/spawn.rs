use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nkudo_host::pidfd::Signal;
use nkudo_host::process;
use nkudo_host::spawn::{Exit, SpawnError, detached};

use crate::children::{idle, null, program, shell, soon, start};

#[tokio::test]
async fn the_end_is_told_as_it_was() {
    let mut by_itself = shell("exit 42");
    let exit = soon("the end", by_itself.exited()).await;
    assert_eq!(
        (exit.code, exit.signal, exit.to_string().as_str()),
        (Some(42), None, "exited with status 42")
    );
    assert_eq!(by_itself.try_reap(), Some(exit), "told again");

    let mut killed = idle();
    assert_eq!(killed.try_reap(), None);
    killed.pidfd().signal(Signal::Kill).expect("a signal");
    let exit = soon("the end", killed.exited()).await;
    assert_eq!((exit.code, exit.signal, exit.to_string().as_str()), (None, Some(9), "killed by signal 9"));
    assert_eq!(Exit { code: None, signal: None }.to_string(), "ended, it is not known how");
}

#[tokio::test]
async fn the_child_gets_what_it_was_given_and_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let env = [("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "1".into())];
    let mut what = program("env", &[]);
    what.stdout = fs::File::create(&out).expect("a file");
    what.env = &env;
    assert_eq!(soon("the end", start(what).exited()).await.code, Some(0));
    let mut lines: Vec<String> =
        fs::read_to_string(&out).expect("its output").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["A=1", "PATH=/usr/bin:/bin"]);

    let args = ["-c".into(), "pwd; ls /proc/self/fd".into()];
    let listing = async || {
        let mut what = program("/bin/sh", &args);
        what.stdout = fs::File::create(&out).expect("a file");
        what.cwd = directory.path();
        assert_eq!(soon("the end", start(what).exited()).await.code, Some(0));
        fs::read_to_string(&out).expect("its output")
    };
    let before = listing().await;
    assert!(before.starts_with(&format!("{}\n0\n1\n", directory.path().display())), "{before}");
    let open_here: Vec<fs::File> = (0..5).map(|_| null()).collect();
    assert_eq!(listing().await, before, "none of our {} files", open_here.len());
}

#[test]
fn the_child_leads_its_own_process_group() {
    let child = idle();
    let pid = child.identity().pid;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
    let (group, session) = (stat.split(' ').nth(4), stat.split(' ').nth(5));
    assert_eq!((group, session), (Some(pid.to_string().as_str()), Some(pid.to_string().as_str())));
}

#[tokio::test]
async fn dropping_does_not_kill() {
    let child = detached(program("/bin/sleep", &["600".into()])).expect("it starts");
    let identity = child.identity();
    drop(child);
    assert!(process::is_alive(identity));
    let handle = nkudo_host::pidfd::PidFd::open(identity).expect("it lives");
    handle.signal(Signal::Kill).expect("a signal");
    soon("the end", handle.exited()).await;
}

#[test]
fn what_cannot_be_started_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, mode: u32, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    };
    let plain = file("plain", 0o644, "#!/bin/sh\n");
    let no_interpreter = file("script", 0o755, "#!/absent/interpreter\n");
    let check = |path: &Path, cwd: &str, expected: fn(&SpawnError) -> bool| {
        let mut what = program(path.to_str().expect("text"), &[]);
        what.cwd = Path::new(cwd);
        let error = detached(what).expect_err("it cannot start");
        assert!(expected(&error), "{path:?}: {error:?}");
        assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
    };
    check(Path::new("/absent/program"), "/", |error| matches!(error, SpawnError::Missing(_)));
    check(Path::new("no-such-program-on-any-path"), "/", |error| matches!(error, SpawnError::Missing(_)));
    check(&plain, "/", |error| matches!(error, SpawnError::NotExecutable(_)));
    check(&no_interpreter, "/", |error| matches!(error, SpawnError::Failed { .. }));
    check(Path::new("/bin/true"), "/absent", |error| matches!(error, SpawnError::Directory { .. }));
}
