use std::fs::File;
use std::time::Duration;

use nkudo_host::process::{self, Identity};

use crate::children::{idle, null, program, shell, soon, start, until};

#[test]
fn a_process_is_its_pid_and_start_time() {
    let own = process::identity(std::process::id()).expect("we live");
    assert!(process::is_alive(own));
    let reused = Identity { start_ticks: own.start_ticks + 1, ..own };
    assert!(!process::is_alive(reused));
    assert_eq!(process::usage(reused), None);
    assert_eq!(process::cpu_time(reused), None);
    assert_eq!(process::identity(u32::MAX), None);
    assert_eq!(process::cpu_time(Identity { pid: u32::MAX, start_ticks: 0 }), None);
    let since_boot = process::age_ms(Identity { start_ticks: 0, ..own });
    assert!(process::age_ms(own) < 3_600_000 && since_boot > process::age_ms(own), "{since_boot}");
    assert_eq!(process::age_ms(Identity { start_ticks: u64::MAX, ..own }), 0);
}

#[tokio::test]
async fn a_zombie_is_not_alive() {
    let mut child = shell("exit 3");
    soon("end of the child", child.pidfd().exited()).await;
    let zombie = child.identity();
    assert_eq!(process::identity(zombie.pid), None);
    assert!(!process::is_alive(zombie));
    assert_eq!(process::usage(zombie), None);
    assert_eq!(process::command_line(zombie.pid), None);
    assert_eq!(child.try_reap().and_then(|exit| exit.code), Some(3));
}

#[tokio::test]
async fn cpu_time_and_memory_of_a_busy_child() {
    let child = shell("while :; do :; done");
    let first = process::usage(child.identity()).expect("it lives");
    let later = until("some CPU time", || {
        let usage = process::usage(child.identity()).expect("it lives");
        (usage.cpu > first.cpu + Duration::from_millis(5)).then_some(usage)
    });
    let later = later.await;
    assert!(later.resident_bytes > 0 && later.peak_resident_bytes >= later.resident_bytes, "{later:?}");
    assert!(process::cpu_time(child.identity()).expect("it lives") >= later.cpu);
}

#[tokio::test]
async fn command_line_keeps_words_apart() {
    let args = ["-c".into(), "read line".into(), "a b".into(), "".into()];
    let (reading, _writing) = std::io::pipe().expect("a pipe");
    let mut what = program("/bin/sh", &args);
    what.stdin = File::from(std::os::fd::OwnedFd::from(reading));
    let child = start(what);
    let words = until("the command line", || process::command_line(child.identity().pid)).await;
    assert_eq!(words, ["/bin/sh", "-c", "read line", "a b", ""]);
}

#[test]
fn own_stats_are_those_of_this_process() {
    let before = process::own_stats().expect("own stats");
    let more: Vec<File> = (0..7).map(|_| null()).collect();
    let after = process::own_stats().expect("own stats");
    assert!(after.open_fds >= 3 + 7, "{after:?}, {} of them opened here", more.len());
    assert!(after.max_fds > 0 && after.threads > 0 && after.cpu_seconds > 0.0);
    assert!(after.virtual_bytes > after.resident_bytes && after.resident_bytes > 0);
    assert_eq!(before.start_time_unix_seconds, after.start_time_unix_seconds);
    let age_ms = nkudo_host::clock::wall_ms() as f64 - after.start_time_unix_seconds * 1000.0;
    assert!((-2_000.0..3_600_000.0).contains(&age_ms), "started {age_ms} ms ago");
}

#[tokio::test]
async fn holders_of_a_file_are_found_by_what_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("held");
    let file = File::create(&path).expect("a file");
    assert_eq!(process::holders(&path), [] as [u32; 0], "our own descriptor does not count");
    let args = ["600".into()];
    let mut what = program("/bin/sleep", &args);
    what.stdin = file;
    let child = start(what);
    let other = idle();
    let linked = directory.path().join("linked");
    std::fs::hard_link(&path, &linked).expect("a link");
    assert_eq!(process::holders(&linked), [child.identity().pid], "not {}", other.identity().pid);
    assert_eq!(process::holders(&directory.path().join("absent")), [] as [u32; 0]);
}

#[tokio::test]
async fn who_works_or_reads_below_a_directory_is_found_also_when_it_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let top = directory.path().canonicalize().expect("its own name");
    let (inner, lock) = (top.join("vm"), top.join("vm/lock"));
    std::fs::create_dir(&inner).expect("a directory below");
    let args = ["600".into()];
    let mut what = program("/bin/sleep", &args);
    what.cwd = &inner;
    what.stdin = File::create(&lock).expect("a file");
    let child = start(what);
    let mut beside = program("/bin/sleep", &args);
    beside.cwd = &top;
    let beside = start(beside);
    let pid = child.identity().pid;
    let expected = process::Place { pid, cwd: inner.clone(), stdin: Some(lock.clone()) };
    assert_eq!(process::below(&top), std::slice::from_ref(&expected), "not {}", beside.identity().pid);
    assert_eq!((process::reads(pid, &lock), process::reads(beside.identity().pid, &lock)), (true, false));
    std::fs::remove_dir_all(&inner).expect("removed");
    assert_eq!(process::below(&top), [expected]);
    assert!(!process::reads(pid, &lock));
}
