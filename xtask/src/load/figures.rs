//! What was measured.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::actions::Flow;
use super::probes::Beats;
use crate::bench::stats::permille;

/// Ticks of a process's CPU time in a second (`getconf CLK_TCK`; 100 on every Linux that Rust runs on).
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) rss_bytes: u64,
}

impl Usage {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the control plane runs")?;
        let (_, fields) = stat.rsplit_once(") ").context("proc(5) has it so")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        // User and system time are the fields 14 and 15 of proc(5); these begin with the third.
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has memory")?;
        let kib: u64 = rss.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND), rss_bytes: kib << 10 })
    }
}

/// What is measured one by one.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) heartbeats: Beats,
    pub(super) actions: Flow,
    pub(super) errors: Vec<String>,
}

/// The figures of one load. Times are in milliseconds unless a name says otherwise.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    pub agents: u32,
    pub enrolled_in_seconds: f64,
    pub heartbeats_per_second: f64,
    pub cpu_us_per_heartbeat: f64,
    pub server_bytes_per_agent: u64,
    pub server_rss_bytes: u64,
    pub heartbeat_p50_ms: f64,
    pub heartbeat_p99_ms: f64,
    pub heartbeat_p999_ms: f64,
    pub delivery_p50_ms: f64,
    pub delivery_p99_ms: f64,
    pub delivery_p999_ms: f64,
    pub completion_p50_ms: f64,
    pub completion_p99_ms: f64,
    pub actions: usize,
    pub errors: usize,
    /// Some of the errors, in words.
    pub told: Vec<String>,
}

impl Samples {
    pub(super) fn figures(self) -> Figures {
        let (heartbeats, actions) = (self.heartbeats.took_ms, self.actions);
        let (delivered, completed) = (actions.delivered_ms, actions.completed_ms);
        let mut told = [self.errors, self.heartbeats.failed, actions.failed].concat();
        let errors = told.len();
        told.truncate(5);
        Figures {
            heartbeat_p50_ms: permille(&heartbeats, 500),
            heartbeat_p99_ms: permille(&heartbeats, 990),
            heartbeat_p999_ms: permille(&heartbeats, 999),
            delivery_p50_ms: permille(&delivered, 500),
            delivery_p99_ms: permille(&delivered, 990),
            delivery_p999_ms: permille(&delivered, 999),
            completion_p50_ms: permille(&completed, 500),
            completion_p99_ms: permille(&completed, 990),
            actions: completed.len(),
            errors,
            told,
            ..Figures::default()
        }
    }
}

impl Figures {
    /// The figures for people.
    pub fn table(&self) -> String {
        let rows = [
            ("agents", self.agents.to_string()),
            ("all online after", format!("{:.1} s", self.enrolled_in_seconds)),
            ("heartbeats", format!("{:.0} a second", self.heartbeats_per_second)),
            ("server CPU per heartbeat", format!("{:.0} µs", self.cpu_us_per_heartbeat)),
            ("server memory per agent", format!("{:.1} KiB", self.server_bytes_per_agent as f64 / 1024.0)),
            ("server memory", format!("{:.1} MiB", self.server_rss_bytes as f64 / 1_048_576.0)),
            (
                "heartbeat p50 / p99 / p99.9",
                of_three(self.heartbeat_p50_ms, self.heartbeat_p99_ms, self.heartbeat_p999_ms),
            ),
            (
                "delivery p50 / p99 / p99.9",
                of_three(self.delivery_p50_ms, self.delivery_p99_ms, self.delivery_p999_ms),
            ),
            (
                "completion p50 / p99",
                format!("{:.1} / {:.1} ms", self.completion_p50_ms, self.completion_p99_ms),
            ),
            ("actions", self.actions.to_string()),
            ("errors", self.errors.to_string()),
        ];
        let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<28} {value}")).collect();
        lines.join("\n")
    }
}

fn of_three(p50: f64, p99: f64, p999: f64) -> String {
    format!("{p50:.1} / {p99:.1} / {p999:.1} ms")
}
