//! What a supervisor and its mailboxes expose. The caller gives the prefix of the names.

use nkudo_metrics_core::{Counter, Desc, Family, Gauge, Histogram, Registry, label_set};

label_set! {
    /// By the name of a component.
    pub struct ByComponent { component: &'static str }
}
label_set! {
    /// By the name of a component and why it was started again: `error`, `panic` or `ended`.
    pub struct ByCause { component: &'static str, cause: &'static str }
}
label_set! {
    /// By the name of a component and a state of health.
    pub struct ByHealth { component: &'static str, health: &'static str }
}

/// From a tenth of a millisecond to ten seconds.
const SECONDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 2.5, 9.999];

const PROCESSED: Desc =
    Desc::counter("component_messages_processed_total", "Messages that a component has handled.")
        .labels(&["component"]);
const LATENCY: Desc = Desc::histogram(
    "component_processing_latency_seconds",
    "Time from taking a message out of the mailbox until it is handled.",
    SECONDS,
)
.labels(&["component"]);
const WAIT: Desc =
    Desc::histogram("component_queue_wait_seconds", "Time that a message waited in the mailbox.", SECONDS)
        .labels(&["component"]);
const DEPTH: Desc =
    Desc::gauge("component_mailbox_depth", "Messages that wait in the mailbox.").labels(&["component"]);
const CAPACITY: Desc = Desc::gauge("component_mailbox_capacity", "Messages that the mailbox holds at most.")
    .labels(&["component"]);
const REJECTED: Desc =
    Desc::counter("component_messages_rejected_total", "Messages refused because the mailbox was full.")
        .labels(&["component"]);
const STARTS: Desc = Desc::counter("component_starts_total", "Starts of a component.").labels(&["component"]);
const RESTARTS: Desc = Desc::counter("component_restarts_total", "Restarts of a component, by their cause.")
    .labels(&["component", "cause"]);
const HEALTH: Desc = Desc::gauge("component_health_status", "1 for the current health of a component.")
    .labels(&["component", "health"]);

const ALL: [&Desc; 9] =
    [&PROCESSED, &LATENCY, &WAIT, &DEPTH, &CAPACITY, &REJECTED, &STARTS, &RESTARTS, &HEALTH];

/// Every metric of this crate.
pub fn descs(prefix: &str) -> Vec<Desc> {
    ALL.iter().map(|desc| desc.with_prefix(prefix)).collect()
}

/// The families of a supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    processed: Family<ByComponent, Counter>,
    latency: Family<ByComponent, Histogram>,
    wait: Family<ByComponent, Histogram>,
    depth: Family<ByComponent, Gauge>,
    capacity: Family<ByComponent, Gauge>,
    rejected: Family<ByComponent, Counter>,
    pub(crate) starts: Family<ByComponent, Counter>,
    pub(crate) restarts: Family<ByCause, Counter>,
    pub(crate) health: Family<ByHealth, Gauge>,
}

/// The cells of one mailbox.
#[derive(Debug, Clone)]
pub(crate) struct MailboxMetrics {
    pub(crate) processed: Counter,
    pub(crate) latency: Histogram,
    pub(crate) wait: Histogram,
    pub(crate) depth: Gauge,
    pub(crate) rejected: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, prefix: &str) -> Self {
        Self {
            processed: registry.counter_family(&PROCESSED.with_prefix(prefix)),
            latency: registry.histogram_family(&LATENCY.with_prefix(prefix)),
            wait: registry.histogram_family(&WAIT.with_prefix(prefix)),
            depth: registry.gauge_family(&DEPTH.with_prefix(prefix)),
            capacity: registry.gauge_family(&CAPACITY.with_prefix(prefix)),
            rejected: registry.counter_family(&REJECTED.with_prefix(prefix)),
            starts: registry.counter_family(&STARTS.with_prefix(prefix)),
            restarts: registry.counter_family(&RESTARTS.with_prefix(prefix)),
            health: registry.gauge_family(&HEALTH.with_prefix(prefix)),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "no mailbox holds 2^53 messages")]
    pub(crate) fn mailbox(&self, component: &'static str, capacity: usize) -> MailboxMetrics {
        let by = ByComponent { component };
        self.capacity.get(&by).set(capacity as f64);
        MailboxMetrics {
            processed: self.processed.get(&by),
            latency: self.latency.get(&by),
            wait: self.wait.get(&by),
            depth: self.depth.get(&by),
            rejected: self.rejected.get(&by),
        }
    }
}
