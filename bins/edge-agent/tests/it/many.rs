//! Twenty VMs at once.

use serde_json::{Value, json};

use crate::harness::{Host, on, until, vm_id};

#[test]
fn twenty_vms_are_created_paused_resumed_and_deleted() {
    let mut host = Host::running("parallel_actions = 4\n");
    let ids: Vec<String> = (0..20).map(vm_id).collect();
    let all = |action_type: &str| -> Value { ids.iter().map(|id| on(action_type, id)).collect() };
    let creates: Value = ids.iter().map(|id| host.create(id, &format!("vm-{id}"))).collect();
    for body in creates.as_array().unwrap() {
        assert_eq!(host.request("POST", "/v1/actions", &body.to_string()).status, 202);
    }
    for id in &ids {
        host.wait_for_vm_in_time(id, "running");
        until("READY", || host.console(id).contains("READY").then_some(()));
    }
    for action_type in ["MicroVMPause", "MicroVMResume"] {
        let (code, lines) = host.apply(&all(action_type));
        assert_eq!((code, lines.len()), (0, 20), "{lines:?}");
    }
    host.kill_9();
    host.start();
    assert_eq!(host.get("/v1/status")["vms"]["running"], json!(20));
    let (code, lines) = host.apply(&all("MicroVMDelete"));
    assert_eq!((code, lines.len()), (0, 20), "{lines:?}");
    host.assert_nothing_left();
    assert!(!host.metrics("").body.contains("vm_id="), "a deleted vm's series are gone");
}
