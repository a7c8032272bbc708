//! Every metric that nkudo exposes, declared once: its own, and the sets of the toolkit crates under nkudo's prefix.
//!
//! The principal types are [`AgentMetrics`] and [`ControlMetrics`], the typed handles that the parts of the two programs
//! write to. [`agent()`] and [`control()`] list what each exposes, and [`markdown()`] is docs/metrics.md.
//!
//! **Invariant:** a name is written here and nowhere else: what is registered is what is listed.
//!
//! **Invariant:** a deleted VM has no series, whoever still measures it.

mod actions;
mod agent;
mod certificate;
mod control;
mod health;
mod heartbeats;
mod history;
mod host;
mod journal;
mod markdown;
mod outages;
mod providers;
mod vms;

use nkudo_metrics_core::Desc;

pub use agent::AgentMetrics;
pub use control::ControlMetrics;
pub use history::{HistoryMetrics, HistoryReading};
pub use journal::JournalMetrics;
pub use markdown::markdown;
pub use outages::OutageMetrics;
pub use vms::{VmReading, VmThrottled};

/// What the names of all metrics begin with, save those of the process that every program has.
pub const PREFIX: &str = "nkudo_";

/// A metric and the program that exposes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub program: &'static str,
    pub desc: Desc,
}

/// Every metric of the agent, by name.
pub fn agent() -> Vec<Entry> {
    entries("edge-agent", agent::descs())
}

/// Every metric of the control plane, by name.
pub fn control() -> Vec<Entry> {
    entries("control-plane", control::descs())
}

/// A program's own metrics with those that both have.
fn entries(program: &'static str, own: Vec<Desc>) -> Vec<Entry> {
    let sets = [
        own,
        nkudo_exporter::descs(PREFIX),
        nkudo_logging::descs(PREFIX),
        nkudo_recorder::descs(PREFIX),
        nkudo_scribe::descs(PREFIX),
        nkudo_supervision::metrics::descs(PREFIX),
    ];
    let mut descs = sets.concat();
    descs.sort_by(|a, b| a.name.cmp(&b.name));
    descs.into_iter().map(|desc| Entry { program, desc }).collect()
}
