//! What can be done with logging once it runs.

use std::sync::Arc;

use nkudo_metrics_core::{Counter, Registry};

use crate::filter::Filter;
use crate::level::LogLevel;
use crate::metrics::{self, LineCounts};

/// Changes levels and tells how many lines there were. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    filter: Filter,
    counts: LineCounts,
}

impl LogHandle {
    pub(crate) fn new(filter: Filter) -> Self {
        Self(Arc::new(Inner { filter, counts: LineCounts::default() }))
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.0.filter
    }

    pub(crate) fn count(&self, level: LogLevel, written: bool) {
        let counts = &self.0.counts;
        let counter: &Counter = if written { counts.written(level) } else { &counts.dropped };
        counter.inc();
    }

    /// The count of lines that could not be written, for whoever writes them later.
    pub(crate) fn dropped_lines(&self) -> Counter {
        self.0.counts.dropped.clone()
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

    /// Lines written so far, or handed over to be.
    pub fn written(&self) -> u64 {
        LogLevel::ALL.into_iter().map(|level| self.0.counts.written(level).get()).sum()
    }

    /// Lines that could not be written so far.
    pub fn dropped(&self) -> u64 {
        self.0.counts.dropped.get()
    }

    /// Exposes both counts with this prefix.
    pub fn register(&self, registry: &Registry, prefix: &str) {
        metrics::register(&self.0.counts, registry, prefix);
    }
}
