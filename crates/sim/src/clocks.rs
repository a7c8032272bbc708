//! The clocks of one machine, from the world's one time.

use nkudo_tracker::Now;

/// Unix time when the world begins, in milliseconds.
const BEGINS_AT_MS: i64 = 1_700_000_000_000;

/// How a machine tells the time. The world's time is in microseconds from its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Clocks {
    /// When the machine booted.
    booted_us: u64,
    /// When the program started.
    started_us: u64,
    /// How long the machine has slept since.
    slept_us: u64,
    /// How far its wall clock is from the world's.
    wall_ms: i64,
}

impl Clocks {
    pub(crate) fn new(wall_ms: i64) -> Self {
        Self { booted_us: 0, started_us: 0, slept_us: 0, wall_ms }
    }

    pub(crate) fn booted(&mut self, at_us: u64) {
        self.booted_us = at_us;
        self.started(at_us);
    }

    pub(crate) fn started(&mut self, at_us: u64) {
        (self.started_us, self.slept_us) = (at_us, 0);
    }

    pub(crate) fn slept(&mut self, for_us: u64) {
        self.slept_us += for_us;
    }

    pub(crate) fn set(&mut self, by_ms: i64) {
        self.wall_ms += by_ms;
    }

    pub(crate) fn now(&self, at_us: u64) -> Now {
        Now {
            monotonic_ms: at_us.saturating_sub(self.started_us).saturating_sub(self.slept_us) / 1_000,
            // A host is never asked for anything in its first second.
            boottime_ms: at_us.saturating_sub(self.booted_us) / 1_000 + 1_000,
            wall_ms: BEGINS_AT_MS + self.wall_ms + i64::try_from(at_us / 1_000).unwrap_or(i64::MAX),
        }
    }
}
