//! A create that fails on a real QEMU is one trace, from the operator's request to the step that was slow.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use xtask::agent::{until, vm_id};

use super::rounds::Fleet;

/// How long the program that stands before QEMU waits.
const SLOW_SECONDS: f64 = 1.5;

/// A host whose QEMU, with the kernel `nkudo-slow`, takes its time to begin and then refuses a device.
fn slow_fleet(dir: &Path) -> Fleet {
    let wrapper = dir.join("slow-qemu");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  *nkudo-slow*) sleep {SLOW_SECONDS}; set -- \"$@\" -device no-such-device;;\nesac\n\
         exec qemu-system-x86_64 \"$@\"\n"
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let fleet =
        Fleet::start(&format!("[qemu]\nprogram = {:?}\naccel = \"tcg\"\n", wrapper.display().to_string()));
    std::fs::copy(fleet.host.kernel(), dir.join("nkudo-slow")).unwrap();
    fleet
}

fn spans(trace: &Value) -> &Vec<Value> {
    trace["spans"].as_array().unwrap()
}

/// Whether each span but one has its parent in the trace.
fn is_one_tree<'s>(spans: impl Iterator<Item = (&'s str, &'s str)> + Clone) -> bool {
    let ids: HashSet<&str> = spans.clone().map(|(id, _)| id).collect();
    spans.filter(|(_, parent)| !ids.contains(parent)).count() == 1
}

#[test]
fn a_failed_create_is_one_trace_whose_critical_path_names_the_slow_step() {
    let dir = tempfile::tempdir().unwrap();
    let fleet = slow_fleet(dir.path());
    let id = vm_id(1);
    let mut create = fleet.host.create(&id, "broken");
    create["action_id"] = json!("e2e-broken");
    create["params"]["kernel"] = json!(dir.path().join("nkudo-slow"));
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    assert_eq!(fleet.control.rest("POST", &path, Some(&create)).unwrap().unwrap().0, 202);
    let action = until("the end of the action", || {
        let action = fleet.control.get("/v1/actions/e2e-broken").ok()?;
        (action["status"] == "failure").then_some(action)
    })
    .unwrap();
    let trace_id = action["trace_id"].as_str().unwrap();
    let error = action["error"].as_str().unwrap();
    assert!(error.contains("no-such-device"), "QEMU's own words: {error}");

    // Found by each of what people know of it; nothing else is found.
    let queries = [
        "action_id=e2e-broken".to_owned(),
        format!("vm_id={id}"),
        format!("agent_id={}&status=error", fleet.agent_id),
        "q=no-such-device&status=error".to_owned(),
    ];
    for query in queries {
        let found = until(&query, || {
            let found = fleet.control.get(&format!("/v1/traces?{query}")).ok()?["items"].as_array()?.clone();
            (!found.is_empty()).then_some(found)
        })
        .unwrap();
        assert!(found.iter().any(|trace| trace["trace_id"] == trace_id), "{query}: {found:?}");
    }

    // Whole: the request, the delivery and what the host did hang together.
    let whole = until("the whole trace", || {
        let trace = fleet.control.get(&format!("/v1/traces/{trace_id}")).ok()?;
        let names: Vec<&str> = spans(&trace).iter().filter_map(|span| span["name"].as_str()).collect();
        names.contains(&"attempt").then_some(trace)
    })
    .unwrap();
    let tree = spans(&whole).iter().map(|span| {
        (span["span_id"].as_str().unwrap_or_default(), span["parent_id"].as_str().unwrap_or_default())
    });
    assert!(is_one_tree(tree), "{whole:#}");
    assert_eq!(whole["status"], "error");

    // The slow step is the one that waited for QEMU.
    let slow = &whole["slow_step"];
    let self_ms = slow["self_ms"].as_f64().unwrap();
    assert!(self_ms >= SLOW_SECONDS * 900.0, "{slow}");
    assert!(self_ms <= whole["duration_ms"].as_f64().unwrap());
    let slow_span = spans(&whole).iter().find(|span| span["span_id"] == slow["span_id"]).unwrap();
    assert_eq!(slow_span["service"], "edge-agent", "{slow_span}");

    // The same ids in the lines of both programs.
    for log in [fleet.control.log(), fleet.host.log()] {
        let text = std::fs::read_to_string(&log).unwrap();
        let told = text.lines().any(|line| line.contains(trace_id) && line.contains("e2e-broken"));
        assert!(told, "{} does not tell of trace {trace_id}", log.display());
    }
    let drawn = fleet.control.operator_says(&["traces", trace_id]).unwrap();
    assert!(drawn.contains(slow["name"].as_str().unwrap()), "{drawn}");

    // A collector takes it, and every parent is in place behind it.
    let otlp = dir.path().join("trace.otlp.json");
    let text = fleet.control.operator_says(&["traces", trace_id, "--format", "otlp"]).unwrap();
    std::fs::write(&otlp, text).unwrap();
    let collected = through_collector(&otlp);
    assert_eq!(collected.len(), spans(&whole).len());
    let tree = collected.iter().map(|span| {
        (span["span_id"].as_str().unwrap_or_default(), span["parent_id"].as_str().unwrap_or_default())
    });
    assert!(is_one_tree(tree), "{collected:#?}");
    assert!(collected.iter().all(|span| span["trace_id"] == trace_id));
    assert!(collected.iter().any(|span| span["failed"] == true));
}

/// The spans of a file as a real collector exports them.
fn through_collector(file: &Path) -> Vec<Value> {
    let python = xtask::collector::python().unwrap();
    let script = xtask::shell::root().join("xtask/collector/through.py");
    let output = std::process::Command::new(python).arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
