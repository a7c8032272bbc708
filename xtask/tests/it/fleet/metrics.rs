//! Every metric of the catalogue is written by somebody, and nothing is exposed that is not in it.

use std::collections::{BTreeMap, BTreeSet};

use nkudo_catalogue::Entry;
use serde_json::{Value, json};
use xtask::agent::{until, vm_id};
use xtask::fleet::request;

use super::rounds::Fleet;

/// What this run does not bring about, by the beginning of its name, and who does or why not.
const ELSEWHERE: &[(&str, &str)] = &[
    ("nkudo_component_", "crates/supervision/tests/it/measured.rs writes each of them"),
    ("nkudo_history_clock_doubts_total", "crates/timeseries/tests/it/aging.rs"),
    ("nkudo_history_clock_steps_total", "the store's tests, as those that follow"),
    ("nkudo_history_corrupt_total", "crates/timeseries/tests/it/damage.rs"),
    ("nkudo_history_failures_total", "crates/timeseries/tests/it/full_disk.rs"),
    ("nkudo_history_gone_total", "crates/timeseries/tests/it/gone.rs"),
    ("nkudo_history_merges_total", "crates/timeseries/tests/it/keeping.rs; after six hours"),
    ("nkudo_history_rows_unjournaled_total", "crates/timeseries/tests/it/full_disk.rs"),
    ("nkudo_history_samples_dropped_total", "crates/timeseries/tests/it/bounds.rs"),
    ("nkudo_history_samples_evicted_total", "crates/timeseries/tests/it/bounds.rs"),
    ("nkudo_history_samples_refused_total", "crates/timeseries/tests/it/model.rs"),
    ("nkudo_history_seals_total", "crates/timeseries/tests/it/keeping.rs; after two hours"),
    ("nkudo_history_series_evicted_total", "crates/timeseries/tests/it/bounds.rs"),
    ("nkudo_history_series_refused_total", "crates/timeseries/tests/it/bounds.rs"),
    ("nkudo_agent_audit_logs_went_back_total", "fleet::audit brings it about"),
    ("nkudo_audit_checkpoints_total", "of a log that is there every 1000 lines, or five minutes"),
    ("nkudo_audit_cut_lines_total", "crates/audit/tests/it, as those that follow"),
    ("nkudo_audit_entries_cut_total", "an entry that is too long"),
    ("nkudo_audit_files_pruned_total", "a log that is old"),
    ("nkudo_audit_refused_total", "a log that is full"),
    ("nkudo_audit_lost_entries_total", "crates/scribe/src/book/tests.rs"),
    ("nkudo_audit_storage_full", "fleet::audit brings it about"),
    ("nkudo_audit_waiting_entries", "crates/scribe/tests/it/full.rs"),
    ("nkudo_audit_went_back_total", "crates/scribe/tests/it/mended.rs"),
    ("nkudo_metrics_", "crates/metrics-core/tests/it: bad_input.rs, collectors.rs"),
    ("nkudo_log_lines_dropped_total", "crates/logging's tests"),
    ("nkudo_log_file_cut_lines_total", "crates/logging/tests/it: kills.rs"),
    ("nkudo_log_file_lines_lost_total", "crates/logging/tests/it: files.rs, broken_disks.rs"),
    ("nkudo_log_file_rotations_total", "crates/logging/tests/it: files.rs"),
    ("nkudo_log_file_write_failures_total", "crates/logging/tests/it: broken_disks.rs"),
    ("nkudo_log_files_pruned_total", "crates/logging/tests/it: files.rs"),
    ("nkudo_log_files_vanished_total", "crates/logging/tests/it: files.rs"),
    ("nkudo_log_lines_suppressed_total", "crates/logging/tests/it: repeats.rs"),
    ("nkudo_log_lines_unlimited_total", "crates/logging/tests/it: repeats.rs"),
    ("nkudo_log_stderr_lines_lost_total", "only when nobody reads standard error"),
    ("nkudo_log_redactions_total", "crates/logging/tests/it: redaction.rs"),
    ("nkudo_spans_dropped_total", "crates/spans/tests/it: rings.rs, odd.rs"),
    ("nkudo_spans_refused_total", "crates/recorder/tests/it"),
    ("nkudo_trace_records_damaged_total", "crates/traces/tests/it, as those that follow"),
    ("nkudo_trace_spans_dropped_total", "a trace that is full"),
    ("nkudo_trace_spans_late_total", "spans that come after their trace was written"),
    ("nkudo_trace_write_failures_total", "a disk that fails"),
    ("nkudo_traces_dropped_total", "sampling, and what is evicted"),
    ("nkudo_heartbeat_failures_total", "only when a heartbeat is on its way as the control plane goes"),
    ("nkudo_link_messages_not_understood_total", "no program of this version sends such"),
    ("nkudo_outages_dropped_total", "crates/fleet/src/outage/tests.rs"),
    ("nkudo_results_given_up_total", "fleet::tenants brings it about"),
    ("nkudo_runtime_global_queue_depth", "of the moment of a scrape"),
    ("nkudo_tasks_open", "of the moment of a scrape"),
    ("nkudo_vm_block_", "a VM on QEMU: bins/edge-agent/tests, as those that follow"),
    ("nkudo_vm_cpu_seconds_total", "a process"),
    (
        "nkudo_vm_cpu_throttled_",
        "a process in a group with a limit: crates/host/src/cgroup.rs, crates/catalogue/tests",
    ),
    ("nkudo_vm_resident_memory_bytes", "a process"),
    ("nkudo_vm_reboots_total", "a guest that resets"),
    ("nkudo_vm_restarts_total", "a VMM that dies"),
    ("nkudo_connections_refused_total", "fleet::bad_input brings it about"),
    ("nkudo_db_connection_errors_total", "crates/store/tests/it/database.rs"),
    ("nkudo_db_forgotten_total", "crates/store/tests/it/results.rs; after days"),
];

/// What was seen of each metric: whether any sample was other than zero.
#[derive(Default)]
struct Seen(BTreeMap<String, bool>);

impl Seen {
    fn take(&mut self, text: &str) {
        let mut name = String::new();
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                name = declared.split(' ').next().unwrap_or_default().to_owned();
                self.0.entry(name.clone()).or_default();
            } else if !line.starts_with('#') {
                let value: f64 = line.rsplit(' ').next().unwrap_or_default().parse().unwrap();
                *self.0.entry(name.clone()).or_default() |= value != 0.0;
            }
        }
    }

    /// What is exposed and not declared, and what was never other than zero.
    fn judge(&self, entries: &[Entry]) -> (BTreeSet<String>, BTreeSet<String>) {
        let declared: BTreeSet<String> = entries.iter().map(|entry| entry.desc.name.to_string()).collect();
        let undeclared = self.0.keys().filter(|name| !declared.contains(*name)).cloned().collect();
        let never = declared.into_iter().filter(|name| !self.0.get(name).copied().unwrap_or(false));
        let elsewhere = |name: &String| ELSEWHERE.iter().any(|(known, _)| name.starts_with(known));
        (undeclared, never.filter(|name| !elsewhere(name)).collect())
    }
}

#[test]
fn every_metric_is_written_and_declared() {
    let mut fleet = Fleet::start(
        "sample_interval = \"1s\"\n[providers]\nsimulated = true\n[history]\ninterval = \"1s\"\n",
    );
    let (mut agent, mut control) = (Seen::default(), Seen::default());
    let scrape = |fleet: &Fleet, agent: &mut Seen, control: &mut Seen| {
        if let Some((_, text)) = fleet.host.scrape("/metrics") {
            agent.take(&text);
        }
        if let Some((_, text)) = request(fleet.control.http_addr(), "GET", "/metrics", None, None) {
            control.take(&text);
        }
    };
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    let create = |number: u32, labels: Value| {
        json!({"action_type": "MicroVMCreate", "params": {"vm_id": vm_id(number), "vm_name": format!("m{number}"),
            "vcpus": 1, "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(), "provider": "simulated",
            "labels": labels}})
    };
    let actions = [
        create(1, json!({})),
        create(2, json!({"simulated.fail_times": "1"})),
        create(3, json!({"simulated.fail": "boot"})),
        json!({"action_type": "MicroVMPause", "params": {"vm_id": vm_id(1)}}),
        json!({"action_type": "MicroVMResume", "params": {"vm_id": vm_id(1)}}),
        json!({"action_type": "MicroVMPause", "params": {"vm_id": vm_id(9)}}),
        json!({"action_type": "MicroVMStop", "params": {"vm_id": vm_id(2)}}),
        json!({"action_type": "MicroVMDelete", "params": {"vm_id": vm_id(2)}}),
        // What waits for a boot that takes for ever ends without having been started.
        create(4, json!({"simulated.boot_ms": "600000"})),
        json!({"action_type": "MicroVMPause", "params": {"vm_id": vm_id(4)}}),
        json!({"action_type": "MicroVMDelete", "params": {"vm_id": vm_id(4)}}),
    ];
    for action in &actions {
        assert_eq!(fleet.control.rest("POST", &path, Some(action)).unwrap().unwrap().0, 202, "{action}");
        scrape(&fleet, &mut agent, &mut control);
    }
    until("all to end", || {
        let listed = fleet.control.list("/v1/actions").ok()?;
        let open = |action: &Value| {
            ["queued", "delivered", "running"].iter().any(|status| action["status"] == *status)
        };
        scrape(&fleet, &mut agent, &mut control);
        (!listed.iter().any(open)).then_some(())
    })
    .unwrap();
    // Somebody comes without a token that is good, and asks for nonsense.
    let bad = ["enroll", "--force", "--control-plane", &fleet.control.url(), "--token", "nonsense"];
    assert!(!fleet.host.command(&bad).output().unwrap().status.success());
    request(fleet.control.http_addr(), "GET", "/v1/nothing", None, None);
    fleet.control.kill_9().unwrap();
    until("the link to be missed", || {
        scrape(&fleet, &mut agent, &mut control);
        let (_, text) = fleet.host.scrape("/metrics")?;
        text.lines()
            .any(|line| line.starts_with("nkudo_component_errors_total{component=\"link\""))
            .then_some(())
    })
    .unwrap();
    fleet.control.start().unwrap();
    fleet.control.wait_presence(&fleet.agent_id, "online").unwrap();
    until("some rows of the history", || {
        scrape(&fleet, &mut agent, &mut control);
        let (_, text) = fleet.host.scrape("/metrics")?;
        let rows =
            text.lines().find_map(|line| line.strip_prefix("nkudo_history_row_duration_seconds_count "))?;
        (rows.parse::<u64>().ok()? > 3).then_some(())
    })
    .unwrap();
    until("traces of both on disk", || {
        scrape(&fleet, &mut agent, &mut control);
        let (_, of_control) = request(fleet.control.http_addr(), "GET", "/metrics", None, None)?;
        let (_, of_host) = fleet.host.scrape("/metrics")?;
        let are_kept = |text: &str| {
            let stored = text.lines().find_map(|line| line.strip_prefix("nkudo_traces_stored "));
            stored.and_then(|value| value.parse::<f64>().ok()).is_some_and(|stored| stored > 0.0)
        };
        (are_kept(&of_control) && are_kept(&of_host)).then_some(())
    })
    .unwrap();
    scrape(&fleet, &mut agent, &mut control);
    fleet.host.stop().unwrap();
    fleet.control.wait_presence(&fleet.agent_id, "offline").unwrap();
    until("an agent that is offline to be counted", || {
        let (_, text) = request(fleet.control.http_addr(), "GET", "/metrics", None, None)?;
        control.take(&text);
        text.lines()
            .any(|line| line.starts_with("nkudo_agents_offline") && !line.ends_with(" 0.0"))
            .then_some(())
    })
    .unwrap();
    let agent = agent.judge(&nkudo_catalogue::agent());
    let control = control.judge(&nkudo_catalogue::control());
    let nothing = (BTreeSet::new(), BTreeSet::new());
    assert_eq!((&agent, &control), (&nothing, &nothing), "undeclared and never written, of both programs");
}
