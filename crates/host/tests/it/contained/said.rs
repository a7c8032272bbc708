//! What a program is given, and what it says.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nkudo_host::contained::{Captured, Contained, Groups, MARK, Owner, start};
use nkudo_host::spawn::SpawnError;

use super::{Case, run};
use crate::children::{null, soon};

fn whole(text: &str) -> Captured {
    Captured { bytes: text.into(), truncated: false }
}

#[tokio::test]
async fn the_end_is_told_as_it_was() {
    let ended = run("echo out; echo err >&2; exit 42").await;
    assert_eq!((ended.exit.code, ended.exit.signal), (Some(42), None));
    assert_eq!((ended.stdout, ended.stderr), (whole("out\n"), whole("err\n")));
    assert_eq!(ended.left, []);
    let ended = run("kill -TERM $$").await;
    assert_eq!((ended.exit.code, ended.exit.signal), (None, Some(15)));

    let case = Case::new(Groups::Any);
    let mut running = case.shell("echo before; exec sleep $0");
    let identity = running.identity();
    drop(tokio::time::timeout(Duration::from_millis(100), running.ended()).await);
    soon("no process", running.kill()).await;
    let ended = soon("its end", running.ended()).await;
    assert_eq!((ended.exit.code, ended.exit.signal), (None, Some(9)));
    assert_eq!(ended.stdout, whole("before\n"));
    assert_eq!(soon("its end, again", running.ended()).await, ended);
    soon("nothing", running.kill()).await;
    assert_eq!(running.identity(), identity);
}

#[tokio::test]
async fn it_gets_what_it_was_given_and_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let owner = Owner::new("it gets what it was given");
    let env = [("A".into(), "1".into()), (MARK.into(), "somebody else's".into()), ("B".into(), "x y".into())];
    let run = async |program: &str, args: &[OsString], cwd: &Path| {
        let program = Path::new(program);
        let name = "given:1._-";
        let what = Contained { program, args, cwd, env: &env, name, owner: &owner, output_max: 10_000 };
        let ended = soon("its end", start(what).expect("it starts").ended()).await;
        assert_eq!(ended.exit.code, Some(0), "{ended:?}");
        String::from_utf8(ended.stdout.bytes).expect("text")
    };
    let said = run("/usr/bin/env", &[], Path::new("/")).await;
    let (mark, given): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with(MARK));
    assert_eq!(given, ["A=1", "B=x y"]);
    assert!(matches!(mark.as_slice(), [mark] if mark.ends_with(":given:1._-")), "{mark:?}");

    let args = ["%s|".into(), "a b".into(), "$HOME".into(), "".into(), "*".into()];
    assert_eq!(run("/usr/bin/printf", &args, Path::new("/")).await, "a b|$HOME||*|");
    let here = fs::canonicalize(directory.path()).expect("its path");
    assert_eq!(run("/bin/pwd", &[], &here).await, format!("{}\n", here.display()));
    // Of what we have open, nothing; and what it reads ends at once.
    let list = ["-c".into(), "cat; ls /proc/self/fd".into()];
    let before = run("/bin/sh", &list, Path::new("/")).await;
    let open_here: Vec<fs::File> = (0..5).map(|_| null()).collect();
    assert_eq!(run("/bin/sh", &list, Path::new("/")).await, before, "none of our {} files", open_here.len());
}

#[tokio::test]
async fn it_leads_a_session_and_can_gain_no_privileges() {
    let ended = run("cat /proc/$$/stat; grep NoNewPrivs /proc/self/status").await;
    let said = String::from_utf8(ended.stdout.bytes).expect("text");
    let fields: Vec<&str> = said.split_whitespace().collect();
    let (pid, group, session) = (fields[0], fields[4], fields[5]);
    assert_eq!((group, session), (pid, pid), "{said}");
    assert!(said.contains("NoNewPrivs:\t1\n"), "{said}");
}

#[tokio::test]
async fn much_output_is_cut_and_the_program_goes_on() {
    let ended = run("head -c 3000000 /dev/zero; echo done >&2; exit 3").await;
    assert_eq!(ended.exit.code, Some(3));
    assert_eq!((ended.stdout.bytes.len(), ended.stdout.truncated), (100_000, true));
    assert_eq!(ended.stderr, whole("done\n"));
}

#[tokio::test]
async fn nothing_is_lost_when_the_waiting_is_given_up_again_and_again() {
    let mut running = Case::new(Groups::Any).shell("seq 1 3000; sleep 0.1; seq 3001 6000");
    let waiting = async {
        loop {
            if let Ok(ended) = tokio::time::timeout(Duration::from_millis(1), running.ended()).await {
                return ended;
            }
        }
    };
    let ended = soon("its end", waiting).await;
    let expected: String = (1..=6000).map(|number| format!("{number}\n")).collect();
    assert_eq!(ended.stdout, whole(&expected));
}

#[tokio::test]
async fn what_cannot_be_started_is_named_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let plain = directory.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).expect("a mode");
    let case = Case::new(Groups::Any);
    let check = |program: &str, cwd: &str, name: &str, names: &str, expected: fn(&SpawnError) -> bool| {
        let (program, cwd) = (Path::new(program), Path::new(cwd));
        let what = Contained { program, args: &[], cwd, env: &[], name, owner: &case.owner, output_max: 0 };
        let error = start(what).expect_err("it cannot start");
        assert!(expected(&error), "{program:?}: {error:?}");
        assert!(error.to_string().contains(names), "{error}");
    };
    let (token, here) = (case.token.as_str(), plain.to_str().expect("text"));
    check("/absent/p", "/", token, "/absent/p", |error| matches!(error, SpawnError::Missing(_)));
    check("true", "/", token, "true", |error| matches!(error, SpawnError::Relative(_)));
    check(here, "/", token, here, |error| matches!(error, SpawnError::NotExecutable(_)));
    check("/bin/true", "/absent", token, "/absent", |error| matches!(error, SpawnError::Directory { .. }));
    check("/bin/true", "/", "a/b", "a/b", |error| matches!(error, SpawnError::Name(_)));
    check("/bin/true", "/", "", "\"\"", |error| matches!(error, SpawnError::Name(_)));
    assert_eq!(case.groups(), Vec::<std::path::PathBuf>::new());

    let mut running = case.shell("exec sleep $0");
    check("/bin/true", "/", token, token, |error| matches!(error, SpawnError::Taken(_)));
    assert_eq!(case.alive(), [running.identity().pid], "it goes on");
    soon("no process", running.kill()).await;
    assert_eq!(soon("its end", running.ended()).await.exit.signal, Some(9));
    let mut again = case.shell("exit 0");
    assert_eq!(soon("its end", again.ended()).await.exit.code, Some(0), "the name is free again");
}
