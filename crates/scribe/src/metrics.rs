//! Whether entries reach the log, besides what the log itself counts. The caller gives the prefix of the names.

use nkudo_audit::AuditMetrics;
use nkudo_metrics_core::{Counter, Desc, Gauge, Registry};

const WAITING: Desc = Desc::gauge(
    "audit_waiting_entries",
    "Entries that wait in memory because the audit log cannot be written.",
);
const LOST: Desc =
    Desc::counter("audit_lost_entries_total", "Entries that were lost because too many waited in memory.");
const FULL: Desc = Desc::gauge(
    "audit_storage_full",
    "1 while nothing new is begun because the audit log is full or cannot be written.",
);
const WENT_BACK: Desc = Desc::counter(
    "audit_went_back_total",
    "Openings that found the audit log without lines that had been durable: somebody took them out.",
);

const DESCS: [Desc; 4] = [WAITING, LOST, FULL, WENT_BACK];

/// Every metric of this crate, and those of the log.
pub fn descs(prefix: &str) -> Vec<Desc> {
    let own = DESCS.into_iter().map(|desc| desc.with_prefix(prefix));
    own.chain(nkudo_audit::descs(prefix)).collect()
}

/// Exposes all of them with this prefix.
pub fn register(registry: &Registry, prefix: &str) -> ScribeMetrics {
    ScribeMetrics {
        log: nkudo_audit::register(registry, prefix),
        waiting: registry.gauge(&WAITING.with_prefix(prefix)),
        lost: registry.counter(&LOST.with_prefix(prefix)),
        full: registry.gauge(&FULL.with_prefix(prefix)),
        went_back: registry.counter(&WENT_BACK.with_prefix(prefix)),
    }
}

/// What a writer counts. Cheap to clone; all clones count together. By default nobody exposes it.
#[derive(Debug, Clone, Default)]
pub struct ScribeMetrics {
    pub(crate) log: AuditMetrics,
    pub(crate) waiting: Gauge,
    pub(crate) lost: Counter,
    pub(crate) full: Gauge,
    pub(crate) went_back: Counter,
}
