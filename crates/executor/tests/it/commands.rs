//! Commands of the host: real programs, run once.

use std::path::Path;
use std::time::Duration;

use nkudo_api::view::ActionView;
use nkudo_domain::{Action, ActionStatus};
use nkudo_executor::projection::listed_action_view;
use nkudo_journal::SimulatedDisk;
use nkudo_tracker::{Admission, CancelAnswer, Tracker};
use serde_json::{Value, json};

use crate::world::{World, create, parse};

/// A script for the one shell that these hosts allow.
fn script(action_id: &str, text: &str, more: &Value) -> Action {
    let mut params = json!({"command": "/bin/sh", "args": ["-c", text]});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    parse(&json!({"action_id": action_id, "action_type": "CommandExecute", "params": params}))
}

fn said(view: &ActionView) -> &Value {
    view.result.as_ref().unwrap_or_else(|| panic!("no result: {view:?}"))
}

/// Waits for a file, which a command makes.
async fn until_there(file: &Path) {
    for _ in 0..3_000 {
        if file.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} was never made", file.display());
}

/// Whether a process lives, by the pid that a command has written down.
fn lives(pid_file: &Path) -> bool {
    let pid: u32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    nkudo_host::process::identity(pid).is_some()
}

async fn until_dead(pid_file: &Path) {
    for _ in 0..3_000 {
        if !lives(pid_file) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the process of {} lives on", pid_file.display());
}

#[tokio::test]
async fn a_command_tells_what_it_wrote_and_how_it_ended() {
    let world = World::on(SimulatedDisk::new()).await;
    let text = "echo out $A $PWD; echo err >&2; set | grep -c ^CARGO; exit 0";
    let view = world.done(&script("fine", text, &json!({"dir": "/tmp", "env": {"A": "b"}}))).await;
    assert_eq!(
        (view.status, view.changed, view.vm_id),
        (ActionStatus::Success, Some(true), None),
        "{view:?}"
    );
    // The environment of this program is not its.
    let expected =
        json!({"exit_code": 0, "stdout": "out b /tmp\n0\n", "stderr": "err\n", "truncated": false});
    assert_eq!(*said(&view), expected);

    let view = world.done(&script("fails", "echo oh >&2; exit 7", &json!({}))).await;
    assert_eq!(view.status, ActionStatus::Failure);
    assert_eq!(view.error.as_deref(), Some("it exited with status 7"));
    assert_eq!(*said(&view), json!({"exit_code": 7, "stdout": "", "stderr": "oh\n", "truncated": false}));

    let view = world.done(&script("killed", "kill -9 $$", &json!({}))).await;
    assert_eq!(view.error.as_deref(), Some("it was killed by signal 9"));
    assert_eq!(said(&view)["exit_code"], Value::Null);

    let floods =
        "i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done";
    let view = world.done(&script("floods", floods, &json!({}))).await;
    assert_eq!((view.status, &said(&view)["truncated"]), (ActionStatus::Success, &json!(true)));
    assert_eq!(said(&view)["stdout"].as_str().unwrap().len(), 32 << 10);

    let view = world.done(&script("odd", r"printf '\377x'", &json!({}))).await;
    assert_eq!(said(&view)["stdout"], "\u{fffd}x", "what is no text is shown as such");
}

#[tokio::test]
async fn what_cannot_or_must_not_be_run_says_so() {
    let world = World::on(SimulatedDisk::new()).await;
    let check = async |action_id: &str, params: Value, error: &str| {
        let body = json!({"action_id": action_id, "action_type": "CommandExecute", "params": params});
        let view = world.done(&parse(&body)).await;
        assert_eq!((view.status, view.result), (ActionStatus::Failure, None));
        assert!(view.error.as_deref().is_some_and(|told| told.contains(error)), "{error}: {:?}", view.error);
    };
    check("forbidden", json!({"command": "/bin/echo"}), "not on this host's allow-list").await;
    check("sidestep", json!({"command": "/bin/../bin/sh"}), "not on this host's allow-list").await;
    check("missing", json!({"command": "/nowhere/at/all"}), "there is no program /nowhere/at/all").await;
    let nowhere = json!({"command": "/bin/sh", "dir": "/nowhere"});
    check("directory", nowhere, "/nowhere is no directory to start /bin/sh in").await;
}

#[tokio::test]
async fn one_that_takes_too_long_or_is_cancelled_is_ended_with_all_that_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::on(SimulatedDisk::new()).await;
    let text = |name: &str| {
        let file = dir.path().join(name).display().to_string();
        format!(
            "trap '' TERM; echo begun; (trap '' TERM; sleep 300) & echo $! > {file}.new; mv {file}.new {file}; wait"
        )
    };
    let view = world.done(&script("slow", &text("slow"), &json!({"timeout": 1}))).await;
    assert_eq!(view.status, ActionStatus::Failure);
    let error = view.error.clone().unwrap();
    assert!(error.contains("timed out after 1 s"), "{error}");
    assert_eq!((&said(&view)["stdout"], &said(&view)["exit_code"]), (&json!("begun\n"), &Value::Null));
    until_dead(&dir.path().join("slow")).await;

    let cancelled = script("cancelled", &text("cancelled"), &json!({}));
    assert_eq!(world.handle.submit(cancelled.clone()).await, Ok(Admission::New));
    until_there(&dir.path().join("cancelled")).await;
    assert_eq!(world.handle.cancel(cancelled.action_id.clone()).await, Ok(CancelAnswer::Cancelling));
    let view = world.handle.wait(&cancelled.action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Cancelled);
    until_dead(&dir.path().join("cancelled")).await;
}

#[tokio::test]
async fn one_that_exits_by_itself_is_told_so_whatever_it_left() {
    let world = World::on(SimulatedDisk::new()).await;
    let view =
        world.done(&script("leaves", "trap '' TERM; sleep 300 & exit 0", &json!({"timeout": 60}))).await;
    assert_eq!((view.status, &said(&view)["exit_code"]), (ActionStatus::Success, &json!(0)), "{view:?}");
}

#[tokio::test]
async fn in_a_list_only_the_beginning_of_what_was_written_is_shown() {
    let world = World::on(SimulatedDisk::new()).await;
    let view = world.done(&script("long", "head -c 5000 /dev/zero | tr '\\0' x", &json!({}))).await;
    assert_eq!(said(&view)["stdout"].as_str().unwrap().len(), 5_000);
    let look = |tracker: &Tracker| tracker.actions().map(listed_action_view).next().unwrap();
    let listed = world.handle.look(look).await.unwrap();
    assert_eq!(
        (said(&listed)["stdout"].as_str().unwrap().len(), &said(&listed)["truncated"]),
        (1_024, &json!(true))
    );
}

#[tokio::test]
async fn commands_wait_for_each_other_and_vms_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let world = World::on(SimulatedDisk::new()).await;
    let waits = format!("while [ ! -e {} ]; do sleep 0.01; done", gate.display());
    let (first, second) = (script("first", &waits, &json!({})), script("second", "true", &json!({})));
    for action in [&first, &second] {
        assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::New));
    }
    assert_eq!(world.done(&create(1)).await.status, ActionStatus::Success);
    let second_id = second.action_id.clone();
    let waits =
        world.handle.look(move |tracker| tracker.action(&second_id).unwrap().execution.is_none()).await;
    assert_eq!(waits, Ok(true), "the second has not begun");
    std::fs::write(&gate, "").unwrap();
    for action in [&first, &second] {
        let view = world.handle.wait(&action.action_id).await.unwrap().unwrap();
        assert_eq!(view.status, ActionStatus::Success, "{view:?}");
    }
}

#[tokio::test]
async fn one_that_was_running_when_the_program_was_killed_is_ended_and_not_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let (runs, pid) = (dir.path().join("runs"), dir.path().join("pid"));
    let world = World::on(SimulatedDisk::new()).await;
    let text = format!(
        "echo ran >> {}; sleep 300 & echo $! > {pid}.new; mv {pid}.new {pid}; wait",
        runs.display(),
        pid = pid.display()
    );
    let action = script("once", &text, &json!({}));
    assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::New));
    until_there(&pid).await;
    let world = world.after_crash().await;
    let view = world.handle.wait(&action.action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Failure);
    assert_eq!(view.error.as_deref(), Some("interrupted, outcome unknown"));
    until_dead(&pid).await;
    assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::Repeated));
    // A later one has run by then, so this one would have too.
    assert_eq!(world.done(&script("later", "true", &json!({}))).await.status, ActionStatus::Success);
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "ran\n");
}
