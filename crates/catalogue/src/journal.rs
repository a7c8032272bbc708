//! The journal of actions.

use nkudo_metrics_core::{Counter, Desc, Gauge, Histogram, Registry};

/// From the fsync of a fast disk to that of one in trouble.
const SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

const APPENDS_TOTAL: Desc = Desc::counter("nkudo_journal_appends_total", "Records appended to the journal.");
const APPENDED_BYTES_TOTAL: Desc =
    Desc::counter("nkudo_journal_appended_bytes_total", "Bytes of the records appended to the journal.")
        .unit("bytes");
const SYNCS_TOTAL: Desc = Desc::counter(
    "nkudo_journal_syncs_total",
    "Times that the journal was made durable, for all records before.",
);
const SYNC_DURATION: Desc = Desc::histogram(
    "nkudo_journal_sync_duration_seconds",
    "How long it took to make the journal durable, in seconds.",
    SECONDS,
)
.unit("seconds");
const BALLAST_BYTES: Desc = Desc::gauge(
    "nkudo_journal_ballast_bytes",
    "Room that is kept for the journal's last records on a full disk; 0 once it was given away.",
)
.unit("bytes");

pub(crate) fn descs() -> Vec<Desc> {
    vec![APPENDS_TOTAL, APPENDED_BYTES_TOTAL, SYNCS_TOTAL, SYNC_DURATION, BALLAST_BYTES]
}

/// The cells that the writer of the journal holds.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    pub appends: Counter,
    pub appended_bytes: Counter,
    pub syncs: Counter,
    pub sync_seconds: Histogram,
    pub ballast_bytes: Gauge,
}

impl JournalMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            appends: registry.counter(&APPENDS_TOTAL),
            appended_bytes: registry.counter(&APPENDED_BYTES_TOTAL),
            syncs: registry.counter(&SYNCS_TOTAL),
            sync_seconds: registry.histogram(&SYNC_DURATION),
            ballast_bytes: registry.gauge(&BALLAST_BYTES),
        }
    }
}
