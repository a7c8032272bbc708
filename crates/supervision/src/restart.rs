//! When a component is started again, and when it is given up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How often and how soon a component may be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartBudget {
    /// Restarts within [`RestartBudget::within`]; one more gives the component up.
    pub max_restarts: usize,
    pub within: Duration,
    /// Delay before the first restart; doubles with each one within the time.
    pub backoff_min: Duration,
    /// The delay grows no further than this; chance adds up to a half of it.
    pub backoff_max: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            max_restarts: 5,
            within: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// The restarts of one component.
#[derive(Debug, Default)]
pub(crate) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// The delay before the next restart; none when the budget is spent. `jitter` from 0 to 1 adds up to a half.
    pub(crate) fn next(&mut self, budget: &RestartBudget, now: Instant, jitter: f64) -> Option<Duration> {
        while self.0.front().is_some_and(|at| now.duration_since(*at) > budget.within) {
            self.0.pop_front();
        }
        if self.0.len() >= budget.max_restarts {
            return None;
        }
        let doublings = u32::try_from(self.0.len()).unwrap_or(u32::MAX).min(16);
        let delay = budget.backoff_min.saturating_mul(1 << doublings).min(budget.backoff_max);
        self.0.push_back(now);
        Some(delay.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_until_the_budget_is_spent_and_time_gives_it_back() {
        let budget = RestartBudget { max_restarts: 3, ..RestartBudget::default() };
        let mut restarts = Restarts::default();
        let now = Instant::now();
        let delays: Vec<Option<u128>> =
            (0..4).map(|_| restarts.next(&budget, now, 0.0).map(|delay| delay.as_millis())).collect();
        assert_eq!(delays, [Some(100), Some(200), Some(400), None]);
        let later = now + budget.within + Duration::from_millis(1);
        assert_eq!(restarts.next(&budget, later, 1.0), Some(Duration::from_millis(150)));
    }
}
