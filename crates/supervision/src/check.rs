//! A check that a component brings along, and how often one must fail or succeed before it counts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::health::Health;

/// Failed checks in a row until a component counts as unhealthy; before that it is degraded.
const FAILURES_UNTIL_UNHEALTHY: u32 = 3;
/// Good checks in a row until it counts as healthy again.
const SUCCESSES_UNTIL_HEALTHY: u32 = 2;

type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A question to a component that is asked again and again, with a deadline for each answer. A check that fails,
/// panics or does not answer in time degrades its component, and the third time in a row makes it unhealthy.
#[derive(Clone)]
pub struct Check {
    pub(crate) name: &'static str,
    deadline: Duration,
    ask: Arc<dyn Fn() -> Answer + Send + Sync>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Check {
    /// A check that asks with `ask`; the error says what is wrong. Its future is dropped at the deadline.
    pub fn new<F, Fut>(name: &'static str, deadline: Duration, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, deadline, ask: Arc::new(move || Box::pin(ask())) }
    }

    /// The answer, or what stands for one that does not come in time.
    pub(crate) async fn answer(self) -> Result<(), String> {
        let late = |_| Err(format!("no answer within {} ms", self.deadline.as_millis()));
        tokio::time::timeout(self.deadline, (self.ask)()).await.unwrap_or_else(late)
    }
}

/// What a check found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) reason: String,
    /// However often it is found, the component still works.
    pub(crate) works: bool,
}

/// Where a check stands after what it found so far.
#[derive(Debug)]
pub(crate) struct Standing {
    failures: u32,
    successes: u32,
    pub(crate) health: Health,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self { failures: 0, successes: 0, health: Health::Healthy }
    }

    pub(crate) fn note(&mut self, found: Option<Finding>) {
        let Some(Finding { reason, works }) = found else {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            if self.successes >= SUCCESSES_UNTIL_HEALTHY {
                self.health = Health::Healthy;
            }
            return;
        };
        self.successes = 0;
        // What still works does not count against what comes after it.
        self.failures = if works { 0 } else { self.failures.saturating_add(1) };
        self.health = if self.failures < FAILURES_UNTIL_UNHEALTHY {
            Health::Degraded(reason)
        } else {
            Health::Unhealthy(reason)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` is a good check, `!` a failed one, `~` one that says that the component still works.
    fn check(found: &str, expected: &str) {
        let mut standing = Standing::new();
        for sign in found.chars() {
            let finding = |works| Some(Finding { reason: "x".to_owned(), works });
            standing.note(match sign {
                '+' => None,
                '!' => finding(false),
                _ => finding(true),
            });
        }
        assert_eq!(standing.health.as_str(), expected, "{found}");
    }

    #[test]
    fn several_failures_are_unhealthy_and_several_successes_healthy() {
        check("", "healthy");
        check("!", "degraded");
        check("!!", "degraded");
        check("!!!", "unhealthy");
        check("!!!+", "unhealthy");
        check("!!!++", "healthy");
        check("!!!+!", "degraded");
        check("!!+!", "degraded");
        check("~~~~~", "degraded");
        check("~~~~~!", "degraded");
        check("~+", "degraded");
        check("~++", "healthy");
    }
}
