//! What is one tenant's, and one host's, stays with it.

use serde_json::{Value, json};
use xtask::agent::{Host, until, vm_id};
use xtask::fleet::{ControlPlane, build, request};

use super::rounds::Fleet;

const SIMULATED: &str = "[providers]\nsimulated = true\n";

fn create(host: &Host, action_id: &str, number: u32) -> Value {
    json!({"action_id": action_id, "action_type": "MicroVMCreate", "params": {"vm_id": vm_id(number), "vm_name":
        format!("t{number}"), "vcpus": 1, "memory_bytes": 16 << 20, "kernel": host.kernel(), "provider": "simulated"}})
}

/// What the control plane's own program says, as JSON.
fn made(control: &ControlPlane, args: &[&str]) -> Value {
    let output = control.command(args).args(["--tenant", "other", "--output", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_host_that_changes_its_tenant_tells_the_new_one_nothing_of_the_old() {
    // The change is made while the agent runs, and while it does not.
    for running in [true, false] {
        let mut fleet = Fleet::start(SIMULATED);
        fleet.control.stop().unwrap();
        for (action_id, number) in [("old-1", 1), ("old-2", 2)] {
            fleet.host.apply(&create(&fleet.host, action_id, number)).unwrap();
        }
        if !running {
            fleet.host.stop().unwrap();
        }
        // The agent dials again soon after the start; the change must come first.
        let unenrolled = fleet.host.command(&["unenroll", "--force"]).output().unwrap();
        assert!(unenrolled.status.success(), "{}", String::from_utf8_lossy(&unenrolled.stderr));
        fleet.control.start().unwrap();
        let token = made(&fleet.control, &["token", "create"])["token"].as_str().unwrap().to_owned();
        let key =
            made(&fleet.control, &["key", "create", "--role", "admin"])["key"].as_str().unwrap().to_owned();
        fleet.host.json(&["enroll", "--control-plane", &fleet.control.url(), "--token", &token]).unwrap();
        if !running {
            fleet.host.start().unwrap();
        }
        let list = |path: &str| {
            let (status, body) = request(fleet.control.http_addr(), "GET", path, Some(&key), None)?;
            assert_eq!(status, 200, "{body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            body["items"].as_array().cloned()
        };
        until("the host to report to its new tenant", || {
            (list("/v1/agents")?.first()?["presence"] == "online").then_some(())
        })
        .unwrap();
        fleet.host.apply(&create(&fleet.host, "new", 3)).unwrap();
        let actions = until("what is done now to be told", || {
            list("/v1/actions").filter(|actions| !actions.is_empty())
        })
        .unwrap();
        assert_eq!((actions.len(), &actions[0]["action_id"]), (1, &json!("new")), "{actions:?}");
        assert_eq!(list("/v1/executions").unwrap().len(), 1);
        assert_eq!(list("/v1/vms").unwrap().len(), 3, "the host's VMs are the new tenant's to see");
        // The id of another tenant's action says nothing, and its result is not told.
        let agents = list("/v1/agents").unwrap();
        let path = format!("/v1/agents/{}/actions", agents[0]["agent_id"].as_str().unwrap());
        let again = create(&fleet.host, "old-1", 1);
        let (status, _) =
            request(fleet.control.http_addr(), "POST", &path, Some(&key), Some(&again)).unwrap();
        assert_eq!(status, 202);
        let ended = until("the action to end", || {
            let actions = list("/v1/actions?limit=9")?;
            actions.into_iter().find(|action| action["action_id"] == "old-1" && action["status"] == "failure")
        })
        .unwrap();
        assert!(ended["error"].as_str().unwrap().contains("take another id"), "{ended}");
    }
}

#[test]
fn a_vm_id_that_two_hosts_have_is_never_guessed() {
    let fleet = Fleet::start(SIMULATED);
    let mut other = Host::new(&build(false).unwrap().edge_agent).unwrap();
    other.configure(SIMULATED).unwrap();
    other.start().unwrap();
    let other_id = fleet.control.enrol(&other).unwrap();
    fleet.control.wait_presence(&other_id, "online").unwrap();
    fleet.host.apply(&create(&fleet.host, "here", 1)).unwrap();
    let vm = format!("/v1/vms/{}", vm_id(1));
    until("the vm to be known", || fleet.control.get(&vm).ok()).unwrap();
    let path = format!("/v1/agents/{other_id}/actions");
    let (status, body) =
        fleet.control.rest("POST", &path, Some(&create(&other, "there", 1))).unwrap().unwrap();
    assert_eq!(status, 409, "{body}");
    assert!(body["detail"].as_str().unwrap().contains(&fleet.agent_id), "{body}");

    // A host can still make it by itself.
    other.apply(&create(&other, "there", 1)).unwrap();
    let (status, body) = until("both to be known", || {
        fleet.control.rest("GET", &vm, None).unwrap().filter(|(status, _)| *status != 200)
    })
    .unwrap();
    assert_eq!(status, 409, "{body}");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains(&fleet.agent_id) && detail.contains(&other_id), "{detail}");
    let one = fleet.control.get(&format!("{vm}?agent_id={other_id}")).unwrap();
    assert_eq!(one["agent_id"], json!(other_id));
    let stop = fleet.control.operator(&["vms", "stop", &vm_id(1)]).output().unwrap();
    assert!(!stop.status.success());
    let told = String::from_utf8(stop.stderr).unwrap();
    assert!(told.contains("--agent"), "{told}");
    let actions = fleet.control.list("/v1/actions").unwrap();
    assert_eq!(actions.len(), 2, "nobody was asked to stop: {actions:?}");
    let stopped = fleet.control.operator_says(&["vms", "stop", &vm_id(1), "--agent", &other_id, "--wait"]);
    stopped.unwrap();
    assert_eq!(fleet.host.vm(&vm_id(1)).unwrap()["state"], "running");
    assert_eq!(other.vm(&vm_id(1)).unwrap()["state"], "stopped");
}

#[test]
fn a_host_that_is_enrolled_anew_leaves_no_ghost() {
    let fleet = Fleet::start(SIMULATED);
    fleet.host.apply(&create(&fleet.host, "here", 1)).unwrap();
    let vm = format!("/v1/vms/{}", vm_id(1));
    until("the vm to be known", || fleet.control.get(&vm).ok()).unwrap();
    let token = fleet.control.token(1).unwrap();
    let url = fleet.control.url();
    let enrolled =
        fleet.host.json(&["enroll", "--force", "--control-plane", &url, "--token", &token]).unwrap();
    let agent_id = enrolled["agent_id"].as_str().unwrap();
    assert_ne!(agent_id, fleet.agent_id);
    assert_eq!(enrolled["left_behind"], Value::Null);
    fleet.control.wait_presence(agent_id, "online").unwrap();
    until("the vm to be the new agent's", || {
        (fleet.control.get(&vm).ok()?["agent_id"] == agent_id).then_some(())
    })
    .unwrap();
    assert_eq!(fleet.control.list("/v1/agents").unwrap().len(), 1);

    // A control plane that cannot be reached has to be told by hand.
    let mut other = ControlPlane::new(&build(false).unwrap(), &["--heartbeat-interval", "500ms"]).unwrap();
    other.start().unwrap();
    let Fleet { mut control, host, .. } = fleet;
    control.stop().unwrap();
    let (token, url) = (other.token(1).unwrap(), other.url());
    let moved = host.json(&["enroll", "--force", "--control-plane", &url, "--token", &token]).unwrap();
    assert_eq!(moved["left_behind"], agent_id);
}
