//! How many lines there were. The caller gives the prefix of the names.

use std::sync::{Arc, OnceLock};

use nkudo_metrics_core::{Collector, Counter, Desc, Registry, SampleSink};
use nkudo_spans::Lanes;

use crate::level::LogLevel;
use crate::output_metrics::output_descs;

const WRITTEN: Desc =
    Desc::counter("log_lines_written_total", "Log lines written, by their level.").labels(&["level"]);
const DROPPED: Desc = Desc::counter(
    "log_lines_dropped_total",
    "Log lines that could not be written, or found no room to wait for it.",
);

/// Every metric of this crate.
pub fn descs(prefix: &str) -> Vec<Desc> {
    let mut descs = line_descs(prefix);
    descs.extend(output_descs(prefix));
    descs
}

fn line_descs(prefix: &str) -> Vec<Desc> {
    vec![WRITTEN.with_prefix(prefix), DROPPED.with_prefix(prefix)]
}

/// Lines by what became of them. They are counted before there is a registry.
#[derive(Debug, Default)]
pub(crate) struct LineCounts {
    written: [Counter; LogLevel::ALL.len()],
    pub(crate) failed: Counter,
    /// Where lines wait.
    pub(crate) lanes: OnceLock<Lanes>,
}

impl LineCounts {
    pub(crate) fn dropped(&self) -> u64 {
        self.failed.get() + self.lanes.get().map_or(0, Lanes::dropped_count)
    }

    pub(crate) fn written(&self, level: LogLevel) -> &Counter {
        match level {
            LogLevel::Debug => &self.written[0],
            LogLevel::Info => &self.written[1],
            LogLevel::Warn => &self.written[2],
            LogLevel::Error => &self.written[3],
        }
    }
}

impl Collector for LineCounts {
    #[expect(clippy::cast_precision_loss, reason = "samples are f64 in the exposition's data model")]
    fn collect(&self, sink: &mut SampleSink<'_>) {
        for level in LogLevel::ALL {
            sink.sample(0, &[level.as_str()], self.written(level).get() as f64);
        }
        sink.sample(1, &[], self.dropped() as f64);
    }
}

pub(crate) fn register(counts: &Arc<LineCounts>, registry: &Registry, prefix: &str) {
    registry.collector(line_descs(prefix), counts.clone());
}
