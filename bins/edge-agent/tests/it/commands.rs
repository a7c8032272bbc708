//! The commands that only look.

use serde_json::{Value, json};

use crate::harness::{Host, on, vm_id};

#[test]
fn status_of_a_host_that_is_not_enrolled_has_every_key_and_exit_code_1() {
    let host = Host::running("");
    let ran = host.run(&["status", "--output", "json"]);
    assert_eq!(ran.code(), 1);
    let status = ran.json();
    assert_eq!(status["enrolled"], false);
    for key in ["tenant_id", "site_id", "agent_id"] {
        assert!(status.get(key).is_some_and(Value::is_null), "{key}");
    }
    assert_eq!(status["certificate"], json!({"expires_at": null, "days_remaining": null, "valid": false}));
    assert_eq!(status["connection"]["state"], "disconnected");
    assert_eq!(status["vms"]["running"], 0);
    assert_eq!(status["queue_depth"], 0);
    let text = host.run(&["status"]).stdout();
    for part in ["Agent Status:", "not enrolled", "Last Heartbeat: never", "Queue Depth:"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn check_names_every_check_in_order() {
    let host = Host::new();
    let view = host.run(&["check", "--output", "json"]).json();
    let names: Vec<&str> =
        view["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    let expected = [
        "kvm",
        "cloud_hypervisor",
        "qemu",
        "bridge",
        "state_dir",
        "netbird",
        "disk",
        "memory",
        "clock",
        "control_plane",
    ];
    assert_eq!(names, expected);
    for check in view["checks"].as_array().unwrap() {
        let passes = check["status"] == "pass";
        assert_eq!(check["remedy"].is_null(), passes, "a remedy exactly where it does not pass: {check}");
    }
    let ran = host.run(&["check"]);
    assert_eq!(ran.code(), i32::from(view["ok"] != true));
    if ran.code() == 0 {
        assert_eq!(ran.stdout().lines().last(), Some("All checks passed! System is ready."));
    }
    host.configure("[check]\nmin_memory_bytes = 1000000000000000\n");
    let ran = host.run(&["check"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stdout().contains("✗ memory"), "{}", ran.stdout());
}

#[test]
fn version_hostfacts_completions_and_help_need_nothing() {
    let host = Host::new();
    let version = host.run(&["version", "--output", "json"]).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(!version["commit"].as_str().unwrap().is_empty());
    let facts = host.run(&["hostfacts", "--output", "json"]).json();
    assert!(facts["memory_bytes"].as_u64().unwrap() > 0 && facts["cores"].as_u64().unwrap() > 0, "{facts}");
    assert!(host.run(&["completions", "bash"]).stdout().contains("edge-agent"));
    let commands: [&[&str]; 11] = [
        &["run"],
        &["apply"],
        &["status"],
        &["check"],
        &["doctor"],
        &["explain", "vm"],
        &["hostfacts"],
        &["executions"],
        &["health"],
        &["metrics"],
        &["version"],
    ];
    for command in commands {
        let help = host.run(&[command, &["--help"]].concat());
        assert!(help.stdout().contains("Example"), "{command:?}: {}", help.stdout());
    }
    assert!(!host.state_dir().exists());
}

#[test]
fn executions_are_measured_and_filtered() {
    let host = Host::running("");
    let id = vm_id(1);
    host.succeed(&host.create(&id, "measured"));
    host.fail(&on("MicroVMStart", &vm_id(2)));
    let all = host.run(&["executions", "--output", "json"]).json();
    let create = &all["items"][1];
    assert_eq!(create["action_type"], "MicroVMCreate");
    assert_eq!(create["trace_id"].as_str().unwrap().len(), 32);
    let usage = &create["resource_usage"];
    assert!(usage["memory_bytes"].as_u64().unwrap() > 1 << 20, "measured from the VMM: {usage}");
    assert!(usage["cpu_percent"].as_f64().unwrap() > 0.0, "measured from the VMM: {usage}");
    let failed = host.run(&["executions", "--status", "failure", "--output", "json"]).json();
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    assert_eq!(host.run(&["executions", "--status", "nonsense"]).code(), 2);
    let state = crate::harness::until("the state file", || {
        let text = std::fs::read_to_string(host.state_dir().join("edge-state.json")).ok()?;
        let state: Value = serde_json::from_str(&text).ok()?;
        (state["executions"].as_array()?.len() == 2).then_some(state)
    });
    assert_eq!(state["version"], 1);
    for key in
        ["action_id", "started_at", "completed_at", "duration_ms", "status", "error", "retries", "vm_id"]
    {
        assert!(state["executions"][0].get(key).is_some(), "{key}");
    }
    host.succeed(&on("MicroVMDelete", &id));
}

#[test]
fn logs_are_json_lines_and_the_trace_goes_through() {
    let host = Host::running("");
    let id = vm_id(3);
    let done = host.succeed(&host.create(&id, "traced"));
    let action_id = done["action_id"].as_str().unwrap();
    let trace_id = host.get(&format!("/v1/actions/{action_id}"))["trace_id"].as_str().unwrap().to_owned();
    // The answer does not wait for the line.
    host.until_logged("action succeeded");
    let log = host.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        for key in ["timestamp", "level", "component", "message", "fields"] {
            assert!(line.get(key).is_some(), "{key} in {line}");
        }
    }
    for message in ["action started", "action succeeded"] {
        let line = lines.iter().find(|line| line["message"] == message && line["action_id"] == action_id);
        let line = line.unwrap_or_else(|| panic!("there is no `{message}`"));
        assert_eq!((&line["trace_id"], &line["component"]), (&json!(trace_id), &json!("executor")));
    }
    assert!(lines.iter().any(|line| line["message"] == "listening" && line["fields"]["addr"].is_string()));
    host.succeed(&on("MicroVMDelete", &id));
}
