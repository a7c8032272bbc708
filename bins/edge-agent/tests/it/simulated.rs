//! Admission, lanes, deadlines and cancellation through the daemon, on VMs that need no hypervisor.

use serde_json::{Value, json};

use crate::harness::{Host, on, until, vm_id};

const SIMULATED: &str = "[providers]\nsimulated = true\n";

#[test]
fn the_simulated_provider_is_refused_unless_configured() {
    let host = Host::running("");
    let error = host.fail(&host.create_simulated(&vm_id(1), "s", &json!({})));
    assert!(error.contains("provider simulated cannot be used on this host"), "{error}");
}

#[test]
fn simulated_vms_outlive_the_agent() {
    let mut host = Host::running(SIMULATED);
    let id = vm_id(1);
    host.succeed(&host.create_simulated(&id, "s1", &json!({})));
    host.succeed(&on("MicroVMPause", &id));
    host.kill_9();
    host.start();
    assert_eq!(host.vm(&id)["state"], "paused");
    host.succeed(&on("MicroVMDelete", &id));
    let deeds = std::fs::read_to_string(host.state_dir().join("simulated.jsonl")).unwrap();
    assert!(deeds.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{deeds}");
}

#[test]
fn a_deadline_that_passes_takes_back_what_was_begun() {
    let host = Host::running(SIMULATED);
    let id = vm_id(2);
    let mut create = host.create_simulated(&id, "slow", &json!({"simulated.hang": "boot"}));
    create["timeout_seconds"] = json!(1);
    assert_eq!(host.fail(&create), "timed out after 1 s");
    assert_eq!(host.get("/v1/vms")["items"], json!([]));
    // The same may be asked again.
    host.succeed(&host.create_simulated(&id, "slow", &json!({})));
}

#[test]
fn a_waiting_action_times_out_without_an_execution() {
    let host = Host::running(SIMULATED);
    let id = vm_id(3);
    let slow = submit(&host, &host.create_simulated(&id, "s3", &json!({"simulated.boot_ms": "3000"})));
    let mut pause = on("MicroVMPause", &id);
    pause["timeout_seconds"] = json!(1);
    let waiting = submit(&host, &pause);
    let ended = wait(&host, &waiting);
    assert_eq!(
        (&ended["status"], &ended["error"]),
        (&json!("failure"), &json!("timed out before it started"))
    );
    assert_eq!(wait(&host, &slow)["status"], "success");
    let executions = host.get("/v1/executions");
    let ids: Vec<&Value> = executions["items"].as_array().unwrap().iter().map(|e| &e["action_id"]).collect();
    assert_eq!(ids, [&json!(slow)]);
    let ended = host.sample("nkudo_actions_ended_total{action_type=\"MicroVMPause\",status=\"timed_out\"}");
    assert_eq!(ended, Some(1.0));
    let executed =
        host.sample("nkudo_actions_executed_total{action_type=\"MicroVMPause\",status=\"failure\"}");
    assert_eq!(executed, Some(0.0));
}

#[test]
fn a_running_action_is_cancelled_and_leaves_nothing() {
    let host = Host::running(SIMULATED);
    let id = vm_id(4);
    let action_id = submit(&host, &host.create_simulated(&id, "s4", &json!({"simulated.hang": "boot"})));
    until("its start", || (action(&host, &action_id)["status"] == "running").then_some(()));
    let path = format!("/v1/actions/{action_id}/cancel");
    assert_eq!(host.request("POST", &path, "").status, 202);
    assert_eq!(wait(&host, &action_id)["status"], "cancelled");
    assert_eq!(host.get("/v1/vms")["items"], json!([]));
    assert_eq!(host.request("POST", &path, "").status, 409);
    assert_eq!(host.request("POST", "/v1/actions/nobody/cancel", "").status, 404);
}

#[test]
fn a_delete_overtakes_what_hangs_and_what_waits() {
    let host = Host::running(SIMULATED);
    let id = vm_id(5);
    let hangs = submit(&host, &host.create_simulated(&id, "s5", &json!({"simulated.hang": "boot"})));
    let waits = submit(&host, &on("MicroVMPause", &id));
    until("its start", || (action(&host, &hangs)["status"] == "running").then_some(()));
    host.succeed(&on("MicroVMDelete", &id));
    assert_eq!(action(&host, &hangs)["status"], "cancelled");
    assert_eq!(action(&host, &waits)["status"], "cancelled");
    assert_eq!(host.get("/v1/vms")["items"], json!([]));
}

#[test]
fn only_transient_failures_are_tried_again() {
    let host = Host::running(SIMULATED);
    let created = host.create_simulated(&vm_id(6), "s6", &json!({"simulated.fail_times": "2"}));
    let id = host.succeed(&created)["action_id"].as_str().unwrap().to_owned();
    assert_eq!(action(&host, &id)["retries"], 2);
    let lasting = host.create_simulated(&vm_id(7), "s7", &json!({"simulated.fail": "boot"}));
    let action_id = submit(&host, &lasting);
    let ended = wait(&host, &action_id);
    assert_eq!((&ended["status"], &ended["retries"]), (&json!("failure"), &json!(0)), "{ended}");
}

#[test]
fn a_provider_that_lies_is_found_out() {
    let host = Host::running(SIMULATED);
    let id = vm_id(8);
    host.succeed(&host.create_simulated(&id, "liar", &json!({"simulated.lie": "pause"})));
    let error = host.fail(&on("MicroVMPause", &id));
    assert_eq!(error, "simulated said that it was done with vm liar, but it is running");
    assert_eq!(host.vm(&id)["state"], "running");
}

#[test]
fn events_follow_an_action_to_its_end() {
    let host = Host::running(SIMULATED);
    let action_id =
        submit(&host, &host.create_simulated(&vm_id(9), "s9", &json!({"simulated.boot_ms": "300"})));
    let answer = host.request("GET", &format!("/v1/actions/{action_id}/events"), "");
    assert!(answer.head.contains("text/event-stream"), "{}", answer.head);
    let views: Vec<Value> = answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(views.last().unwrap()["status"], "success", "{views:?}");
}

#[test]
fn actions_on_one_vm_run_in_order_and_on_others_at_once() {
    let host = Host::running(SIMULATED);
    let slow = json!({"simulated.delay_ms": "300"});
    let first: Vec<String> = (0..4)
        .map(|i| submit(&host, &host.create_simulated(&vm_id(20 + i), &format!("p{i}"), &slow)))
        .collect();
    let pause = submit(&host, &on("MicroVMPause", &vm_id(20)));
    let resume = submit(&host, &on("MicroVMResume", &vm_id(20)));
    let ended: Vec<Value> = first.iter().map(|id| wait(&host, id)).collect();
    let starts: Vec<&str> = ended.iter().map(|view| view["started_at"].as_str().unwrap()).collect();
    let ends: Vec<&str> = ended.iter().map(|view| view["completed_at"].as_str().unwrap()).collect();
    assert!(starts.iter().max() < ends.iter().min(), "they ran at once: {starts:?} {ends:?}");
    let (paused, resumed) = (wait(&host, &pause), wait(&host, &resume));
    assert!(ends[0] <= paused["started_at"].as_str().unwrap());
    assert!(paused["completed_at"].as_str().unwrap() <= resumed["started_at"].as_str().unwrap());
    assert_eq!(host.vm(&vm_id(20))["state"], "running");
}

fn submit(host: &Host, body: &Value) -> String {
    let answer = host.request("POST", "/v1/actions", &body.to_string());
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["action_id"].as_str().unwrap().to_owned()
}

fn action(host: &Host, action_id: &str) -> Value {
    host.get(&format!("/v1/actions/{action_id}"))
}

fn wait(host: &Host, action_id: &str) -> Value {
    until(&format!("the end of {action_id}"), || {
        let view = action(host, action_id);
        (!view["completed_at"].is_null()).then_some(view)
    })
}

#[test]
fn a_disk_of_another_vm_is_not_deleted() {
    let host = Host::running(SIMULATED);
    let disk = host.path("disk.img");
    std::fs::write(&disk, "data").unwrap();
    for (number, name) in [(30, "one"), (31, "two")] {
        let mut create = host.create_simulated(&vm_id(number), name, &json!({}));
        create["params"]["disks"] = json!([{"path": disk}]);
        host.succeed(&create);
    }
    let with_disks = |number: u32| json!({"action_type": "MicroVMDelete", "params": {"vm_id": vm_id(number), "delete_disks": true}});
    let error = host.fail(&with_disks(30));
    assert!(error.contains("is a disk of vm two too; delete it without delete_disks"), "{error}");
    host.succeed(&on("MicroVMDelete", &vm_id(30)));
    assert!(disk.exists());
    host.succeed(&with_disks(31));
    assert!(!disk.exists());
}
