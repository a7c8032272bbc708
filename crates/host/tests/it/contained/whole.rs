//! All that a program starts ends with it.

use std::path::PathBuf;

use nkudo_host::contained::Groups;
use nkudo_host::pidfd::{PidFd, Signal};
use nkudo_host::process;

use super::{Case, each_way};
use crate::children::{soon, until};

/// Processes that hear no signal but SIGKILL: in sessions of their own, of parents that ended, without the environment
/// that they had. Five sleep in the end, and two shells wait for them.
const TREE: &str = "trap '' TERM HUP INT
    (setsid sleep $0 &)
    (sleep $0 &)
    (env -i sleep $0 &)
    setsid env -i sh -c 'env -i sleep $0; :' $0 &
    sleep $0 &
    wait";
const SLEEPERS: usize = 5;

/// One that went on to a control group below its own, when it may.
const INNER: &str = "own=$(sed 's/.*://' /proc/self/cgroup | grep contained- | head -n 1)
    for mount in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/freezer /sys/fs/cgroup/cpuacct; do
        [ -e $mount$own/cgroup.procs ] && mkdir $mount$own/inner && echo $$ > $mount$own/inner/cgroup.procs
    done
    sleep $0 & exec sleep $0";

/// One that forgot its environment, its session and its parent.
const STRANGER: &str = "(setsid env -i sleep $0 &) ; exec sleep $0";

/// Some 250 processes, as fast as they come.
const BOMB: &str = "b() { [ $1 -eq 0 ] || { b $(($1-1)) & b $(($1-1)) & }; sleep $0; }; b 6";

fn nothing() -> (Vec<u32>, Vec<PathBuf>) {
    (Vec::new(), Vec::new())
}

#[tokio::test]
async fn a_tree_of_stubborn_processes_is_killed_whole() {
    for case in each_way() {
        let mut running = case.shell(TREE);
        case.until_asleep(SLEEPERS).await;
        soon("no process", running.kill()).await;
        assert_eq!(case.alive(), Vec::<u32>::new());
        let ended = soon("its end", running.ended()).await;
        assert_eq!((ended.exit.signal, ended.left.len()), (Some(9), 0));
        assert_eq!((case.alive(), case.groups()), nothing());
    }
}

#[tokio::test]
async fn what_a_program_leaves_ends_with_it_and_holds_nothing_up() {
    for case in each_way() {
        // They keep its output open.
        let script = format!("({TREE}) & until [ -e /proc/$!/exe ]; do :; done; echo said; exit 5");
        let mut running = case.shell(&script);
        let ended = soon("its end", running.ended()).await;
        assert_eq!((ended.exit.code, ended.stdout.bytes.as_slice()), (Some(5), b"said\n".as_slice()));
        assert!(!ended.stdout.truncated && !ended.stderr.truncated);
        assert_eq!((case.alive(), case.groups()), nothing());
    }
}

#[tokio::test]
async fn dropping_kills_the_whole_tree() {
    for case in each_way() {
        let running = case.shell(TREE);
        case.until_asleep(SLEEPERS).await;
        let identity = running.identity();
        drop(running);
        assert_eq!((case.alive(), case.groups()), nothing());
        assert!(!std::path::Path::new(&format!("/proc/{}", identity.pid)).exists(), "it was reaped");
    }
}

#[tokio::test]
async fn a_group_holds_who_forgot_all_that_it_came_with() {
    for case in each_way().into_iter().filter(|case| case.is_grouped()) {
        let mut running = case.shell(STRANGER);
        case.until_asleep(2).await;
        soon("no process", running.kill()).await;
        assert_eq!(case.alive(), Vec::<u32>::new());
    }
}

/// Without a group one that forgot all is out of reach. It keeps the output open, and is not waited for.
#[tokio::test]
async fn an_output_that_a_stranger_keeps_open_is_given_up() {
    let case = Case::new(Groups::None);
    let directory = tempfile::tempdir().expect("a directory");
    let go = directory.path().join("go");
    // The shell waits for the one in brackets: from then on the sleeper has no parent here.
    let script =
        format!("(setsid env -i sleep $0 &) ; echo said; until [ -e {} ]; do sleep 0.01; done", go.display());
    let mut running = case.shell(&script);
    let identity = running.identity();
    case.until_asleep(1).await;
    std::fs::write(&go, "").expect("a file");
    let ended = soon("its end", running.ended()).await;
    let strangers: Vec<PidFd> =
        case.alive().into_iter().filter_map(|pid| PidFd::open(process::identity(pid)?).ok()).collect();
    for stranger in &strangers {
        stranger.signal(Signal::Kill).expect("it is ours");
        soon("its end", stranger.exited()).await;
    }
    assert_eq!(strangers.len(), 1, "as long as this is so, the module says so");
    assert!(strangers.iter().all(|stranger| stranger.identity() != identity));
    assert_eq!((ended.exit.code, ended.stdout.bytes.as_slice()), (Some(0), b"said\n".as_slice()));
    assert!(ended.stdout.truncated && ended.stderr.truncated, "there may have been more");
}

#[tokio::test]
async fn who_goes_on_to_an_inner_group_is_not_outside() {
    for case in each_way().into_iter().filter(|case| case.is_grouped()) {
        let mut running = case.shell(INNER);
        case.until_asleep(2).await;
        let groups = case.groups();
        assert!(groups.iter().all(|group| group.join("inner").exists()), "{groups:?}");
        soon("no process", running.kill()).await;
        assert_eq!(soon("its end", running.ended()).await.left, []);
        assert_eq!((case.alive(), case.groups()), nothing());
    }
}

#[tokio::test]
async fn many_processes_that_go_on_forking_are_killed_whole() {
    for case in each_way() {
        // While they are few, and when they are many.
        for seen in [1, 20, 150] {
            let mut running = case.shell(BOMB);
            until("some of them", || (case.alive().len() >= seen).then_some(())).await;
            soon("no process", running.kill()).await;
            assert_eq!(case.alive(), Vec::<u32>::new());
            assert_eq!(soon("its end", running.ended()).await.left, []);
            assert_eq!((case.alive(), case.groups()), nothing());
        }
    }
}

#[tokio::test]
async fn without_a_wish_the_best_group_is_used() {
    let case = Case::new(Groups::Any);
    let mut running = case.shell("exec sleep $0");
    let grouped = each_way().into_iter().any(|case| case.is_grouped());
    assert_eq!((running.is_grouped(), !case.groups().is_empty()), (grouped, grouped));
    soon("no process", running.kill()).await;
}
