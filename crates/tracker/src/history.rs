//! Executions that have ended: the newest one by one, the older ones as aggregates.

use std::collections::{BTreeMap, VecDeque};

use nkudo_domain::{ActionType, Execution, ExecutionStatus};
use serde::{Deserialize, Serialize};

/// Upper bounds of the duration buckets grow by this factor, so that a percentile is at most a quarter too high.
const BUCKET_GROWTH: f64 = 1.25;
/// Buckets up to `1.25^72` ms, which is above two hours.
const BUCKETS: usize = 73;

/// Executions of one action type that have left the history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Aggregate {
    pub success: u64,
    pub failure: u64,
    pub cancelled: u64,
    /// Executions by duration: bucket `i` counts those of at most `1.25^i` ms.
    durations: Vec<u64>,
}

impl Aggregate {
    /// Adds one execution that has ended.
    pub fn add(&mut self, execution: &Execution) {
        match execution.status {
            ExecutionStatus::Success => self.success += 1,
            ExecutionStatus::Failure => self.failure += 1,
            ExecutionStatus::Cancelled => self.cancelled += 1,
            ExecutionStatus::Running => return,
        }
        self.durations.resize(BUCKETS, 0);
        let duration_ms = execution.duration_ms.unwrap_or(0);
        let index = (0..BUCKETS).find(|&i| duration_ms <= bucket_ms(i)).unwrap_or(BUCKETS - 1);
        self.durations[index] += 1;
    }

    /// Executions in all.
    pub fn count(&self) -> u64 {
        self.success + self.failure + self.cancelled
    }

    /// The duration that `percent` of a hundred executions did not exceed, in milliseconds, at most a quarter too
    /// high. None where there is no execution.
    pub fn percentile_ms(&self, percent: u64) -> Option<u64> {
        let wanted = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.durations.iter().enumerate().find_map(|(index, count)| {
            seen += count;
            (seen >= wanted).then(|| bucket_ms(index))
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "1.25^72 is positive and below 2^24"
)]
fn bucket_ms(index: usize) -> u64 {
    BUCKET_GROWTH.powi(i32::try_from(index).unwrap_or(i32::MAX)).ceil() as u64
}

/// The newest executions, and the aggregates of the older ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) executions: VecDeque<Execution>,
    pub(crate) rolled: BTreeMap<ActionType, Aggregate>,
}

impl History {
    /// Takes in one that has ended; what its command wrote stays with its result.
    pub(crate) fn add(&mut self, execution: Execution, max: usize) {
        self.executions.push_back(Execution { output: None, ..execution });
        while self.executions.len() > max {
            if let Some(oldest) = self.executions.pop_front() {
                self.rolled.entry(oldest.action_type).or_default().add(&oldest);
            }
        }
    }

    /// Everything that ever ended, by action type.
    pub(crate) fn aggregates(&self) -> BTreeMap<ActionType, Aggregate> {
        let mut all = self.rolled.clone();
        for execution in &self.executions {
            all.entry(execution.action_type).or_default().add(execution);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use nkudo_domain::{ActionType, ResourceUsage, VmId};

    use super::*;

    fn execution(status: ExecutionStatus, duration_ms: u64) -> Execution {
        let vm_id: VmId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        Execution {
            action_id: "one".parse().unwrap(),
            action_type: ActionType::Create,
            vm_id: Some(vm_id),
            started_at_ms: 0,
            completed_at_ms: Some(0),
            duration_ms: Some(duration_ms),
            status,
            error: None,
            retries: 0,
            usage: ResourceUsage::default(),
            trace_id: None,
            output: None,
        }
    }

    fn aggregate(durations_ms: impl IntoIterator<Item = u64>) -> Aggregate {
        let mut aggregate = Aggregate::default();
        durations_ms.into_iter().for_each(|ms| aggregate.add(&execution(ExecutionStatus::Success, ms)));
        aggregate
    }

    #[test]
    fn a_percentile_is_at_most_a_quarter_too_high() {
        let cases: [(Vec<u64>, u64, u64); 7] = [
            ((1..=1_000).collect(), 50, 500),
            ((1..=1_000).collect(), 90, 900),
            ((1..=1_000).collect(), 99, 990),
            ((1..=1_000).collect(), 100, 1_000),
            (vec![7], 0, 7),
            (vec![7], 50, 7),
            (vec![1, 7_000_000], 99, 7_000_000),
        ];
        for (durations_ms, percent, exact_ms) in cases {
            let found_ms = aggregate(durations_ms).percentile_ms(percent).unwrap();
            // The bound of a bucket is rounded up to a whole millisecond.
            let highest_ms = exact_ms + exact_ms / 4 + 1;
            assert!((exact_ms..=highest_ms).contains(&found_ms), "p{percent}: {found_ms} for {exact_ms}");
        }
        assert_eq!(aggregate([]).percentile_ms(50), None);
    }

    #[test]
    fn durations_beyond_the_last_bucket_are_counted_in_it() {
        let aggregate = aggregate([0, u64::MAX]);
        assert_eq!(aggregate.count(), 2);
        assert_eq!(aggregate.percentile_ms(1), Some(1));
        assert_eq!(aggregate.percentile_ms(100), Some(bucket_ms(BUCKETS - 1)));
    }

    #[test]
    fn each_end_counts_once_and_what_runs_does_not() {
        let mut aggregate = Aggregate::default();
        for status in ExecutionStatus::ALL {
            aggregate.add(&execution(status, 1));
        }
        assert_eq!((aggregate.success, aggregate.failure, aggregate.cancelled), (1, 1, 1));
        assert_eq!(aggregate.count(), 3);
    }

    #[test]
    fn rolling_loses_no_execution() {
        let mut history = History::default();
        for duration_ms in 1..=10 {
            history.add(execution(ExecutionStatus::Success, duration_ms), 4);
        }
        assert_eq!(history.executions.len(), 4);
        assert_eq!(history.rolled[&ActionType::Create].count(), 6);
        assert_eq!(history.aggregates()[&ActionType::Create], aggregate(1..=10));
    }
}
