//! When an agent sends its heartbeats.

use crate::backoff::scaled;

/// The times of heartbeats. Times are monotonic milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    interval_ms: u64,
    next_ms: u64,
}

impl Schedule {
    /// The first heartbeat comes at once where the agent starts alone; after an outage, and in a fleet that starts
    /// together, it is spread over one interval by `random`, evenly drawn.
    pub fn start(now_ms: u64, interval_ms: u64, random: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self { interval_ms, next_ms: now_ms.saturating_add(scaled(random, interval_ms)) }
    }

    /// When the next is due.
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// One was sent. The next is an interval after it was due, so that delays do not add up; one that was missed is
    /// not made up for.
    pub fn sent(&mut self, now_ms: u64) {
        let next = self.next_ms.saturating_add(self.interval_ms);
        self.next_ms = if next > now_ms { next } else { now_ms.saturating_add(self.interval_ms) };
    }

    /// The control plane wants another interval.
    pub fn set_interval(&mut self, interval_ms: u64, now_ms: u64) {
        let interval_ms = interval_ms.max(1);
        if interval_ms != self.interval_ms {
            self.interval_ms = interval_ms;
            self.next_ms = self.next_ms.min(now_ms.saturating_add(interval_ms));
        }
    }

    pub fn interval_ms(&self) -> u64 {
        self.interval_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_keep_their_beat() {
        let mut schedule = Schedule::start(1_000, 15_000, u64::MAX);
        assert_eq!(schedule.next_ms(), 16_000, "at most an interval after the start");
        assert_eq!(Schedule::start(1_000, 15_000, 0).next_ms(), 1_000);
        schedule.sent(16_400);
        assert_eq!(schedule.next_ms(), 31_000, "a delay is not passed on");
        schedule.sent(70_000);
        assert_eq!(schedule.next_ms(), 85_000, "what was missed is not made up for");
        schedule.set_interval(5_000, 70_000);
        assert_eq!((schedule.next_ms(), schedule.interval_ms()), (75_000, 5_000));
        schedule.set_interval(60_000, 70_000);
        assert_eq!(schedule.next_ms(), 75_000, "a longer interval begins after the next");
    }
}
