//! A component's task as it measures itself: how often and how long it runs, rests, and waits for a worker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::traffic::nanos;

/// A poll that takes longer holds up other tasks of its worker.
const SLOW: Duration = Duration::from_millis(10);

/// What was measured over all runs of a component.
#[derive(Debug)]
pub(crate) struct TaskStats {
    made: Instant,
    polls: AtomicU64,
    busy_ns: AtomicU64,
    longest_ns: AtomicU64,
    slow: AtomicU64,
    slow_ns: AtomicU64,
    idle_ns: AtomicU64,
    wakes: AtomicU64,
    scheduled_ns: AtomicU64,
    scheduled_longest_ns: AtomicU64,
    future_bytes: AtomicU64,
    /// When the last poll ended, in nanoseconds after `made`; 0 while one goes on or none runs.
    resting_since_ns: AtomicU64,
}

impl TaskStats {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            made: Instant::now(),
            polls: zero(),
            busy_ns: zero(),
            longest_ns: zero(),
            slow: zero(),
            slow_ns: zero(),
            idle_ns: zero(),
            wakes: zero(),
            scheduled_ns: zero(),
            scheduled_longest_ns: zero(),
            future_bytes: zero(),
            resting_since_ns: zero(),
        }
    }

    /// Never 0, which stands for never.
    fn since_made(&self, now: Instant) -> u64 {
        nanos(now.duration_since(self.made)).saturating_add(1)
    }

    fn poll_begins(&self, now: Instant) {
        let rested_from = self.resting_since_ns.swap(0, Ordering::Relaxed);
        if rested_from > 0 {
            let rested = self.since_made(now).saturating_sub(rested_from);
            self.idle_ns.fetch_add(rested, Ordering::Relaxed);
        }
    }

    fn poll_ends(&self, took: Duration, now: Instant, rests: bool) {
        let took_ns = nanos(took);
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.busy_ns.fetch_add(took_ns, Ordering::Relaxed);
        self.longest_ns.fetch_max(took_ns, Ordering::Relaxed);
        if took > SLOW {
            self.slow.fetch_add(1, Ordering::Relaxed);
            self.slow_ns.fetch_add(took_ns, Ordering::Relaxed);
        }
        if rests {
            self.resting_since_ns.store(self.since_made(now), Ordering::Relaxed);
        }
    }

    fn scheduled(&self, waited_ns: u64) {
        self.scheduled_ns.fetch_add(waited_ns, Ordering::Relaxed);
        self.scheduled_longest_ns.fetch_max(waited_ns, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> TaskReading {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let duration = |cell: &AtomicU64| Duration::from_nanos(load(cell));
        let resting = Some(load(&self.resting_since_ns)).filter(|since| *since > 0);
        let rests_for = resting.map_or(0, |since| self.since_made(Instant::now()).saturating_sub(since));
        TaskReading {
            polls: load(&self.polls),
            busy: duration(&self.busy_ns),
            longest: duration(&self.longest_ns),
            slow: load(&self.slow),
            slow_busy: duration(&self.slow_ns),
            idle: duration(&self.idle_ns) + Duration::from_nanos(rests_for),
            wakes: load(&self.wakes),
            scheduled: duration(&self.scheduled_ns),
            scheduled_longest: duration(&self.scheduled_longest_ns),
            future_bytes: load(&self.future_bytes),
        }
    }
}

/// [`TaskStats`] as they are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskReading {
    pub(crate) polls: u64,
    pub(crate) busy: Duration,
    pub(crate) longest: Duration,
    pub(crate) slow: u64,
    pub(crate) slow_busy: Duration,
    pub(crate) idle: Duration,
    pub(crate) wakes: u64,
    pub(crate) scheduled: Duration,
    pub(crate) scheduled_longest: Duration,
    pub(crate) future_bytes: u64,
}

/// A future that is measured while it runs.
pub(crate) struct Measured<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F> Measured<F> {
    pub(crate) fn new(future: F, stats: Arc<TaskStats>) -> Self {
        let bytes = u64::try_from(size_of::<F>()).unwrap_or(u64::MAX);
        stats.future_bytes.store(bytes, Ordering::Relaxed);
        let bell = Arc::new(Bell { stats, task: AtomicWaker::new(), rung_ns: AtomicU64::new(0) });
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.bell.task.register(context.waker());
        let stats = &this.bell.stats;
        let begun = Instant::now();
        let rung_ns = this.bell.rung_ns.swap(0, Ordering::Relaxed);
        if rung_ns > 0 {
            stats.scheduled(stats.since_made(begun).saturating_sub(rung_ns));
        }
        stats.poll_begins(begun);
        let polled = this.future.as_mut().poll(&mut Context::from_waker(&this.waker));
        let ended = Instant::now();
        stats.poll_ends(ended.duration_since(begun), ended, polled.is_pending());
        polled
    }
}

/// A task that is dropped rests no longer.
impl<F> Drop for Measured<F> {
    fn drop(&mut self) {
        self.bell.stats.poll_begins(Instant::now());
    }
}

/// Wakes the task and notes when it was first woken since its last poll.
struct Bell {
    stats: Arc<TaskStats>,
    task: AtomicWaker,
    rung_ns: AtomicU64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stats.wakes.fetch_add(1, Ordering::Relaxed);
        if self.rung_ns.load(Ordering::Relaxed) == 0 {
            self.rung_ns.store(self.stats.since_made(Instant::now()), Ordering::Relaxed);
        }
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_tells_how_long_it_ran_and_rested() {
        let stats = Arc::new(TaskStats::new());
        let work = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            // A poll that takes long.
            tokio::time::advance(Duration::from_millis(20)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            7
        };
        assert_eq!(Measured::new(work, Arc::clone(&stats)).await, 7);
        let read = stats.read();
        assert_eq!(read.idle.as_millis(), 4_000, "{read:?}");
        assert!(read.polls >= 3 && read.wakes >= 2, "{read:?}");
        assert!(read.future_bytes > 0);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(stats.read().idle.as_millis(), 4_000, "what has ended does not rest");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_rests_now_is_counted_up_to_now() {
        let stats = Arc::new(TaskStats::new());
        let resting = Measured::new(std::future::pending::<()>(), Arc::clone(&stats));
        let looked = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stats.read().idle.as_secs()
        };
        tokio::select! {
            () = resting => unreachable!("it never ends"),
            idle = looked => assert_eq!(idle, 5),
        }
    }
}
