//! With few descriptors, and with few rights.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nkudo_host::contained::{Groups, Running, end_left_over};

use super::held::{Freezer, given_up};
use super::{Case, each_way};
use crate::children::{soon, until};

/// More processes than descriptors.
const MANY: usize = 80;
const DESCRIPTORS: usize = 40;

/// Nobody's number on common systems.
const STRANGER: u32 = 65_534;

/// One of the tests below, in a process of its own.
fn alone(test: &str, prepare: impl FnOnce(&mut Command)) -> io::Result<()> {
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -n {DESCRIPTORS} && exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(std::env::current_exe()?);
    command.args(["--exact", &format!("contained::narrow::{test}"), "--ignored"]).stdin(Stdio::null());
    prepare(&mut command);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
    Ok(())
}

/// So many children of one.
fn many(case: &Case) -> Running {
    case.shell(&format!("i=0; while [ $i -lt {MANY} ]; do sleep $0 & i=$((i+1)); done; wait"))
}

#[test]
fn more_processes_than_descriptors_are_killed_whole() {
    alone("many_processes_are_killed", |_| {}).expect("it starts");
}

#[tokio::test]
#[ignore = "the test above runs it with few descriptors"]
async fn many_processes_are_killed() {
    for case in each_way() {
        let mut running = many(&case);
        case.until_asleep(MANY).await;
        soon("no process", running.kill()).await;
        assert_eq!(case.alive(), Vec::<u32>::new());
        assert_eq!(soon("its end", running.ended()).await.left, []);
    }
}

#[test]
fn more_processes_than_descriptors_that_the_kernel_holds_are_all_told() {
    alone("many_processes_are_held", |_| {}).expect("it starts");
}

#[tokio::test]
#[ignore = "the test above runs it with few descriptors"]
async fn many_processes_are_held() {
    let Some(freezer) = Freezer::new() else { return };
    let case = Case::new(Groups::None);
    let mut running = many(&case);
    case.until_asleep(MANY).await;
    freezer.freeze(&case.alive()).await;
    let ended = given_up(&mut running).await;
    assert_eq!(ended.left.len(), MANY + 1);
    drop(freezer);
    until("that they ended", || case.alive().is_empty().then_some(())).await;
}

#[test]
fn processes_that_may_not_be_looked_into_hold_nothing_up() {
    if !nkudo_host::effective_root() {
        eprintln!("SKIPPED: only root can become somebody else");
        return;
    }
    let program = std::env::current_exe().expect("this is a program");
    let mut look = Command::new("/usr/bin/test");
    if !look.arg("-x").arg(program).uid(STRANGER).gid(STRANGER).status().is_ok_and(|status| status.success())
    {
        eprintln!("SKIPPED: somebody else may not run this program");
        return;
    }
    alone("a_stranger_ends_what_it_left", |command| {
        command.uid(STRANGER).gid(STRANGER).current_dir("/");
    })
    .expect("it starts");
}

#[tokio::test]
#[ignore = "the test above runs it as somebody else"]
async fn a_stranger_ends_what_it_left() {
    let closed = std::fs::read("/proc/1/environ").expect_err("it is root's");
    assert_eq!(closed.kind(), io::ErrorKind::PermissionDenied);
    let case = Case::new(Groups::None);
    // As an earlier life that was killed.
    std::mem::forget(case.shell("sleep $0 & exec sleep $0"));
    case.until_asleep(2).await;
    assert_eq!(end_left_over(&case.owner).expect("they end"), [case.token.as_str()]);
    assert_eq!(case.alive(), Vec::<u32>::new());
}
