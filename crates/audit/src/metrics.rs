//! What became of entries. The caller gives the prefix of the names.

use nkudo_metrics_core::{Counter, Desc, Gauge, Histogram, Registry, label_set};

use crate::error::AuditError;

/// From the fsync of a fast disk to that of one in trouble.
const SYNC_BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

const ENTRIES: Desc = Desc::counter("audit_entries_total", "Entries written to the audit log.");
const CUT: Desc =
    Desc::counter("audit_entries_cut_total", "Entries of which something was cut or left out as too long.");
const REFUSED: Desc = Desc::counter(
    "audit_refused_total",
    "Entries that were refused: the log or its disk is full, or the disk failed. Their writer was told.",
)
.labels(&["reason"]);
const CHECKPOINTS: Desc = Desc::counter("audit_checkpoints_total", "Signed checkpoints in the audit log.");
const CUT_LINES: Desc = Desc::counter(
    "audit_cut_lines_total",
    "Last lines that were found cut, as a crash leaves them, and set aside.",
);
const PRUNED: Desc = Desc::counter("audit_files_pruned_total", "Files of the audit log that were pruned.");
const BYTES: Desc = Desc::gauge("audit_bytes", "Disk that the audit log takes.").unit("bytes");
const BYTES_MAX: Desc =
    Desc::gauge("audit_max_bytes", "Disk that the audit log may take before it refuses entries.")
        .unit("bytes");
const SYNC_SECONDS: Desc = Desc::histogram(
    "audit_sync_duration_seconds",
    "How long it took to make entries durable, many at once.",
    SYNC_BOUNDS,
)
.unit("seconds");

const DESCS: [Desc; 9] =
    [ENTRIES, CUT, REFUSED, CHECKPOINTS, CUT_LINES, PRUNED, BYTES, BYTES_MAX, SYNC_SECONDS];

label_set! {
    /// By why an entry was refused.
    struct Reason { reason: &'static str }
}

/// Every metric of this crate.
pub fn descs(prefix: &str) -> Vec<Desc> {
    DESCS.iter().map(|desc| desc.with_prefix(prefix)).collect()
}

/// Exposes all of them with this prefix; a log counts there after [`crate::AuditLog::count_in`].
pub fn register(registry: &Registry, prefix: &str) -> AuditMetrics {
    let refused = registry.counter_family::<Reason>(&REFUSED.with_prefix(prefix));
    let refused = |reason| refused.get(&Reason { reason });
    AuditMetrics {
        entries: registry.counter(&ENTRIES.with_prefix(prefix)),
        cut: registry.counter(&CUT.with_prefix(prefix)),
        refused_full: refused("full"),
        refused_failed: refused("failed"),
        checkpoints: registry.counter(&CHECKPOINTS.with_prefix(prefix)),
        cut_lines: registry.counter(&CUT_LINES.with_prefix(prefix)),
        pruned: registry.counter(&PRUNED.with_prefix(prefix)),
        bytes: registry.gauge(&BYTES.with_prefix(prefix)),
        bytes_max: registry.gauge(&BYTES_MAX.with_prefix(prefix)),
        sync_seconds: registry.histogram(&SYNC_SECONDS.with_prefix(prefix)),
    }
}

/// Counts of a log, and where it stands. Cheap to clone; all clones count together, also when a log is opened anew.
#[derive(Debug, Clone)]
pub struct AuditMetrics {
    /// Entries that were written, checkpoints not among them.
    pub entries: Counter,
    /// Of them those in which something was cut or left out.
    pub cut: Counter,
    /// Entries refused for want of space.
    pub refused_full: Counter,
    /// Entries refused since the disk failed.
    pub refused_failed: Counter,
    pub checkpoints: Counter,
    /// Last lines that were found cut.
    pub cut_lines: Counter,
    /// Files that were pruned.
    pub pruned: Counter,
    pub bytes: Gauge,
    pub bytes_max: Gauge,
    pub sync_seconds: Histogram,
}

impl Default for AuditMetrics {
    /// Cells that nobody exposes.
    fn default() -> AuditMetrics {
        AuditMetrics {
            entries: Counter::default(),
            cut: Counter::default(),
            refused_full: Counter::default(),
            refused_failed: Counter::default(),
            checkpoints: Counter::default(),
            cut_lines: Counter::default(),
            pruned: Counter::default(),
            bytes: Gauge::default(),
            bytes_max: Gauge::default(),
            sync_seconds: Histogram::new(SYNC_BOUNDS),
        }
    }
}

impl AuditMetrics {
    pub(crate) fn count_refusal(&self, error: &AuditError) {
        if error.is_storage_full() { &self.refused_full } else { &self.refused_failed }.inc();
    }
}
