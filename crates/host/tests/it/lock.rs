use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nkudo_host::lock::{LockedFile, is_held, read_note};
use nkudo_host::pidfd::Signal;

use crate::children::{program, soon, start, until};

#[tokio::test]
async fn a_lock_lives_as_long_as_the_child_that_inherited_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    assert!(!is_held(&path).expect("an answer"), "a missing file");
    let lock = LockedFile::try_exclusive(&path).expect("an answer").expect("it is free");
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let args = ["600".into()];
    let mut what = program("/bin/sleep", &args);
    what.stdin = lock.into_file();
    let mut child = start(what);
    assert!(is_held(&path).expect("an answer"));
    assert!(LockedFile::try_exclusive(&path).expect("an answer").is_none());
    assert!(LockedFile::try_shared(&path).expect("an answer").is_none());
    child.pidfd().signal(Signal::Kill).expect("a signal");
    soon("the end", child.pidfd().exited()).await;
    // Not reaped yet: a zombie holds nothing.
    until("a free lock", || LockedFile::try_exclusive(&path).expect("an answer")).await;
    assert!(child.try_reap().is_some());
}

#[tokio::test]
async fn shared_and_exclusive_keep_each_other_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    let exclusive = || LockedFile::try_exclusive(&path).expect("an answer");
    let shared = || LockedFile::try_shared(&path).expect("an answer");

    let views = (shared().expect("free"), shared().expect("shared"));
    assert!(exclusive().is_none());
    assert!(!is_held(&path).expect("an answer"), "nobody holds it alone");
    drop(views);
    let alone = until("a free lock", exclusive).await;
    assert!(shared().is_none() && exclusive().is_none());
    assert!(is_held(&path).expect("an answer"));
    let copy = alone.try_clone_file().expect("a copy");
    drop(alone);
    assert!(is_held(&path).expect("an answer"), "by the copy");
    drop(copy);
    until("a free lock", shared).await;
}

#[test]
fn a_note_tells_who_holds_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    assert_eq!(read_note(&path).expect_err("no file").kind(), std::io::ErrorKind::NotFound);
    let lock = LockedFile::try_exclusive(&path).expect("an answer").expect("free");
    assert_eq!(read_note(&path).expect("a note"), "");
    lock.write_note("pid 1234567, since noon").expect("written");
    lock.write_note("pid 17").expect("written");
    assert_eq!(read_note(&path).expect("a note"), "pid 17");
}
