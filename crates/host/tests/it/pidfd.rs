use nkudo_host::pidfd::{PidFd, PidFdError, Signal};
use nkudo_host::process::{self, Identity};

use crate::children::{idle, program, shell, soon, start, until};

#[tokio::test]
async fn a_pid_that_was_used_again_is_gone() {
    let mut child = idle();
    let identity = child.identity();
    let earlier = Identity { start_ticks: identity.start_ticks - 1, ..identity };
    assert!(matches!(PidFd::open(earlier), Err(PidFdError::Gone(gone)) if gone == earlier));
    PidFd::open(identity).expect("it lives").signal(Signal::Kill).expect("a signal");
    soon("the end", child.exited()).await;
    assert!(matches!(PidFd::open(identity), Err(PidFdError::Gone(_))));
    let impossible = Identity { pid: u32::MAX, start_ticks: 0 };
    assert!(matches!(PidFd::open(impossible), Err(PidFdError::Gone(_))));
}

#[tokio::test]
async fn a_zombie_is_gone() {
    let child = shell("exit 0");
    soon("the end", child.pidfd().exited()).await;
    assert!(matches!(PidFd::open(child.identity()), Err(PidFdError::Gone(_))));
}

#[tokio::test]
async fn several_wait_and_one_gives_up() {
    let child = idle();
    let handle = PidFd::open(child.identity()).expect("it lives");
    assert!(!handle.has_exited());
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), handle.exited()).await;
    assert!(given_up.is_err());
    handle.signal(Signal::Kill).expect("a signal");
    soon("the end, twice", async { tokio::join!(handle.exited(), handle.exited()) }).await;
    assert!(handle.has_exited());
}

#[tokio::test]
async fn a_process_that_is_no_child_of_ours() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pid");
    let args = ["-c".into(), "/bin/sleep 600 & echo $!; wait".into()];
    let mut what = program("/bin/sh", &args);
    what.stdout = std::fs::File::create(&path).expect("a file");
    let _parent = start(what);
    let grandchild = until("the grandchild", || {
        let text = std::fs::read_to_string(&path).ok()?;
        process::identity(text.strip_suffix('\n')?.parse().ok()?)
    });
    let handle = PidFd::open(grandchild.await).expect("it lives");
    handle.signal(Signal::Term).expect("a signal");
    soon("the end", handle.exited()).await;
    until("no trace", || (!process::is_alive(handle.identity())).then_some(())).await;
    let gone = until("the parent's reaping", || handle.signal(Signal::Term).err()).await;
    assert!(gone.to_string().contains("No such process"), "{gone}");
}
