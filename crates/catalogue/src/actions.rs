//! Actions: how they ended, how long they took, how often they were tried again.

use std::time::Duration;

use nkudo_domain::ActionType;
use nkudo_metrics_core::{Counter, Desc, Family, Histogram, Registry, label_set};

/// How an execution ends.
const EXECUTED: [&str; 2] = ["success", "failure"];
/// How an action ends that never started.
const ENDED: [&str; 3] = ["cancelled", "expired", "timed_out"];

/// From a millisecond to the ten minutes that large snapshots take.
const SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.5, 2.5, 7.5, 12.5, 37.5, 62.5, 187.5, 312.5, 600.0];

const EXECUTED_TOTAL: Desc = Desc::counter(
    "nkudo_actions_executed_total",
    "Executions that ended, by success or failure. Cancelled or timed out after the start is failure, and so is a \
     refusal in the wrong state; what already held is success; a replayed result does not count again.",
)
.labels(&["action_type", "status"]);
const ENDED_TOTAL: Desc = Desc::counter(
    "nkudo_actions_ended_total",
    "Actions that ended without starting: cancelled, expired or timed out.",
)
.labels(&["action_type", "status"]);
const DURATION: Desc = Desc::histogram(
    "nkudo_actions_duration_seconds",
    "How long executions took, retries included, in seconds.",
    SECONDS,
)
.unit("seconds")
.labels(&["action_type"]);
const RETRIES_TOTAL: Desc = Desc::counter(
    "nkudo_actions_retries_total",
    "Times that an execution was tried again after a transient failure.",
)
.labels(&["action_type"]);

pub(crate) fn descs() -> Vec<Desc> {
    vec![EXECUTED_TOTAL, ENDED_TOTAL, DURATION, RETRIES_TOTAL]
}

label_set! {
    struct ByEnd { action_type: &'static str, status: &'static str }
}

label_set! {
    struct ByType { action_type: &'static str }
}

#[derive(Debug, Clone)]
pub(crate) struct Actions {
    executed: Family<ByEnd, Counter>,
    ended: Family<ByEnd, Counter>,
    duration: Family<ByType, Histogram>,
    retries: Family<ByType, Counter>,
}

impl Actions {
    pub(crate) fn register(registry: &Registry) -> Self {
        let all = Self {
            executed: registry.counter_family(&EXECUTED_TOTAL),
            ended: registry.counter_family(&ENDED_TOTAL),
            duration: registry.histogram_family(&DURATION),
            retries: registry.counter_family(&RETRIES_TOTAL),
        };
        for action_type in ActionType::ALL.map(ActionType::as_str) {
            for status in EXECUTED {
                all.executed.get(&ByEnd { action_type, status });
            }
            for status in ENDED {
                all.ended.get(&ByEnd { action_type, status });
            }
            all.duration.get(&ByType { action_type });
            all.retries.get(&ByType { action_type });
        }
        all
    }

    pub(crate) fn executed(&self, action_type: ActionType, status: &'static str) {
        debug_assert!(EXECUTED.contains(&status), "{status} is not the end of an execution");
        self.executed.get(&ByEnd { action_type: action_type.as_str(), status }).inc();
    }

    pub(crate) fn ended(&self, action_type: ActionType, status: &'static str) {
        debug_assert!(ENDED.contains(&status), "{status} is not the end of an action that did not start");
        self.ended.get(&ByEnd { action_type: action_type.as_str(), status }).inc();
    }

    pub(crate) fn duration(&self, action_type: ActionType, duration: Duration) {
        self.duration.get(&ByType { action_type: action_type.as_str() }).observe(duration.as_secs_f64());
    }

    pub(crate) fn retries(&self, action_type: ActionType, retries: u32) {
        self.retries.get(&ByType { action_type: action_type.as_str() }).inc_by(u64::from(retries));
    }
}
