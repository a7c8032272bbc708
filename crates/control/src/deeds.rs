//! What changes something is done to its end, also when whoever asked for it has hung up.
//!
//! The future of a request is dropped when its connection ends or its stream is reset. Dropped while the books commit, a
//! deed would be done, and its line in the audit log never written.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Deeds at once: those that nobody waits for are bounded by no connection. More wait for their turn, and are not done when
/// their request ends before it.
const DEEDS_MAX: usize = 1_024;

/// The deeds that are under way.
#[derive(Debug)]
pub(crate) struct Deeds {
    tasks: TaskTracker,
    turns: Arc<Semaphore>,
}

impl Default for Deeds {
    fn default() -> Self {
        Self { tasks: TaskTracker::new(), turns: Arc::new(Semaphore::new(DEEDS_MAX)) }
    }
}

impl Deeds {
    /// Does something in a task of its own, in the span of now. Whoever drops the answer leaves the deed to itself.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        deed: impl Future<Output = T> + Send + 'static,
    ) -> T {
        // The semaphore is never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let deed = async move {
            let answer = deed.await;
            drop(turn);
            answer
        };
        match self.tasks.spawn(deed.in_current_span()).await {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Only the end of the program cuts a deed off.
                Err(_) => pending().await,
            },
        }
    }

    #[cfg(test)]
    pub(crate) fn are_under_way(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Waits until none is under way.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_deed_that_nobody_waits_for_ends_all_the_same() {
        let deeds = Deeds::default();
        let (open, gate) = oneshot::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        {
            let mut asked = pin!(deeds.finish(async move {
                gate.await.unwrap();
                seen.store(true, Ordering::Relaxed);
            }));
            assert!(asked.as_mut().now_or_never().is_none());
        }
        open.send(()).unwrap();
        deeds.ended().await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn beyond_the_bound_a_deed_waits_for_its_turn() {
        let deeds = Deeds::default();
        let all = Arc::clone(&deeds.turns).acquire_many_owned(u32::try_from(DEEDS_MAX).unwrap()).await;
        {
            let mut asked = pin!(deeds.finish(async {}));
            assert!(asked.as_mut().now_or_never().is_none());
            assert!(!deeds.are_under_way(), "it was not begun");
        }
        drop(all);
        assert_eq!(deeds.finish(async { 7 }).await, 7);
    }

    #[tokio::test]
    #[should_panic(expected = "of the deed")]
    async fn the_panic_of_a_deed_is_that_of_who_waits() {
        Deeds::default().finish(async { panic!("of the deed") }).await
    }
}
