//! When to dial again.

/// Waits between attempts that grow with each failure, spread over their whole length ("full jitter": Brooker,
/// "Exponential Backoff And Jitter", 2015), so that a fleet does not come back all at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    base_ms: u64,
    cap_ms: u64,
    failures: u32,
}

impl Backoff {
    /// `base_ms` bounds the first wait, `cap_ms` every wait.
    pub fn new(base_ms: u64, cap_ms: u64) -> Self {
        Self { base_ms, cap_ms, failures: 0 }
    }

    /// An attempt failed: how long to wait, in milliseconds. `random` is evenly drawn.
    pub fn failed(&mut self, random: u64) -> u64 {
        let doubled = self.base_ms.saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX));
        self.failures = self.failures.saturating_add(1).min(63);
        scaled(random, doubled.min(self.cap_ms))
    }

    /// The other end asks for a wait of its own: that long, and up to twice that.
    pub fn asked_to_wait(&self, wait_ms: u64, random: u64) -> u64 {
        let wait_ms = wait_ms.min(self.cap_ms);
        wait_ms.saturating_add(scaled(random, wait_ms))
    }

    /// What was tried has worked.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// From an evenly drawn number to one from 0 to `bound`.
pub(crate) fn scaled(random: u64, bound: u64) -> u64 {
    let scaled = (u128::from(random) * (u128::from(bound) + 1)) >> 64;
    u64::try_from(scaled).unwrap_or(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_start_over() {
        let mut backoff = Backoff::new(1_000, 60_000);
        let longest: Vec<u64> = (0..9).map(|_| backoff.failed(u64::MAX)).collect();
        assert_eq!(longest, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        (0..100).for_each(|_| assert_eq!(backoff.failed(0), 0));
        assert_eq!(backoff.failed(u64::MAX), 60_000);
        backoff.succeeded();
        assert_eq!(backoff.failed(u64::MAX / 2), 500);
        assert_eq!(backoff.asked_to_wait(2_000, 0), 2_000);
        assert_eq!(backoff.asked_to_wait(2_000, u64::MAX), 4_000);
    }
}
