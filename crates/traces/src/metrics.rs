//! What became of spans and traces. The caller gives the prefix of the names.

use std::sync::Arc;

use nkudo_metrics_core::{Collector, Counter, Desc, Gauge, Registry, SampleSink};

use crate::sampling::Verdict;

const RECEIVED: Desc = Desc::counter("trace_spans_received_total", "Spans that were offered to be kept.");
const LATE: Desc = Desc::counter("trace_spans_late_total", "Spans that came after their trace was written.");
const SPANS_DROPPED: Desc = Desc::counter(
    "trace_spans_dropped_total",
    "Spans for which there was no room: their trace is full, or more of it came late too often.",
)
.labels(&["reason"]);
const KEPT: Desc = Desc::counter("traces_kept_total", "Traces that were kept, by why.").labels(&["reason"]);
const DROPPED: Desc = Desc::counter(
    "traces_dropped_total",
    "Traces that are no more: not sampled, no memory while the disk failed, evicted for newer ones, vanished from disk.",
)
.labels(&["reason"]);
const DAMAGED: Desc = Desc::counter(
    "trace_records_damaged_total",
    "Stretches of the files of traces that could not be read, each time one is met.",
);
const WRITE_FAILURES: Desc =
    Desc::counter("trace_write_failures_total", "Times that writing traces to disk failed.");
const STORED: Desc = Desc::gauge("traces_stored", "Traces on disk.");
const PENDING: Desc = Desc::gauge("traces_pending", "Traces of which more is awaited.");
const DISK_BYTES: Desc = Desc::gauge("trace_disk_bytes", "Disk that traces take.").unit("bytes");
const MEMORY_BYTES: Desc =
    Desc::gauge("trace_memory_bytes", "Memory of spans that wait and of the index of traces.").unit("bytes");

/// In the order in which they are collected.
const DESCS: [Desc; 11] = [
    RECEIVED,
    LATE,
    SPANS_DROPPED,
    KEPT,
    DROPPED,
    DAMAGED,
    WRITE_FAILURES,
    STORED,
    PENDING,
    DISK_BYTES,
    MEMORY_BYTES,
];

/// Every metric of this crate.
pub fn descs(prefix: &str) -> Vec<Desc> {
    DESCS.iter().map(|desc| desc.with_prefix(prefix)).collect()
}

/// Counts since the traces were opened, and where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Spans that were offered.
    pub received: u64,
    /// Of them those whose trace was written before.
    pub late: u64,
    /// Spans that had no room in their trace: the shortest of those that did not fail.
    pub spans_dropped_full: u64,
    /// Spans of which more came late too often.
    pub spans_dropped_late: u64,
    /// Traces that were kept because they failed, were slow, or were sampled.
    pub kept_failed: u64,
    pub kept_slow: u64,
    pub kept_sampled: u64,
    /// Traces that were not sampled.
    pub dropped_sampling: u64,
    /// Traces, or late parts of them, that had no room in memory while the disk failed.
    pub dropped_memory: u64,
    /// Traces that went for newer ones.
    pub evicted: u64,
    /// Traces whose file somebody removed.
    pub vanished: u64,
    /// Stretches of files that could not be read, each time one is met.
    pub damaged: u64,
    pub write_failures: u64,
}

/// The cells of [`Stats`]. They are counted before there is a registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) received: Counter,
    pub(crate) late: Counter,
    pub(crate) spans_dropped_full: Counter,
    pub(crate) spans_dropped_late: Counter,
    kept_failed: Counter,
    kept_slow: Counter,
    kept_sampled: Counter,
    dropped_sampling: Counter,
    pub(crate) traces_dropped_memory: Counter,
    pub(crate) traces_evicted: Counter,
    pub(crate) traces_vanished: Counter,
    pub(crate) damaged: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) stored: Gauge,
    pub(crate) pending: Gauge,
    pub(crate) disk_bytes: Gauge,
    pub(crate) memory_bytes: Gauge,
}

impl Counts {
    pub(crate) fn verdict(&self, verdict: Verdict) -> &Counter {
        match verdict {
            Verdict::Failed => &self.kept_failed,
            Verdict::Slow => &self.kept_slow,
            Verdict::Sampled => &self.kept_sampled,
            Verdict::Dropped => &self.dropped_sampling,
        }
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            received: self.received.get(),
            late: self.late.get(),
            spans_dropped_full: self.spans_dropped_full.get(),
            spans_dropped_late: self.spans_dropped_late.get(),
            kept_failed: self.kept_failed.get(),
            kept_slow: self.kept_slow.get(),
            kept_sampled: self.kept_sampled.get(),
            dropped_sampling: self.dropped_sampling.get(),
            dropped_memory: self.traces_dropped_memory.get(),
            evicted: self.traces_evicted.get(),
            vanished: self.traces_vanished.get(),
            damaged: self.damaged.get(),
            write_failures: self.write_failures.get(),
        }
    }

    pub(crate) fn register(&self, registry: &Registry, prefix: &str) {
        registry.collector(descs(prefix), Arc::new(self.clone()));
    }
}

impl Collector for Counts {
    #[expect(clippy::cast_precision_loss, reason = "samples are f64 in the exposition's data model")]
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let counters = [
            (0, &[][..], &self.received),
            (1, &[], &self.late),
            (2, &["full"], &self.spans_dropped_full),
            (2, &["late"], &self.spans_dropped_late),
            (3, &["failed"], &self.kept_failed),
            (3, &["slow"], &self.kept_slow),
            (3, &["sampled"], &self.kept_sampled),
            (4, &["sampling"], &self.dropped_sampling),
            (4, &["memory"], &self.traces_dropped_memory),
            (4, &["evicted"], &self.traces_evicted),
            (4, &["vanished"], &self.traces_vanished),
            (5, &[], &self.damaged),
            (6, &[], &self.write_failures),
        ];
        for (family, labels, counter) in counters {
            sink.sample(family, labels, counter.get() as f64);
        }
        let gauges = [(7, &self.stored), (8, &self.pending), (9, &self.disk_bytes), (10, &self.memory_bytes)];
        for (family, gauge) in gauges {
            sink.sample(family, &[], gauge.get());
        }
    }
}
