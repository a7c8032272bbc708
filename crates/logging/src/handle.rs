//! What can be done with logging once it runs.

use std::sync::Arc;

use nkudo_metrics_core::{Counter, Registry};
use nkudo_spans::Lanes;

use crate::filter::Filter;
use crate::level::LogLevel;
use crate::metrics::{self, LineCounts};
use crate::output_metrics::OutputCounts;

/// Changes levels and tells how many lines there were. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    filter: Filter,
    output_counts: OutputCounts,
    counts: Arc<LineCounts>,
}

impl LogHandle {
    pub(crate) fn new(filter: Filter) -> Self {
        Self(Arc::new(Inner { filter, output_counts: OutputCounts::default(), counts: Arc::default() }))
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.0.filter
    }

    pub(crate) fn count(&self, level: LogLevel, written: bool, lines: u64) {
        let counts = &self.0.counts;
        let counter: &Counter = if written { counts.written(level) } else { &counts.failed };
        counter.inc_by(lines);
    }

    pub(crate) fn output_counts(&self) -> &OutputCounts {
        &self.0.output_counts
    }

    /// Lines that find no room there are dropped.
    pub(crate) fn takes_from(&self, lanes: &Lanes) {
        // Only the one that is made with the handle counts.
        drop(self.0.counts.lanes.set(lanes.clone()));
    }

    /// The least level that is logged.
    pub fn level(&self) -> LogLevel {
        self.0.filter.levels().level
    }

    pub fn set_level(&self, level: LogLevel) {
        self.0.filter.change(|levels| levels.level = level);
    }

    /// Gives one component a level of its own, or takes it away.
    pub fn set_component_level(&self, component: &str, level: Option<LogLevel>) {
        self.0.filter.change(|levels| {
            match level {
                Some(level) => levels.components.insert(component.to_owned(), level),
                None => levels.components.remove(component),
            };
        });
    }

    /// Lines written so far.
    pub fn written(&self) -> u64 {
        LogLevel::ALL.into_iter().map(|level| self.0.counts.written(level).get()).sum()
    }

    /// Lines that could not be written so far, and those that found no room to wait.
    pub fn dropped(&self) -> u64 {
        self.0.counts.dropped()
    }

    /// Exposes all counts with this prefix.
    pub fn register(&self, registry: &Registry, prefix: &str) {
        metrics::register(&self.0.counts, registry, prefix);
        self.0.output_counts.register(registry, prefix);
    }
}
