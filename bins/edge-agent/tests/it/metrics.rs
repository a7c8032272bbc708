//! What a scraper sees.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Host, http_get, installed, on, until, vm_id};

const SIMULATED: &str = "[providers]\nsimulated = true\n";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// What promtool complains of and has to: the agreed names that its naming rules do not know.
const LINT_ALLOWED: &[&str] = &["nkudo_vms_total non-counter metrics should not have \"_total\" suffix"];

/// The agreed names and their types.
const AGREED: &[(&str, &str)] = &[
    ("nkudo_vms_total", "gauge"),
    ("nkudo_vm_cpu_cores", "gauge"),
    ("nkudo_vm_memory_bytes", "gauge"),
    ("nkudo_actions_executed_total", "counter"),
    ("nkudo_actions_ended_total", "counter"),
    ("nkudo_actions_duration_seconds", "histogram"),
    ("nkudo_heartbeats_sent_total", "counter"),
    ("nkudo_heartbeat_failures_total", "counter"),
    ("nkudo_heartbeat_duration_seconds", "histogram"),
    ("nkudo_disk_usage_bytes", "gauge"),
    ("nkudo_disk_total_bytes", "gauge"),
    ("nkudo_host_cpu_usage_percent", "gauge"),
    ("nkudo_host_memory_usage_bytes", "gauge"),
    ("nkudo_agent_certificate_expiry_timestamp", "gauge"),
    ("nkudo_agent_health_status", "gauge"),
    ("nkudo_component_messages_processed_total", "counter"),
    ("nkudo_component_processing_latency_seconds", "histogram"),
];

#[test]
fn every_agreed_metric_is_there_from_the_start_with_all_its_states_at_zero() {
    let host = Host::running("");
    let text = host.metrics("").body;
    for (name, kind) in AGREED {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is a {kind}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has help");
    }
    for state in ["creating", "running", "paused", "stopped", "failed", "unknown"] {
        assert_eq!(host.sample(&format!("nkudo_vms_total{{state=\"{state}\"}}")), Some(0.0), "{state}");
    }
    let types = [
        "MicroVMCreate",
        "MicroVMStart",
        "MicroVMStop",
        "MicroVMDelete",
        "MicroVMPause",
        "MicroVMResume",
        "MicroVMSnapshot",
        "MicroVMRestore",
        "MicroVMSnapshotDelete",
        "CommandExecute",
    ];
    for action_type in types {
        for status in ["success", "failure"] {
            let name =
                format!("nkudo_actions_executed_total{{action_type=\"{action_type}\",status=\"{status}\"}}");
            assert_eq!(host.sample(&name), Some(0.0), "{name}");
        }
        for status in ["cancelled", "expired", "timed_out"] {
            let name =
                format!("nkudo_actions_ended_total{{action_type=\"{action_type}\",status=\"{status}\"}}");
            assert_eq!(host.sample(&name), Some(0.0), "{name}");
        }
    }
    assert!(!text.lines().any(|line| line.starts_with("nkudo_agent_certificate_expiry_timestamp")));
    until("healthy", || {
        (host.sample("nkudo_agent_health_status{health=\"healthy\"}") == Some(1.0)).then_some(())
    });
}

#[test]
fn counts_follow_the_actions_and_a_deleted_vms_series_go() {
    let host = Host::running(SIMULATED);
    let id = vm_id(1);
    host.succeed(&host.create_simulated(&id, "counted", &json!({})));
    let labels = format!("{{vm_id=\"{id}\",vm_name=\"counted\"}}");
    assert_eq!(host.sample(&format!("nkudo_vm_cpu_cores{labels}")), Some(1.0));
    assert_eq!(host.sample(&format!("nkudo_vm_memory_bytes{labels}")), Some(f64::from(32 << 20)));
    assert_eq!(host.sample("nkudo_vms_total{state=\"running\"}"), Some(1.0));
    host.succeed(&on("MicroVMPause", &id));
    host.succeed(&on("MicroVMPause", &id));
    host.fail(&on("MicroVMStart", &id));
    let executed = |action_type: &str, status: &str| {
        let name =
            format!("nkudo_actions_executed_total{{action_type=\"{action_type}\",status=\"{status}\"}}");
        host.sample(&name)
    };
    assert_eq!(executed("MicroVMPause", "success"), Some(2.0), "unchanged is success");
    assert_eq!(executed("MicroVMStart", "failure"), Some(1.0), "a wrong state is failure");
    let count = host.sample("nkudo_actions_duration_seconds_count{action_type=\"MicroVMPause\"}");
    assert_eq!(count, Some(2.0));
    host.succeed(&on("MicroVMDelete", &id));
    assert!(!host.metrics("").body.contains(&id));
    assert_eq!(host.sample("nkudo_vms_total{state=\"running\"}"), Some(0.0));
}

#[test]
fn both_formats_please_their_strictest_readers() {
    let host = Host::running(SIMULATED);
    host.succeed(&host.create_simulated(&vm_id(2), "seen", &json!({})));
    let text = host.metrics("text/plain");
    assert!(text.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", text.head);
    if installed("promtool") {
        let (_, complaints) = feed(Command::new("promtool").args(["check", "metrics"]), &text.body);
        let unexpected: Vec<&str> =
            complaints.lines().filter(|line| !LINT_ALLOWED.contains(&line.trim())).collect();
        assert_eq!(unexpected, Vec::<&str>::new());
    }
    let open = host.metrics(OPENMETRICS);
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(open.head.contains(content_type), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
    let script = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as p\n\
        n = sum(len(f.samples) for f in p(sys.stdin.read()))\nprint(n)\n";
    let mut import = Command::new("/usr/bin/python3");
    if import.args(["-c", "import prometheus_client"]).output().is_ok_and(|output| output.status.success()) {
        let (code, said) = feed(Command::new("/usr/bin/python3").args(["-c", script]), &open.body);
        assert_eq!(code, 0, "{said}");
        assert!(said.trim().parse::<u32>().unwrap() > 100, "{said}");
    } else {
        eprintln!("SKIPPED: python3-prometheus-client is not installed; `cargo xtask test` installs it");
    }
}

#[test]
fn probes_and_the_local_view_agree() {
    let host = Host::running("");
    let address = host.metrics_address().unwrap();
    assert_eq!(http_get(&address, "/healthz", "").unwrap().status, 200);
    assert_eq!(http_get(&address, "/readyz", "").unwrap().status, 200);
    assert_eq!(http_get(&address, "/nothing", "").unwrap().status, 404);
    let ran = host.run(&["metrics", "--name", "nkudo_vms_total", "--output", "json"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert_eq!(ran.json()["items"].as_array().unwrap().len(), 6);
    let health: Value = host.run(&["health", "--output", "json"]).json();
    assert_eq!(health["health"], "healthy", "{health}");
    let names: Vec<&str> =
        health["components"].as_array().unwrap().iter().map(|c| c["component"].as_str().unwrap()).collect();
    for name in ["executor", "exporter", "local", "sampler"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// Gives a program its standard input and returns its exit code and everything it said.
fn feed(command: &mut Command, input: &str) -> (i32, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}
