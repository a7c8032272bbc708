//! What can be done with logging once it runs.

use std::sync::{Arc, Mutex, PoisonError};

use nkudo_metrics_core::{Counter, Registry};
use nkudo_spans::Lanes;

use crate::config::LogError;
use crate::files::{FilesConfig, LogFiles};
use crate::filter::Filter;
use crate::level::LogLevel;
use crate::metrics::{self, LineCounts};
use crate::output_metrics::OutputCounts;
use crate::outputs::Stderr;
use crate::redact::{Redactor, RedactorError};

/// Changes levels and tells how many lines there were. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    filter: Filter,
    output_counts: OutputCounts,
    counts: Arc<LineCounts>,
    /// What the thread that writes takes up with its next look.
    new_files: Mutex<Option<NewFiles>>,
}

/// Files that lines go to from now on, and how standard error is written beside them.
#[derive(Debug)]
pub(crate) struct NewFiles {
    pub(crate) files: LogFiles,
    pub(crate) stderr: Stderr,
}

impl LogHandle {
    pub(crate) fn new(filter: Filter) -> Self {
        let (output_counts, counts) = (OutputCounts::default(), Arc::default());
        Self(Arc::new(Inner { filter, output_counts, counts, new_files: Mutex::default() }))
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

    /// What replaces secrets in lines, for texts that are kept elsewhere: what it finds is counted with those in lines.
    ///
    /// # Errors
    /// As [`Redactor::new`].
    pub fn redactor(&self, prefixes: &[&str]) -> Result<Redactor, RedactorError> {
        Redactor::new(prefixes, self.0.output_counts.clone())
    }

    /// Lines that find no room there are dropped.
    pub(crate) fn takes_from(&self, lanes: &Lanes) {
        // Only the one that is made with the handle counts.
        drop(self.0.counts.lanes.set(lanes.clone()));
    }

    /// Has lines written to these files too, in the place of those that were written before: for a program that knows
    /// only after it logs where its files may be. What was written before is not in them.
    ///
    /// # Errors
    /// When the files cannot be kept so, or the log is one of [`subscriber`](crate::subscriber), which has no thread that
    /// could write them. What was logged to before goes on.
    pub fn write_files(&self, config: FilesConfig) -> Result<(), LogError> {
        let lanes = self.0.counts.lanes.get().ok_or(LogError::NoThread)?;
        let counts = self.output_counts();
        let files = LogFiles::open(config, counts.clone())?;
        let stderr = Stderr::start(true, counts)?;
        *self.0.new_files.lock().unwrap_or_else(PoisonError::into_inner) = Some(NewFiles { files, stderr });
        lanes.wake();
        Ok(())
    }

    pub(crate) fn take_new_files(&self) -> Option<NewFiles> {
        self.0.new_files.lock().unwrap_or_else(PoisonError::into_inner).take()
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
