//! What a supervisor and its mailboxes expose. The caller gives the prefix of the names.

mod table;

use nkudo_metrics_core::{
    Counter, Desc, Family, FloatCounter, Gauge, Histogram, Registry, SampleSink, label_set,
};

pub(crate) use table::Reading;

use crate::health::Health;
use crate::operations::Cells;

label_set! {
    /// By the name of a component.
    pub struct ByComponent { component: &'static str }
}
label_set! {
    /// By the name of a component and why it was started again (`error`, `panic` or `ended`) or what went wrong in it.
    pub struct ByCause { component: &'static str, cause: &'static str }
}
label_set! {
    /// By the name of a component and a state of health.
    pub struct ByHealth { component: &'static str, health: &'static str }
}

label_set! {
    /// By the name of a component and a kind of [`Operation`](crate::Operation).
    pub struct ByOperation { component: &'static str, operation: &'static str }
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
const ROUTING: Desc = Desc::histogram(
    "component_routing_latency_seconds",
    "Time from putting a message into the mailbox until it is handled.",
    SECONDS,
)
.labels(&["component"]);
const DEPTH: Desc =
    Desc::gauge("component_mailbox_depth", "Messages that wait in the mailbox.").labels(&["component"]);
const CAPACITY: Desc = Desc::gauge("component_mailbox_capacity", "Messages that the mailbox holds at most.")
    .labels(&["component"]);
const REJECTED: Desc =
    Desc::counter("component_messages_rejected_total", "Messages refused because the mailbox was full.")
        .labels(&["component"]);
const ABANDONED: Desc = Desc::counter(
    "component_messages_abandoned_total",
    "Messages in hand when a component failed, or still waiting when their mailbox went.",
)
.labels(&["component"]);
const ERRORS: Desc =
    Desc::counter("component_errors_total", "Errors that a component told of, by their cause.")
        .labels(&["component", "cause"]);
const STARTS: Desc = Desc::counter("component_starts_total", "Starts of a component.").labels(&["component"]);
const RESTARTS: Desc = Desc::counter("component_restarts_total", "Restarts of a component, by their cause.")
    .labels(&["component", "cause"]);
const HEALTH: Desc = Desc::gauge("component_health_status", "1 for the current health of a component.")
    .labels(&["component", "health"]);
const HEALTH_CHANGES: Desc =
    Desc::counter("component_health_changes_total", "Changes of a component's health, by what it became.")
        .labels(&["component", "health"]);
const OPERATIONS: Desc = Desc::counter(
    "component_operations_total",
    "Operations of a component on files, the network and processes, the failed included.",
)
.labels(&["component", "operation"]);
const OPERATION_ERRORS: Desc =
    Desc::counter("component_operation_errors_total", "Operations of a component that failed.")
        .labels(&["component", "operation"]);
const OPERATION_BYTES: Desc =
    Desc::counter("component_operation_bytes_total", "Bytes that a component's operations moved.")
        .unit("bytes")
        .labels(&["component", "operation"]);
const OPERATION_SECONDS: Desc = Desc::counter(
    "component_operation_seconds_total",
    "Time that a component's operations took, in seconds.",
)
.unit("seconds")
.labels(&["component", "operation"]);

const OWN: [&Desc; 17] = [
    &PROCESSED,
    &LATENCY,
    &WAIT,
    &ROUTING,
    &DEPTH,
    &CAPACITY,
    &REJECTED,
    &ABANDONED,
    &ERRORS,
    &STARTS,
    &RESTARTS,
    &HEALTH,
    &HEALTH_CHANGES,
    &OPERATIONS,
    &OPERATION_ERRORS,
    &OPERATION_BYTES,
    &OPERATION_SECONDS,
];

/// Every metric of this crate.
pub fn descs(prefix: &str) -> Vec<Desc> {
    let own = OWN.iter().map(|desc| desc.with_prefix(prefix));
    own.chain(read_descs(prefix)).collect()
}

/// What is read at a scrape, in the order of [`sample`].
pub(crate) fn read_descs(prefix: &str) -> Vec<Desc> {
    table::TABLE.iter().map(|(desc, _)| desc.with_prefix(prefix)).collect()
}

/// Writes what was read of one component.
pub(crate) fn sample(reading: &Reading, sink: &mut SampleSink<'_>) {
    for (index, (_, read)) in table::TABLE.iter().enumerate() {
        if let Some(value) = read(reading) {
            sink.sample(index, &[reading.name], value);
        }
    }
}

/// The families of a supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    processed: Family<ByComponent, Counter>,
    latency: Family<ByComponent, Histogram>,
    wait: Family<ByComponent, Histogram>,
    routing: Family<ByComponent, Histogram>,
    depth: Family<ByComponent, Gauge>,
    capacity: Family<ByComponent, Gauge>,
    rejected: Family<ByComponent, Counter>,
    abandoned: Family<ByComponent, Counter>,
    pub(crate) errors: Family<ByCause, Counter>,
    pub(crate) starts: Family<ByComponent, Counter>,
    pub(crate) restarts: Family<ByCause, Counter>,
    pub(crate) health: Family<ByHealth, Gauge>,
    pub(crate) health_changes: Family<ByHealth, Counter>,
    operations: Family<ByOperation, Counter>,
    operation_errors: Family<ByOperation, Counter>,
    operation_bytes: Family<ByOperation, Counter>,
    operation_seconds: Family<ByOperation, FloatCounter>,
}

/// The cells of one mailbox.
#[derive(Debug, Clone)]
pub(crate) struct MailboxMetrics {
    pub(crate) processed: Counter,
    pub(crate) latency: Histogram,
    pub(crate) wait: Histogram,
    pub(crate) routing: Histogram,
    pub(crate) depth: Gauge,
    pub(crate) capacity: Gauge,
    pub(crate) rejected: Counter,
    pub(crate) abandoned: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, prefix: &str) -> Self {
        Self {
            processed: registry.counter_family(&PROCESSED.with_prefix(prefix)),
            latency: registry.histogram_family(&LATENCY.with_prefix(prefix)),
            wait: registry.histogram_family(&WAIT.with_prefix(prefix)),
            routing: registry.histogram_family(&ROUTING.with_prefix(prefix)),
            depth: registry.gauge_family(&DEPTH.with_prefix(prefix)),
            capacity: registry.gauge_family(&CAPACITY.with_prefix(prefix)),
            rejected: registry.counter_family(&REJECTED.with_prefix(prefix)),
            abandoned: registry.counter_family(&ABANDONED.with_prefix(prefix)),
            errors: registry.counter_family(&ERRORS.with_prefix(prefix)),
            starts: registry.counter_family(&STARTS.with_prefix(prefix)),
            restarts: registry.counter_family(&RESTARTS.with_prefix(prefix)),
            health: registry.gauge_family(&HEALTH.with_prefix(prefix)),
            health_changes: registry.counter_family(&HEALTH_CHANGES.with_prefix(prefix)),
            operations: registry.counter_family(&OPERATIONS.with_prefix(prefix)),
            operation_errors: registry.counter_family(&OPERATION_ERRORS.with_prefix(prefix)),
            operation_bytes: registry.counter_family(&OPERATION_BYTES.with_prefix(prefix)),
            operation_seconds: registry.float_counter_family(&OPERATION_SECONDS.with_prefix(prefix)),
        }
    }

    /// The counters of a component start at zero, so that the first of a kind is an increase too.
    pub(crate) fn begin(&self, component: &'static str) {
        self.starts.get(&ByComponent { component });
        for cause in ["error", "panic", "ended"] {
            self.restarts.get(&ByCause { component, cause });
        }
        for health in Health::STATES {
            self.health_changes.get(&ByHealth { component, health });
        }
    }

    pub(crate) fn operation(&self, component: &'static str, operation: &'static str) -> Cells {
        let by = ByOperation { component, operation };
        Cells {
            done: self.operations.get(&by),
            errors: self.operation_errors.get(&by),
            bytes: self.operation_bytes.get(&by),
            seconds: self.operation_seconds.get(&by),
        }
    }

    pub(crate) fn mailbox(&self, component: &'static str) -> MailboxMetrics {
        let by = ByComponent { component };
        MailboxMetrics {
            processed: self.processed.get(&by),
            latency: self.latency.get(&by),
            wait: self.wait.get(&by),
            routing: self.routing.get(&by),
            depth: self.depth.get(&by),
            capacity: self.capacity.get(&by),
            rejected: self.rejected.get(&by),
            abandoned: self.abandoned.get(&by),
        }
    }
}
