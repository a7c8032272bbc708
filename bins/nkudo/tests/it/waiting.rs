//! Actions asked for, followed and cancelled.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{AGENT, Asked, ControlPlane, Ran, VM, answer, events, file, ok, problem, vm};

/// A control plane that takes every action, and tells these statuses of it.
fn taking(statuses: &'static [&'static str]) -> ControlPlane {
    ControlPlane::new(move |asked| take(asked, || events(statuses, false)))
}

fn take(asked: &Asked, events: impl FnOnce() -> axum::response::Response) -> axum::response::Response {
    match asked.line.as_str() {
        line if line.ends_with("/events") => events(),
        line if line.starts_with("GET /v1/vms/") => ok(&vm("web-1")),
        _ => answer(202, &json!({"action_id": "a-1"})),
    }
}

/// The body of the one action that was asked for.
fn body(control_plane: &ControlPlane) -> Value {
    let posted = control_plane.asked().into_iter().find(|asked| asked.line.starts_with("POST")).unwrap();
    assert_eq!(posted.line, format!("POST /v1/agents/{AGENT}/actions"));
    posted.body
}

#[test]
fn a_deed_goes_to_the_agent_of_the_vm() {
    for (args, action_type, params) in [
        (&["start", VM][..], "MicroVMStart", json!({"vm_id": VM})),
        (&["stop", VM], "MicroVMStop", json!({"vm_id": VM, "grace_seconds": 30})),
        (&["stop", VM, "--grace-seconds", "0"], "MicroVMStop", json!({"vm_id": VM, "grace_seconds": 0})),
        (&["pause", VM], "MicroVMPause", json!({"vm_id": VM})),
        (&["resume", VM], "MicroVMResume", json!({"vm_id": VM})),
        (&["delete", VM], "MicroVMDelete", json!({"vm_id": VM, "delete_disks": false})),
        (&["delete", VM, "--delete-disks"], "MicroVMDelete", json!({"vm_id": VM, "delete_disks": true})),
    ] {
        let control_plane = taking(&[]);
        let ran = control_plane.run(&[&["vms"], args].concat()).expect(0);
        assert_eq!(ran.stdout(), "a-1\n");
        let body = body(&control_plane);
        assert_eq!((&body["action_type"], &body["params"]), (&json!(action_type), &params));
        assert!(body["action_id"].is_string(), "asked for again it is the same: {body}");
        assert_eq!(control_plane.lines()[0], format!("GET /v1/vms/{VM}"));
    }
    let control_plane = taking(&[]);
    let args = ["vms", "start", VM, "--agent", AGENT, "--timeout-seconds", "7", "--output", "json"];
    assert_eq!(control_plane.run(&args).expect(0).json(), json!({"action_id": "a-1"}));
    assert_eq!(body(&control_plane)["timeout_seconds"], 7);
    assert_eq!(control_plane.lines().len(), 1, "whose agent is named is not looked up");
}

#[test]
fn a_vm_is_created_from_flags() {
    let control_plane = taking(&[]);
    control_plane
        .run(&[
            "vms",
            "create",
            "--agent",
            AGENT,
            "--name",
            "web-1",
            "--memory",
            "64MiB",
            "--kernel",
            "/k",
            "--vcpus",
            "2",
            "--disk",
            "/d,readonly",
            "--machine",
            "microvm",
            "--provider",
            "qemu",
            "--label",
            "role=web",
            "--no-autostart",
            "--vm-id",
            VM,
            "--cmdline",
            "-x",
            "--restart-policy",
            "always",
        ])
        .expect(0);
    let body = body(&control_plane);
    let params = json!({
        "vm_id": VM, "vm_name": "web-1", "vcpus": 2, "memory_bytes": 67_108_864, "kernel": "/k", "initramfs": null,
        "cmdline": "-x", "disks": [{"path": "/d", "readonly": true, "format": "raw"}], "nics": [], "console": "log",
        "provider": "qemu", "machine": "microvm", "autostart": false, "restart_policy": "always",
        "labels": {"role": "web"}
    });
    assert_eq!((&body["action_type"], &body["params"]), (&json!("MicroVMCreate"), &params));
}

#[test]
fn a_vm_is_created_from_a_file() {
    let params =
        json!({"vm_id": VM, "vm_name": "web-1", "vcpus": 1, "memory_bytes": 67_108_864, "kernel": "/k"});
    let whole = json!({"action_id": "mine", "action_type": "MicroVMCreate", "params": params});
    let toml = format!(
        "vm_id = \"{VM}\"\nvm_name = \"web-1\"\nvcpus = 1\nmemory_bytes = 67108864\nkernel = \"/k\"\n"
    );
    for (name, text) in
        [("vm.json", params.to_string()), ("vm.toml", toml), ("action.json", whole.to_string())]
    {
        let control_plane = taking(&[]);
        let (_dir, path) = file(name, &text);
        control_plane.run(&["vms", "create", "--agent", AGENT, "-f", path.to_str().unwrap()]).expect(0);
        assert_eq!(body(&control_plane)["params"]["vm_name"], "web-1", "{name}");
    }
    let control_plane = taking(&[]);
    let mut command = control_plane.command(&["vms", "create", "--agent", AGENT, "-f", "-"]);
    Ran::with_input(&mut command, &whole.to_string()).expect(0);
    assert_eq!(body(&control_plane)["action_id"], "mine");
}

#[test]
fn a_file_that_is_wrong_is_refused_before_anything_is_asked() {
    let control_plane = taking(&[]);
    let create = |name: &str, text: &str, part: &str| {
        let (_dir, path) = file(name, text);
        control_plane.run(&["vms", "create", "--agent", AGENT, "-f", path.to_str().unwrap()]).says(2, part);
    };
    create(
        "vm.json",
        "{\"vm_name\": \"web-1\", \"vcpu\": 1}",
        "params.vcpu: is not a known field; did you mean `vcpus`?",
    );
    create("vm.json", "{", "it is not JSON");
    create("vm.json", "{\"vm_name\": \"a\", \"vm_name\": \"b\"}", "vm_name: is given twice");
    create("vm.json", "[]", "it has no action");
    let start = json!({"action_type": "MicroVMStart", "params": {"vm_id": VM}});
    create("vm.json", &start.to_string(), "it is not the creation of one VM");

    let (_dir, path) = file("actions.json", &json!([start, {"action_type": "Nonsense"}]).to_string());
    let submit = ["actions", "submit", "--agent", AGENT, "-f", path.to_str().unwrap()];
    control_plane.run(&submit).says(2, "[1].action_type: `Nonsense` is not an action type");
    control_plane
        .run(&["actions", "submit", "--agent", AGENT, "-f", "/nowhere"])
        .says(2, "/nowhere cannot be read");
    assert_eq!(control_plane.lines(), [] as [String; 0]);
}

#[test]
fn success_is_waited_for_with_progress_on_standard_error() {
    let control_plane = taking(&["queued", "delivered", "running", "running", "success"]);
    let ran = control_plane.run(&["vms", "stop", VM, "--wait"]).expect(0);
    assert_eq!(ran.stdout(), "a-1 MicroVMStop success (12 ms)\n");
    let told: Vec<String> =
        ran.stderr().lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(told, [AGENT, "delivered", "running", "success"]);

    let json = control_plane.run(&["vms", "stop", VM, "--wait", "--output", "json"]).expect(0).json();
    assert_eq!((&json["status"], &json["a_later_key"]), (&json!("success"), &json!(1)), "as it came");
}

#[test]
fn every_other_end_is_exit_code_1() {
    for (status, line) in [
        ("failure", "a-1 MicroVMStop failure: cannot stop vm web-1: it is gone (12 ms)\n"),
        ("cancelled", "a-1 MicroVMStop cancelled (12 ms)\n"),
        ("expired", "a-1 MicroVMStop expired (12 ms)\n"),
    ] {
        let statuses: &'static [&'static str] = Vec::leak(vec!["queued", status]);
        let control_plane = taking(statuses);
        assert_eq!(control_plane.run(&["vms", "stop", VM, "--wait"]).expect(1).stdout(), line);
        assert_eq!(control_plane.run(&["actions", "wait", "a-1"]).expect(1).stdout(), line);
        let code = i32::from(status != "cancelled");
        assert_eq!(control_plane.run(&["actions", "cancel", "a-1", "--wait"]).expect(code).stdout(), line);
    }
}

#[test]
fn a_stream_that_breaks_is_opened_again() {
    let opened = AtomicUsize::new(0);
    let control_plane = ControlPlane::new(move |asked| {
        take(asked, || match opened.fetch_add(1, Ordering::Relaxed) {
            0 => events(&["queued", "running"], false),
            1 => problem(503, "about to end"),
            _ => events(&["running", "success"], false),
        })
    });
    let ran = control_plane.run(&["actions", "wait", "a-1"]).expect(0);
    assert_eq!(ran.stdout(), "a-1 MicroVMStop success (12 ms)\n");
    assert_eq!(ran.stderr().matches(" running").count(), 1, "told once: {}", ran.stderr());
    assert_eq!(control_plane.lines().len(), 3);
}

#[test]
fn a_control_plane_that_never_answered_is_not_waited_for() {
    let control_plane = ControlPlane::new(|_| problem(503, "about to end"));
    control_plane.run(&["actions", "wait", "a-1"]).says(1, "about to end");
    assert_eq!(control_plane.lines().len(), 1);
}

#[test]
fn an_action_that_does_not_end_is_left_after_a_while() {
    let control_plane = ControlPlane::new(|_| events(&["running"], true));
    let ran = control_plane.run(&["actions", "wait", "a-1", "--timeout-seconds", "1"]);
    ran.says(1, "action a-1 did not end within 1 s; it may do so yet");
}

#[test]
fn an_unknown_action_or_vm_is_said_to_be_unknown() {
    let control_plane = ControlPlane::new(|_| problem(404, "there is no such thing"));
    for args in [&["actions", "wait", "a-9"][..], &["actions", "show", "a-9"], &["vms", "start", VM]] {
        control_plane.run(args).says(1, "there is no such thing");
    }
}

#[test]
fn a_cancellation_is_asked_for() {
    let control_plane = taking(&[]);
    let ran = control_plane.run(&["actions", "cancel", "a-1"]).expect(0);
    assert_eq!(ran.stdout(), "action a-1 is being cancelled\n");
    assert_eq!(control_plane.lines(), ["POST /v1/actions/a-1/cancel"]);
}

#[test]
fn the_actions_of_a_file_are_asked_for_in_order_until_one_fails() {
    let start = |id: &str| json!({"action_id": id, "action_type": "MicroVMStart", "params": {"vm_id": VM}});
    let (_dir, path) = file("actions.json", &json!({"actions": [start("one"), start("two")]}).to_string());
    let submit = ["actions", "submit", "--agent", AGENT, "-f", path.to_str().unwrap()];
    let posted = |control_plane: &ControlPlane| {
        let asked = control_plane.asked().into_iter().filter(|asked| asked.line.starts_with("POST"));
        asked.map(|asked| asked.body["action_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let control_plane = taking(&["failure"]);
    assert_eq!(control_plane.run(&submit).expect(0).stdout(), "a-1\na-1\n");
    assert_eq!(posted(&control_plane), ["one", "two"]);

    let control_plane = taking(&["failure"]);
    let ran = control_plane.run(&[&submit[..], &["--wait", "--output", "json"]].concat()).expect(1);
    assert_eq!(ran.stdout().lines().count(), 1);
    assert_eq!(posted(&control_plane), ["one"]);
}
