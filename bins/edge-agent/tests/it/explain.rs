//! Why a VM is as it is: with real QEMU, with and without the daemon.

use serde_json::{Value, json};

use crate::harness::{Host, alive, installed, on, send_signal, until, vm_id};

fn explain(host: &Host, vm: &str) -> Value {
    let ran = host.run(&["explain", "vm", vm, "--output", "json"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    ran.json()
}

/// What is found, whether the journal agrees, pieces of sentences, and facts that hold or do not.
fn check(view: &Value, found: &str, agrees: bool, sentences: &[(&str, &str)], facts: &[(&str, Value)]) {
    assert_eq!((&view["found"], &view["agrees"]), (&json!(found), &json!(agrees)), "{view:#}");
    for (key, piece) in sentences {
        assert!(
            view[*key].as_str().is_some_and(|told| told.contains(piece)),
            "{key} lacks `{piece}`: {view:#}"
        );
    }
    for (name, holds) in facts {
        let fact = view["evidence"].as_array().unwrap().iter().find(|fact| fact["name"] == *name);
        assert_eq!(fact.map(|fact| &fact["holds"]), Some(holds), "{name}: {view:#}");
    }
}

#[test]
fn a_vm_is_explained_with_and_without_the_daemon() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let mut host = Host::running("");
    let (id, dies, stopped) = (vm_id(1), vm_id(2), vm_id(3));
    for (id, name) in [(&id, "web-1"), (&dies, "dies"), (&stopped, "idle")] {
        host.succeed(&host.create(id, name));
    }
    host.succeed(&json!({"action_type": "MicroVMStop", "params": {"vm_id": stopped, "grace_seconds": 0}}));

    let view = explain(&host, "web-1");
    let alive_facts =
        [("lock", json!(true)), ("uuid", json!(true)), ("monitor", json!(true)), ("pid", json!(true))];
    check(
        &view,
        "running",
        true,
        &[("why", "QEMU says that the guest runs"), ("next", "nothing")],
        &alive_facts,
    );
    assert_eq!((&view["vm_id"], &view["daemon_running"]), (&json!(id), &json!(true)));
    assert_eq!(view["journal"]["last_action"]["action_type"], "MicroVMCreate");
    assert_eq!(view["journal"]["last_action"]["status"], "success");
    host.succeed(&on("MicroVMPause", &id));
    let view = explain(&host, &id);
    check(&view, "paused", true, &[("why", "does not run on"), ("remedy", "MicroVMResume")], &alive_facts);

    send_signal(host.vmm_pid(&dies).unwrap(), "KILL");
    host.wait_for_vm(&dies, "failed");
    let dead_facts = [("lock", json!(false)), ("process", json!(false)), ("monitor", Value::Null)];
    let view = explain(&host, "dies");
    check(&view, "stopped", true, &[("why", "killed by signal 9"), ("remedy", "MicroVMStart")], &dead_facts);
    let view = explain(&host, "idle");
    check(&view, "stopped", true, &[("why", "stopped on request")], &dead_facts);

    // Without the daemon the same comes from the journal and the host.
    host.stop();
    let view = explain(&host, "web-1");
    check(&view, "paused", true, &[("why", "does not run on")], &alive_facts);
    assert_eq!(view["daemon_running"], false);
    let pid = host.vmm_pid(&id).unwrap();
    send_signal(pid, "KILL");
    until("its death", || (!alive(pid)).then_some(()));
    let view = explain(&host, &id);
    let next = [("next", "records that it is failed and not paused"), ("remedy", "edge-agent run")];
    check(&view, "stopped", false, &next, &dead_facts);
    let text = host.run(&["explain", "vm", "web-1"]).stdout();
    for piece in [
        "VM:       01890a5d",
        "(web-1)",
        "not what the journal says",
        "✗ lock",
        "Journal:  paused since",
        "STOP",
    ] {
        assert!(text.contains(piece), "{piece}: {text}");
    }
    // What was foretold comes true.
    host.start();
    host.wait_for_vm(&id, "failed");
}

#[test]
fn a_look_at_a_host_without_its_daemon_sweeps_nothing_and_the_daemon_does() {
    let mut host = Host::running("");
    host.stop();
    let gone = host.vm_dir(&format!(".gone-{}", vm_id(1)));
    std::fs::create_dir_all(&gone).unwrap();
    for look in [["vms", "--output", "json"], ["executions", "--output", "json"]] {
        assert_eq!(host.run(&look).code(), 0, "{look:?}");
        assert!(gone.exists(), "{look:?}");
    }
    host.start();
    assert!(!gone.exists());
    host.stop();
}

#[test]
fn who_is_unknown_is_told_with_the_nearest_that_is_known() {
    let mut host = Host::running("[providers]\nsimulated = true\n");
    host.succeed(&host.create_simulated(&vm_id(4), "database-1", &json!({})));
    let check = |host: &Host| {
        let ran = host.run(&["explain", "vm", "databse-1"]);
        assert_eq!(ran.code(), 1);
        assert!(
            ran.stderr().contains("no vm databse-1 on this host; did you mean database-1?"),
            "{}",
            ran.stderr()
        );
        let ran = host.run(&["explain", "vm", &vm_id(77)]);
        assert_eq!(ran.code(), 1);
        assert!(ran.stderr().contains("no vm"), "{}", ran.stderr());
        let ran = host.run(&["explain", "vm", "zebra"]);
        assert!(ran.stderr().contains("`edge-agent vms` lists them"), "{}", ran.stderr());
        for wrong in ["a/b", "", "../x", "a b"] {
            assert_eq!(host.run(&["explain", "vm", wrong]).code(), 2, "{wrong}");
        }
        let view = explain(host, "database-1");
        assert_eq!((&view["found"], &view["evidence"][0]["name"]), (&json!("running"), &json!("deeds")));
    };
    check(&host);
    host.succeed(&host.create_simulated(&vm_id(5), "short", &json!({})));
    host.succeed(&on("MicroVMDelete", &vm_id(5)));
    let ran = host.run(&["explain", "vm", &vm_id(5)]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr().contains("says that it was deleted"), "{}", ran.stderr());
    assert_eq!(host.request("GET", "/v1/vms/nobody/explain", "").status, 404);
    assert_eq!(host.request("GET", "/v1/vms/a%20b/explain", "").status, 422);
    host.stop();
    check(&host);
    assert_eq!(Host::new().run(&["explain", "vm", "x"]).code(), 1, "there is no state directory");
}
