//! The link to the control plane: its heartbeats, and what came over it.

use std::time::Duration;

use nkudo_metrics_core::{Counter, Desc, Histogram, Registry};

const SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.5, 2.5, 7.5, 12.5];

const SENT_TOTAL: Desc =
    Desc::counter("nkudo_heartbeats_sent_total", "Heartbeats attempted, the failed included.");
const FAILURES_TOTAL: Desc =
    Desc::counter("nkudo_heartbeat_failures_total", "Heartbeats that were not answered.");
const DURATION: Desc = Desc::histogram(
    "nkudo_heartbeat_duration_seconds",
    "From sending a heartbeat to its answer or failure, in seconds.",
    SECONDS,
)
.unit("seconds");

const NOT_UNDERSTOOD: Desc = Desc::counter(
    "nkudo_link_messages_not_understood_total",
    "Messages of the control plane that were passed over: of another version, or not valid.",
);

const GIVEN_UP: Desc = Desc::counter(
    "nkudo_results_given_up_total",
    "Results of actions that are never told because the host was enrolled anew before.",
);

pub(crate) fn descs() -> Vec<Desc> {
    vec![SENT_TOTAL, FAILURES_TOTAL, DURATION, NOT_UNDERSTOOD, GIVEN_UP]
}

#[derive(Debug, Clone)]
pub(crate) struct Heartbeats {
    sent: Counter,
    failures: Counter,
    duration: Histogram,
    not_understood: Counter,
    given_up: Counter,
}

impl Heartbeats {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            sent: registry.counter(&SENT_TOTAL),
            failures: registry.counter(&FAILURES_TOTAL),
            duration: registry.histogram(&DURATION),
            not_understood: registry.counter(&NOT_UNDERSTOOD),
            given_up: registry.counter(&GIVEN_UP),
        }
    }

    pub(crate) fn results_given_up(&self, count: u64) {
        self.given_up.inc_by(count);
    }

    pub(crate) fn message_not_understood(&self) {
        self.not_understood.inc();
    }

    pub(crate) fn sent(&self, duration: Duration, answered: bool) {
        self.sent.inc();
        self.duration.observe(duration.as_secs_f64());
        if !answered {
            self.failures.inc();
        }
    }
}
