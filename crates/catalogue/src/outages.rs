//! For how long the agent was away, and why.

use std::time::Duration;

use nkudo_domain::OutageCause;
use nkudo_metrics_core::{Counter, Desc, Family, FloatCounter, Registry, label_set};

const TOTAL: Desc = Desc::counter(
    "nkudo_outages_total",
    "Times that the agent was away from its control plane and is back, by cause; stopped was wanted. What the daemon \
     finds when it starts counts too.",
)
.labels(&["cause"]);
const SECONDS_TOTAL: Desc = Desc::counter(
    "nkudo_outage_seconds_total",
    "For how long the agent was away from its control plane, by cause, in seconds; counted when it is back.",
)
.unit("seconds")
.labels(&["cause"]);
const DROPPED_TOTAL: Desc = Desc::counter(
    "nkudo_outages_dropped_total",
    "Outages that the control plane was never told because newer ones took their room.",
);

pub(crate) fn descs() -> Vec<Desc> {
    vec![TOTAL, SECONDS_TOTAL, DROPPED_TOTAL]
}

label_set! {
    struct ByCause { cause: &'static str }
}

/// The metrics of outages.
#[derive(Debug, Clone)]
pub struct OutageMetrics {
    total: Family<ByCause, Counter>,
    seconds: Family<ByCause, FloatCounter>,
    dropped: Counter,
}

impl OutageMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let all = Self {
            total: registry.counter_family(&TOTAL),
            seconds: registry.float_counter_family(&SECONDS_TOTAL),
            dropped: registry.counter(&DROPPED_TOTAL),
        };
        for cause in OutageCause::ALL {
            let by = ByCause { cause: cause.as_str() };
            all.total.get(&by);
            all.seconds.get(&by);
        }
        all
    }

    /// An outage is over.
    pub fn over(&self, cause: OutageCause, duration_ms: u64) {
        let by = ByCause { cause: cause.as_str() };
        self.total.get(&by).inc();
        self.seconds.get(&by).inc_by(Duration::from_millis(duration_ms).as_secs_f64());
    }

    /// So many were dropped untold, since the daemon began.
    pub fn dropped(&self, total: u64) {
        self.dropped.follow(total);
    }
}
