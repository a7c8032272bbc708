//! An operator's action reaches a real microVM, and its outcome comes back.

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
