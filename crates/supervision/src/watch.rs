//! The checks that every component gets: is its mailbox stuck, does its work go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::health::{Board, Health};
use crate::mailbox::Progress;

/// How often the checks are made.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A mailbox from which nothing was taken for this long while messages wait is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Failed checks in a row until a component counts as unhealthy; before that it is degraded.
const FAILURES_UNTIL_UNHEALTHY: u32 = 3;
/// Good checks in a row until it counts as healthy again.
const SUCCESSES_UNTIL_HEALTHY: u32 = 2;

/// What is checked of one component.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pub(crate) mailboxes: Vec<WatchedMailbox>,
    pub(crate) progress_within: Option<Duration>,
    failures: u32,
    successes: u32,
}

/// What is remembered of one mailbox between checks.
#[derive(Debug)]
pub(crate) struct WatchedMailbox {
    progress: Arc<Progress>,
    taken: u64,
    moved_at: Instant,
}

impl WatchedMailbox {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self { progress, taken: 0, moved_at: Instant::now() }
    }

    fn is_stuck(&mut self, now: Instant) -> bool {
        let taken = self.progress.taken.load(Ordering::Relaxed);
        let waiting = self.progress.sent.load(Ordering::Relaxed) > taken;
        if taken != self.taken || !waiting {
            self.taken = taken;
            self.moved_at = now;
        }
        waiting && now.duration_since(self.moved_at) >= STUCK_AFTER
    }
}

impl Watched {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, mailboxes: Vec::new(), progress_within: None, failures: 0, successes: 0 }
    }

    /// Checks once and tells the board when that changes anything.
    pub(crate) fn check(&mut self, board: &Board, now: Instant) {
        let stuck = self.mailboxes.iter_mut().any(|mailbox| mailbox.is_stuck(now));
        let idle = self.progress_within.is_some_and(|within| {
            board.last_progress(self.name).is_some_and(|at| now.duration_since(at) > within)
        });
        let reason = match (stuck, idle) {
            (true, _) => Some("messages wait and none is taken"),
            (false, true) => Some("no progress for too long"),
            (false, false) => None,
        };
        match reason {
            None => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.successes == SUCCESSES_UNTIL_HEALTHY {
                    board.set_checked(self.name, Health::Healthy);
                }
            }
            Some(reason) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                let health = if self.failures < FAILURES_UNTIL_UNHEALTHY {
                    Health::Degraded
                } else {
                    Health::Unhealthy
                };
                board.set_checked(self.name, health(reason.to_owned()));
            }
        }
    }
}
