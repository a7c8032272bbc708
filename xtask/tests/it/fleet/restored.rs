//! A control plane whose books are put back from a backup.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use xtask::agent::{until, vm_id};

use super::rounds::Fleet;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn create(fleet: &Fleet, number: u32) -> Value {
    let mut create = fleet.host.create(&vm_id(number), &format!("restored-{number}"));
    create["params"]["provider"] = json!("simulated");
    create["action_id"] = json!(format!("create-{number}"));
    create
}

fn ask(fleet: &Fleet, number: u32) {
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    let (status, body) = fleet.control.rest("POST", &path, Some(&create(fleet, number))).unwrap().unwrap();
    assert_eq!(status, 202, "{body}");
}

fn succeeds(fleet: &Fleet, number: u32) {
    until(&format!("the end of create-{number}"), || {
        let action = fleet.control.get(&format!("/v1/actions/create-{number}")).ok()?;
        (action["status"] == "success").then_some(())
    })
    .unwrap();
}

#[test]
fn what_ended_since_the_backup_is_told_again_and_what_is_asked_again_ends() {
    let mut fleet = Fleet::start("[providers]\nsimulated = true\n");
    ask(&fleet, 1);
    succeeds(&fleet, 1);
    fleet.control.stop().unwrap();
    let (data, backup) = (fleet.control.data_dir(), fleet.control.dir().join("backup"));
    copy(&data, &backup);
    fleet.control.start().unwrap();
    for number in [2, 3] {
        ask(&fleet, number);
        succeeds(&fleet, number);
    }
    fleet.control.stop().unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    fleet.control.start().unwrap();
    // Asked again or not: the host tells of both.
    ask(&fleet, 2);
    for number in [1, 2, 3] {
        succeeds(&fleet, number);
    }
    let executions = fleet.control.list("/v1/executions").unwrap();
    assert_eq!(executions.len(), 3, "each once: {executions:?}");
}
