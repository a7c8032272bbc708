//! A program whose first process the kernel holds, and one whose end comes before it is killed.

use std::fs;
use std::path::{Path, PathBuf};

use nkudo_host::contained::{Ended, Groups, Running};
use nkudo_host::process;
use nkudo_host::spawn::Exit;

use super::{Case, each_way};
use crate::children::{soon, until};

/// A freezer of version 1: what is frozen in it does not end by any signal. Thawed and removed at the end.
pub(super) struct Freezer(PathBuf);

impl Freezer {
    pub(super) fn new() -> Option<Freezer> {
        let path = Path::new("/sys/fs/cgroup/freezer").join(format!("nkudo-test-{}", std::process::id()));
        let made = fs::create_dir(&path).is_ok();
        let freezer =
            made.then_some(Freezer(path)).filter(|freezer| freezer.0.join("freezer.state").exists());
        if freezer.is_none() {
            eprintln!("SKIPPED: no freezer can be made here");
        }
        freezer
    }

    pub(super) async fn freeze(&self, pids: &[u32]) {
        for pid in pids {
            fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("it may be moved");
        }
        self.set("FROZEN");
        let is_frozen =
            || fs::read_to_string(self.0.join("freezer.state")).is_ok_and(|now| now == "FROZEN\n");
        until("that it is frozen", || is_frozen().then_some(())).await;
    }

    fn set(&self, state: &str) {
        fs::write(self.0.join("freezer.state"), state).expect("a state");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.set("THAWED");
        // Busy until those that were in it have ended.
        for _ in 0..1_000_000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
        eprintln!("{} stays", self.0.display());
    }
}

/// Kills it until that is given up, and asks how it ended. The clock runs ahead whenever nothing happens: it does not take
/// the ten seconds.
pub(super) async fn given_up(running: &mut Running) -> Ended {
    tokio::time::pause();
    running.kill().await;
    let ended = soon("an answer", running.ended()).await;
    tokio::time::resume();
    ended
}

#[tokio::test]
async fn a_first_process_that_the_kernel_holds_is_not_waited_for_and_is_reaped_when_it_ends() {
    let Some(freezer) = Freezer::new() else { return };
    let mut running = Case::new(Groups::None).shell("exec sleep $0");
    let leader = running.identity();
    freezer.freeze(&[leader.pid]).await;

    let ended = given_up(&mut running).await;
    assert_eq!((ended.exit, ended.left.as_slice()), (Exit { code: None, signal: None }, [leader].as_slice()));
    assert!(ended.stdout.truncated, "it keeps its output open");
    drop(running);
    assert!(process::is_alive(leader), "it is still held");

    drop(freezer);
    let directory = PathBuf::from(format!("/proc/{}", leader.pid));
    until("that it was reaped", || (!directory.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_program_that_ended_before_it_was_killed_ended_by_itself() {
    for case in each_way() {
        let mut running = case.shell("sleep $0 & exit 0");
        let leader = running.identity();
        until("its end", || process::identity(leader.pid).is_none().then_some(())).await;
        case.until_asleep(1).await;
        soon("no process", running.kill()).await;
        assert_eq!(case.alive(), Vec::<u32>::new());
        let ended = soon("its end", running.ended()).await;
        assert_eq!(ended.exit, Exit { code: Some(0), signal: None });
    }
}
