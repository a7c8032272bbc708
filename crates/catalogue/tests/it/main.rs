//! The catalogue against registries that are filled as the agent fills its own.

use std::path::Path;
use std::time::Duration;

use nkudo_catalogue::{
    AgentMetrics, ControlMetrics, Entry, PREFIX, VmReading, VmThrottled, agent, control, markdown,
};
use nkudo_domain::{ActionType, ProviderKind, VmId, VmName, VmState};
use nkudo_metrics_core::{Registry, Sample};

fn registered() -> (Registry, AgentMetrics) {
    let registry = Registry::new();
    let metrics = AgentMetrics::register(&registry);
    (registry, metrics)
}

/// The value of `name{label="value",…}`, or none when there is no such sample.
fn value(registry: &Registry, wanted: &str) -> Option<f64> {
    let shown = |sample: &Sample| {
        let labels: Vec<String> =
            sample.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if labels.is_empty() {
            sample.name.clone()
        } else {
            format!("{}{{{}}}", sample.name, labels.join(","))
        }
    };
    registry.snapshot().iter().find(|sample| shown(sample) == wanted).map(|sample| sample.value)
}

fn check(registry: &Registry, expected: &[(&str, Option<f64>)]) {
    for (wanted, expected) in expected {
        assert_eq!(value(registry, wanted), *expected, "{wanted}");
    }
}

fn vm() -> (VmId, VmName) {
    let vm_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("a UUID");
    (vm_id, "web-1".parse().expect("a name"))
}

/// What records traces, in a directory that is gone with what is given back.
fn register_traces(registry: &Registry) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let (_, drain) = nkudo_spans::spans(&nkudo_spans::SpansOptions::default(), ());
    let drain = drain.expect("finished spans are asked for");
    let redactor = nkudo_logging::Redactor::new(&[], nkudo_logging::OutputCounts::default());
    let redactor = redactor.expect("there is nothing to look for");
    let recorder =
        nkudo_recorder::Recorder::start(dir.path(), nkudo_traces::Config::default(), drain, redactor);
    recorder.expect("its bounds make sense").register(registry, PREFIX);
    dir
}

#[tokio::test]
async fn what_the_agent_registers_is_what_the_catalogue_lists() {
    let (registry, _metrics) = registered();
    let _supervisor = nkudo_supervision::Supervisor::new(&registry, PREFIX, || 0);
    nkudo_exporter::collectors::register(&registry, PREFIX, &[]);
    let (_, log) =
        nkudo_logging::subscriber(&nkudo_logging::LogConfig::default(), nkudo_logging::Lines::default());
    log.register(&registry, PREFIX);
    let dir = register_traces(&registry);
    drop(nkudo_scribe::register(&registry, PREFIX));
    let listed: Vec<_> = agent().into_iter().map(|entry| entry.desc).collect();
    assert_eq!(registry.descs(), listed);
    drop(dir);
}

#[tokio::test]
async fn what_the_control_plane_registers_is_what_the_catalogue_lists() {
    let registry = Registry::new();
    let _metrics = ControlMetrics::register(&registry);
    let _supervisor = nkudo_supervision::Supervisor::new(&registry, PREFIX, || 0);
    nkudo_exporter::collectors::register(&registry, PREFIX, &[]);
    let (_, log) =
        nkudo_logging::subscriber(&nkudo_logging::LogConfig::default(), nkudo_logging::Lines::default());
    log.register(&registry, PREFIX);
    let dir = register_traces(&registry);
    drop(nkudo_scribe::register(&registry, PREFIX));
    let listed: Vec<_> = control().into_iter().map(|entry| entry.desc).collect();
    assert_eq!(registry.descs(), listed);
    drop(dir);
}

#[test]
fn the_agreed_metrics_have_their_agreed_types_and_labels() {
    let check = |name: &str, kind: &str, labels: &[&str]| {
        let all = agent();
        let found: Vec<&Entry> = all.iter().filter(|entry| entry.desc.name == name).collect();
        let [Entry { program: "edge-agent", desc }] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert_eq!((desc.kind.as_str(), desc.labels), (kind, labels), "{name}");
    };
    check("nkudo_vms_total", "gauge", &["state"]);
    check("nkudo_vm_cpu_cores", "gauge", &["vm_id", "vm_name"]);
    check("nkudo_vm_memory_bytes", "gauge", &["vm_id", "vm_name"]);
    check("nkudo_actions_executed_total", "counter", &["action_type", "status"]);
    check("nkudo_actions_ended_total", "counter", &["action_type", "status"]);
    check("nkudo_actions_duration_seconds", "histogram", &["action_type"]);
    check("nkudo_heartbeats_sent_total", "counter", &[]);
    check("nkudo_heartbeat_failures_total", "counter", &[]);
    check("nkudo_heartbeat_duration_seconds", "histogram", &[]);
    check("nkudo_disk_usage_bytes", "gauge", &["path"]);
    check("nkudo_disk_total_bytes", "gauge", &["path"]);
    check("nkudo_host_cpu_usage_percent", "gauge", &[]);
    check("nkudo_host_memory_usage_bytes", "gauge", &[]);
    check("nkudo_agent_certificate_expiry_timestamp", "gauge", &[]);
    check("nkudo_agent_health_status", "gauge", &["health"]);
    check("nkudo_component_messages_processed_total", "counter", &["component"]);
    check("nkudo_component_processing_latency_seconds", "histogram", &["component"]);
}

#[test]
fn the_agreed_bounds_are_among_the_buckets() {
    let check = |name: &str, bounds: &[f64]| {
        let entry = agent().into_iter().find(|entry| entry.desc.name == name).unwrap();
        assert!(bounds.iter().all(|bound| entry.desc.buckets.contains(bound)), "{name}");
    };
    check("nkudo_actions_duration_seconds", &[0.001, 600.0]);
    check("nkudo_component_processing_latency_seconds", &[0.001, 0.01]);
}

#[test]
fn states_and_pairs_are_there_from_the_start_at_zero() {
    let (registry, _metrics) = registered();
    for state in VmState::ALL {
        check(&registry, &[(&format!("nkudo_vms_total{{state=\"{state}\"}}"), Some(0.0))]);
    }
    for action_type in ActionType::ALL {
        for (name, statuses) in [
            ("nkudo_actions_executed_total", &["success", "failure"][..]),
            ("nkudo_actions_ended_total", &["cancelled", "expired", "timed_out"]),
        ] {
            for status in statuses {
                let wanted = format!("{name}{{action_type=\"{action_type}\",status=\"{status}\"}}");
                check(&registry, &[(&wanted, Some(0.0))]);
            }
        }
        let count = format!("nkudo_actions_duration_seconds_count{{action_type=\"{action_type}\"}}");
        check(&registry, &[(&count, Some(0.0))]);
    }
}

#[test]
fn each_handle_writes_to_its_metric() {
    let (registry, metrics) = registered();
    metrics.action_executed(ActionType::Pause, "failure");
    metrics.action_ended(ActionType::Create, "timed_out");
    metrics.action_duration(ActionType::Pause, 1_500);
    metrics.action_retries(ActionType::Start, 3);
    metrics.vms(VmState::Running, 4);
    metrics.host_cpu_usage_percent(12.5);
    metrics.host_memory_usage_bytes(1 << 30);
    metrics.disk(Path::new("/var/lib"), 5, 9);
    metrics.heartbeat(Duration::from_millis(250), true);
    metrics.heartbeat(Duration::from_secs(2), false);
    metrics.provider_call(ProviderKind::Qemu, "boot", Duration::from_millis(20), true);
    metrics.provider_call(ProviderKind::Qemu, "pause", Duration::from_millis(20), false);
    metrics.journal.appended_bytes.inc_by(512);
    metrics.journal.sync_seconds.observe(0.5);
    check(
        &registry,
        &[
            ("nkudo_actions_executed_total{action_type=\"MicroVMPause\",status=\"failure\"}", Some(1.0)),
            ("nkudo_actions_ended_total{action_type=\"MicroVMCreate\",status=\"timed_out\"}", Some(1.0)),
            ("nkudo_actions_duration_seconds_sum{action_type=\"MicroVMPause\"}", Some(1.5)),
            ("nkudo_actions_retries_total{action_type=\"MicroVMStart\"}", Some(3.0)),
            ("nkudo_vms_total{state=\"running\"}", Some(4.0)),
            ("nkudo_host_cpu_usage_percent", Some(12.5)),
            ("nkudo_host_memory_usage_bytes", Some(f64::from(1 << 30))),
            ("nkudo_disk_usage_bytes{path=\"/var/lib\"}", Some(5.0)),
            ("nkudo_disk_total_bytes{path=\"/var/lib\"}", Some(9.0)),
            ("nkudo_heartbeats_sent_total", Some(2.0)),
            ("nkudo_heartbeat_failures_total", Some(1.0)),
            ("nkudo_heartbeat_duration_seconds_sum", Some(2.25)),
            ("nkudo_provider_calls_total{provider=\"qemu\",operation=\"boot\"}", Some(1.0)),
            ("nkudo_provider_errors_total{provider=\"qemu\",operation=\"boot\"}", Some(0.0)),
            ("nkudo_provider_errors_total{provider=\"qemu\",operation=\"pause\"}", Some(1.0)),
            ("nkudo_journal_appended_bytes_total", Some(512.0)),
            ("nkudo_journal_sync_duration_seconds_count", Some(1.0)),
        ],
    );
}

#[test]
fn what_is_not_known_has_no_sample() {
    let (registry, metrics) = registered();
    let expiry = "nkudo_agent_certificate_expiry_timestamp";
    let unknown =
        [(expiry, None), ("nkudo_host_cpu_usage_percent", None), ("nkudo_host_memory_usage_bytes", None)];
    check(&registry, &unknown);
    assert!(registry.descs().iter().any(|desc| desc.name == expiry), "its HELP and TYPE are there always");
    metrics.certificate_expiry(Some(1_800_000_000));
    check(&registry, &[(expiry, Some(1_800_000_000.0))]);
    metrics.certificate_expiry(None);
    check(&registry, &[(expiry, None)]);
}

#[test]
fn one_state_of_health_is_current() {
    let (registry, metrics) = registered();
    for current in ["healthy", "unhealthy", "degraded"] {
        metrics.health(current);
        for health in ["healthy", "degraded", "unhealthy"] {
            let wanted = format!("nkudo_agent_health_status{{health=\"{health}\"}}");
            check(&registry, &[(&wanted, Some(if health == current { 1.0 } else { 0.0 }))]);
        }
    }
}

#[test]
fn a_vms_totals_start_over_with_its_process_and_memory_goes_with_it() {
    let (registry, metrics) = registered();
    let (vm_id, vm_name) = vm();
    let labels = format!("{{vm_id=\"{vm_id}\",vm_name=\"{vm_name}\"}}");
    let [cores, cpu, resident, restarts, reads] = [
        "vm_cpu_cores",
        "vm_cpu_seconds_total",
        "vm_resident_memory_bytes",
        "vm_restarts_total",
        "vm_block_read_bytes_total",
    ]
    .map(|name| format!("nkudo_{name}{labels}"));
    let reading = |cpu_ms, resident_bytes, block_read_bytes| VmReading {
        cpu: Duration::from_millis(cpu_ms),
        resident_bytes,
        block_read_bytes,
        ..VmReading::default()
    };
    metrics.vm_configured(vm_id, &vm_name, 2, 1 << 20);
    check(&registry, &[(&cores, Some(2.0)), (&restarts, Some(0.0)), (&cpu, None), (&resident, None)]);
    metrics.vm_counters(vm_id, &vm_name, &reading(2_500, 7, 100));
    check(&registry, &[(&cpu, Some(2.5)), (&resident, Some(7.0)), (&reads, Some(100.0))]);
    metrics.vm_process_ended(vm_id, &vm_name);
    metrics.vm_restarts(vm_id, &vm_name, 1);
    check(&registry, &[(&cpu, Some(2.5)), (&resident, None), (&restarts, Some(1.0))]);
    metrics.vm_counters(vm_id, &vm_name, &reading(500, 8, 0));
    check(&registry, &[(&cpu, Some(0.5)), (&resident, Some(8.0)), (&reads, Some(0.0))]);
}

#[test]
fn what_holds_a_vm_back_is_there_while_something_limits_it() {
    let (registry, metrics) = registered();
    let (vm_id, vm_name) = vm();
    let labels = format!("{{vm_id=\"{vm_id}\",vm_name=\"{vm_name}\"}}");
    let [seconds, periods] =
        ["seconds", "periods"].map(|what| format!("nkudo_vm_cpu_throttled_{what}_total{labels}"));
    let reading = |throttled: Option<(u64, u64)>| VmReading {
        throttled: throttled.map(|(periods, ms)| VmThrottled { periods, time: Duration::from_millis(ms) }),
        ..VmReading::default()
    };
    metrics.vm_configured(vm_id, &vm_name, 1, 1 << 20);
    for (throttled, expected) in [
        (None, [None, None]),
        (Some((0, 0)), [Some(0.0), Some(0.0)]),
        (Some((3, 1_500)), [Some(1.5), Some(3.0)]),
        (None, [None, None]),
        (Some((1, 250)), [Some(0.25), Some(1.0)]),
    ] {
        metrics.vm_counters(vm_id, &vm_name, &reading(throttled));
        check(&registry, &[(&seconds, expected[0]), (&periods, expected[1])]);
    }
}

#[test]
fn a_forgotten_vm_leaves_no_series_and_no_late_reading_brings_it_back() {
    let (registry, metrics) = registered();
    let before = registry.snapshot();
    let (vm_id, vm_name) = vm();
    metrics.vm_configured(vm_id, &vm_name, 1, 1 << 20);
    let throttled = Some(VmThrottled { periods: 1, time: Duration::from_millis(1) });
    metrics.vm_counters(vm_id, &vm_name, &VmReading { throttled, ..VmReading::default() });
    metrics.vm_restarts(vm_id, &vm_name, 1);
    assert_eq!(registry.snapshot().len(), before.len() + 12);
    metrics.forget_vm(vm_id, &vm_name);
    assert_eq!(registry.snapshot(), before);
    metrics.vm_counters(vm_id, &vm_name, &VmReading::default());
    metrics.vm_restarts(vm_id, &vm_name, 2);
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn the_reference_opens_with_the_rules_and_names_every_metric_once() {
    let text = markdown();
    let positions = ["# Metrics", "## Types", "## Names", "## Labels", "## edge-agent", "## control-plane"]
        .map(|head| text.find(head));
    assert!(positions.iter().all(Option::is_some) && positions.is_sorted(), "{positions:?}");
    let (_, sections) = text.split_once("\n## edge-agent").expect("it is there");
    let (of_agent, of_control) = sections.split_once("\n## control-plane").expect("it is there");
    for Entry { program, desc } in agent().into_iter().chain(control()) {
        let row = format!("\n| `{}` | {} |", desc.name, desc.kind.as_str());
        let section = if program == "edge-agent" { of_agent } else { of_control };
        assert_eq!(section.matches(&row).count(), 1, "{program}: {row}");
        for label in desc.labels {
            assert!(text.contains(&format!("`{label}`")), "the rules of labels name {label}");
        }
    }
    let widths: Vec<usize> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.replace("\\|", "").matches('|').count())
        .collect();
    assert!(widths.iter().all(|width| *width == 6), "each row has five cells: {widths:?}");
}
