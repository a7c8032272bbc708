//! An operator's action reaches a real microVM, and its outcome comes back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::agent::{alive, until, vm_id};

use super::rounds::Fleet;

#[test]
fn an_operators_action_reaches_a_microvm_and_its_outcome_comes_back_in_one_trace() {
    let mut fleet = Fleet::start("");
    let id = vm_id(1);
    let mut create = fleet.host.create(&id, "web-1");
    create["action_id"] = json!("e2e-create");
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    assert_eq!(fleet.control.rest("POST", &path, Some(&create)).unwrap().unwrap().0, 202);
    let action = until("the end of the action", || {
        let action = fleet.control.get("/v1/actions/e2e-create").ok()?;
        (action["status"] == "success").then_some(action)
    })
    .unwrap();
    let vm = fleet.control.get(&format!("/v1/vms/{id}")).unwrap();
    assert_eq!((&vm["state"], &vm["agent_id"]), (&json!("running"), &json!(fleet.agent_id)));
    let pid = fleet.host.vm(&id).unwrap()["pid"].as_u64().unwrap();
    assert!(alive(u32::try_from(pid).unwrap()), "the microVM is a process");
    until("the guest on its console", || fleet.host.console(&id).contains("READY").then_some(())).unwrap();

    // One trace: the action, both logs, the history on the host.
    let trace_id = action["trace_id"].as_str().unwrap();
    for log in [fleet.control.log(), fleet.host.log()] {
        let text = std::fs::read_to_string(&log).unwrap();
        let told = text.lines().any(|line| line.contains(trace_id) && line.contains("e2e-create"));
        assert!(told, "{} does not tell of trace {trace_id}", log.display());
    }
    until("edge-state.json to tell of the trace", || {
        let text = std::fs::read_to_string(fleet.host.state_dir().join("edge-state.json")).ok()?;
        text.contains(trace_id).then_some(())
    })
    .unwrap();

    let delete = json!({"action_id": "e2e-delete", "action_type": "MicroVMDelete", "params": {"vm_id": id}});
    fleet.control.rest("POST", &path, Some(&delete)).unwrap();
    until("the vm to be gone", || {
        let gone = fleet.control.list("/v1/vms").ok()?.is_empty();
        (gone && fleet.host.leftovers().is_empty()).then_some(())
    })
    .unwrap();
    fleet.host.stop().unwrap();
    let agent = fleet.control.get(&format!("/v1/agents/{}", fleet.agent_id)).unwrap();
    assert_eq!((&agent["presence"], &agent["goodbye"]), (&json!("offline"), &json!("the agent was stopped")));
}

#[test]
fn what_happens_in_an_outage_is_told_afterwards_in_order_and_once() {
    let mut fleet = Fleet::start("[providers]\nsimulated = true\n");
    fleet.control.stop().unwrap();
    let mut asked = Vec::new();
    for number in 1..=20 {
        let create = json!({"action_type": "MicroVMCreate", "params": {"vm_id": vm_id(number), "vm_name":
            format!("o{number}"), "vcpus": 1, "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(),
            "provider": "simulated"}});
        asked.push(fleet.host.apply(&create).unwrap()["action_id"].as_str().unwrap().to_owned());
    }
    // The agent is restarted meanwhile: results survive that too.
    fleet.host.kill_9().unwrap();
    fleet.host.start().unwrap();
    fleet.control.start().unwrap();
    let told = until("the results of the outage", || {
        let told = fleet.control.list("/v1/executions").ok()?;
        (told.len() == asked.len()).then_some(told)
    })
    .unwrap();
    let mut ids: Vec<&str> = told.iter().map(|execution| execution["action_id"].as_str().unwrap()).collect();
    // The newest comes first.
    ids.reverse();
    assert_eq!(ids, asked);
    let vms: Vec<Value> = fleet.control.list("/v1/vms").unwrap();
    assert_eq!(vms.len(), 20);
}

/// The creation of a VM that is none.
fn simulated(fleet: &Fleet, number: u32, labels: &Value) -> Value {
    json!({"action_type": "MicroVMCreate", "params": {"vm_id": vm_id(number), "vm_name": format!("s{number}"),
        "vcpus": 1, "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(), "provider": "simulated",
        "labels": labels}})
}

#[test]
fn what_begins_while_the_link_is_down_is_told_as_running() {
    let mut fleet = Fleet::start("[providers]\nsimulated = true\n");
    fleet.host.apply(&simulated(&fleet, 1, &json!({"simulated.delay_ms": "12000"}))).unwrap();
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    for (action_id, action_type) in [("first", "MicroVMPause"), ("second", "MicroVMResume")] {
        let action =
            json!({"action_id": action_id, "action_type": action_type, "params": {"vm_id": vm_id(1)}});
        assert_eq!(fleet.control.rest("POST", &path, Some(&action)).unwrap().unwrap().0, 202);
    }
    let status = |fleet: &Fleet, action_id: &str| {
        let action = fleet.control.get(&format!("/v1/actions/{action_id}")).ok()?;
        Some(action["status"].as_str()?.to_owned())
    };
    until("the second to wait on the host", || {
        (status(&fleet, "second")? == "delivered" && status(&fleet, "first")? == "running").then_some(())
    })
    .unwrap();
    // The longer the control plane is away, the longer the agent waits before it dials again, and the second does not wait for that.
    let began = Instant::now();
    until("most of the first to pass", || (began.elapsed() > Duration::from_secs(9)).then_some(())).unwrap();
    fleet.control.kill_9().unwrap();
    until("the second to begin", || {
        let paused = fleet.host.vm(&vm_id(1)).ok()?["state"] == "paused";
        paused.then_some(())
    })
    .unwrap();
    fleet.control.start().unwrap();
    let told = until("the second to be told of", || {
        let status = status(&fleet, "second")?;
        (status != "delivered").then_some(status)
    });
    assert_eq!(told.unwrap(), "running");
    until("the second to end", || (status(&fleet, "second")? == "success").then_some(())).unwrap();
}

#[test]
fn a_host_with_more_vms_than_a_message_holds_is_known_whole() {
    let mut fleet = Fleet::start("[providers]\nsimulated = true\n");
    let labels: serde_json::Map<String, Value> =
        (0..32).map(|number| (format!("{number:0>256}"), json!("x".repeat(256)))).collect();
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    // 300 VMs with 16 KiB of labels each are more than the 4 MiB of a message.
    for number in 1..=300 {
        let create = simulated(&fleet, number, &json!(labels));
        assert_eq!(fleet.control.rest("POST", &path, Some(&create)).unwrap().unwrap().0, 202);
    }
    let vms = |fleet: &Fleet| fleet.control.list("/v1/vms").ok().map(|vms| vms.len());
    until("all to be known", || (vms(&fleet)? == 300).then_some(())).unwrap();
    fleet.control.stop().unwrap();
    let delete = json!({"action_type": "MicroVMDelete", "params": {"vm_id": vm_id(7)}});
    fleet.host.apply(&delete).unwrap();
    fleet.control.start().unwrap();
    until("what was deleted meanwhile to be gone", || (vms(&fleet)? == 299).then_some(())).unwrap();
    let log = std::fs::read_to_string(fleet.host.log()).unwrap();
    assert!(!log.contains("too large"), "{log}");
}
