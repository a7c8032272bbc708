//! Chance that is the same for the same seed.

use std::time::Duration;

/// Numbers that look random (Marsaglia's xorshift).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0 to `bound`, excluded.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let drawn = self.below(u64::try_from(choices.len()).unwrap_or(u64::MAX));
        choices[usize::try_from(drawn).unwrap_or_default()]
    }

    /// A time shorter than this.
    pub fn shorter_than(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }
}
