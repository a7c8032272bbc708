//! Recent traces on a simulated disk, with a clock that stands.

use std::path::Path;
use std::time::{Duration, Instant};

use nkudo_journal::SimulatedDisk;
use nkudo_spans::{FinishedSpan, TraceId};
use nkudo_traces::{Config, Query, Recent};

use crate::spans::{of_trace, span, trace_id};

pub(crate) const DIR: &str = "/state/traces";

pub(crate) struct World {
    pub(crate) disk: SimulatedDisk,
    pub(crate) config: Config,
    pub(crate) recent: Recent<SimulatedDisk>,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new(config: Config) -> World {
        World::on(SimulatedDisk::new(), config)
    }

    pub(crate) fn on(disk: SimulatedDisk, config: Config) -> World {
        let recent = Recent::open_on(disk.clone(), Path::new(DIR), config).expect("the bounds make sense");
        World { disk, config, recent, now: Instant::now() }
    }

    pub(crate) fn after(&mut self, time: Duration) {
        self.now += time;
        self.recent.tick(self.now);
    }

    pub(crate) fn offer(&mut self, spans: impl IntoIterator<Item = FinishedSpan>) {
        self.recent.offer(self.now, spans.into_iter().collect());
    }

    /// Has these spans be written.
    pub(crate) fn keep(&mut self, spans: impl IntoIterator<Item = FinishedSpan>) {
        self.offer(spans);
        self.after(self.config.quiet);
    }

    /// Opens what a killed program left.
    pub(crate) fn killed(&self) -> World {
        World::on(self.disk.kill(), self.config)
    }

    /// The ids of all traces, newest first.
    pub(crate) fn ids(&self) -> Vec<TraceId> {
        let found =
            self.recent.search(&Query { limit: 1_000, ..Query::default() }).expect("it can be answered");
        found.summaries.into_iter().map(|summary| summary.trace_id).collect()
    }

    /// The spans of a trace by their names; none when it is not known.
    pub(crate) fn names(&self, number: u64) -> Vec<String> {
        let trace = self.recent.trace(trace_id(number));
        let spans = trace.map(|trace| trace.into_spans()).unwrap_or_default();
        spans.into_iter().map(|span| span.name.into_owned()).collect()
    }
}

/// A trace of two spans that begins at its number, in milliseconds.
pub(crate) fn pair(number: u64) -> Vec<FinishedSpan> {
    let spans = [span("b", "a", number + 1, number + 2), span("a", "", number, number + 10)];
    spans.map(|span| of_trace(number, span)).to_vec()
}
