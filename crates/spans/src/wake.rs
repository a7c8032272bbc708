//! Wakes the thread that drains.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long the drain rests before it looks again and sleeps for long. It is long beside the time that a store takes to be
/// seen by another processor: a writer that just missed the flag is seen by this look, so that writers need no fence.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// How deep the sleep is: the greater, the less is needed to end it.
const AWAKE: u32 = 0;
/// Ends when there is much to do.
const DOZING: u32 = 1;
/// Ends when there is anything to do.
const ASLEEP: u32 = 2;

/// What a thread that drains sleeps on. Writers ask it with one load.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    depth: AtomicU32,
    thread: Mutex<Option<Thread>>,
}

impl Wake {
    /// There is something to do.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.depth.load(Ordering::Relaxed) == ASLEEP {
            self.end_sleep();
        }
    }

    /// There is much to do.
    #[inline]
    pub(crate) fn wake_from_doze(&self) {
        if self.depth.load(Ordering::Relaxed) != AWAKE {
            self.end_sleep();
        }
    }

    #[cold]
    fn end_sleep(&self) {
        if self.depth.swap(AWAKE, Ordering::AcqRel) != AWAKE
            && let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }

    fn lie_down(&self, depth: u32) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        self.depth.store(depth, Ordering::SeqCst);
    }

    /// Sleeps until there is much to do, at most so long.
    pub(crate) fn doze(&self, at_most: Duration, is_idle: impl Fn() -> bool) {
        self.lie_down(DOZING);
        if is_idle() {
            std::thread::park_timeout(at_most);
        }
        self.depth.store(AWAKE, Ordering::SeqCst);
    }

    /// Sleeps until there is something to do, at most so long, and not at all when `is_empty` denies it after the flag
    /// is up.
    pub(crate) fn sleep(&self, at_most: Duration, is_empty: impl Fn() -> bool) {
        self.lie_down(ASLEEP);
        if is_empty() {
            self.rest(LAST_LOOK.min(at_most));
            if is_empty() && self.depth.load(Ordering::Acquire) == ASLEEP {
                std::thread::park_timeout(at_most.saturating_sub(LAST_LOOK));
            }
        }
        self.depth.store(AWAKE, Ordering::SeqCst);
    }

    /// Waits all that time but for who ends the sleep: what woke an earlier sleep too late does not end this one.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.depth.load(Ordering::Acquire) == ASLEEP {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_woke_an_earlier_sleep_too_late_does_not_end_the_next() {
        let wake = Wake::default();
        std::thread::current().unpark();
        let began = Instant::now();
        wake.sleep(LAST_LOOK, || true);
        assert!(began.elapsed() >= LAST_LOOK, "{:?}", began.elapsed());
    }
}
