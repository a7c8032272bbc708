//! Values counted in buckets that are as wide as their values are large: 32 to an octave, so that the middle of its
//! bucket is within 1/64 (1.6 %) of a value.
//!
//! The place of a value is the upper bits of its floating point number, the exponent and five of the fraction, as in
//! HdrHistogram (log-linear buckets); counting in buckets of a relative width is DDSketch (Masson, Rim and Lee, 2019).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of an octave, which come into being when its first value is counted.
const ROOM: usize = 32;
/// Bits of a floating point number below those that tell a bucket.
const BELOW: u32 = 52 - ROOM.ilog2();
/// What is smaller is counted as zero: 2⁻³⁰, about a billionth.
pub(crate) const LEAST: f64 = 1.0 / (1_u64 << 30) as f64;
/// Octaves from there on; a value past them, from 2⁶⁴ on, is counted as infinite.
const OCTAVES: usize = 94;
/// The octaves with the last bucket of one below and the first of one above.
pub(crate) const CHUNKS: usize = OCTAVES + 2;
/// The bucket of zero, and that of infinity.
const ZERO: usize = ROOM - 1;
const INFINITE: usize = (CHUNKS - 1) * ROOM;

/// What is in the buckets of each octave that has values.
pub(crate) type Counts = [Option<Box<[u64; ROOM]>>; CHUNKS];

/// Counts that only grow. Many threads write to it at once.
#[derive(Debug)]
pub(crate) struct Sketch([OnceLock<Box<[AtomicU64; ROOM]>>; CHUNKS]);

impl Default for Sketch {
    fn default() -> Self {
        Self([const { OnceLock::new() }; CHUNKS])
    }
}

impl Sketch {
    /// Counts a value that is not negative.
    #[inline]
    pub(crate) fn add(&self, value: f64) {
        let bucket = bucket(value);
        let room = || Box::new([const { AtomicU64::new(0) }; ROOM]);
        self.0[bucket / ROOM].get_or_init(room)[bucket % ROOM].fetch_add(1, Ordering::Relaxed);
    }

    /// Values so far.
    pub(crate) fn count(&self) -> u64 {
        let rooms = self.0.iter().filter_map(OnceLock::get);
        rooms.flat_map(|room| room.iter()).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Copies what was counted so far.
    pub(crate) fn copy_to(&self, counts: &mut Counts) {
        for (room, copy) in self.0.iter().zip(counts) {
            if let Some(room) = room.get() {
                let copy = copy.get_or_insert_with(|| Box::new([0; ROOM]));
                room.iter()
                    .zip(copy.iter_mut())
                    .for_each(|(count, copy)| *copy = count.load(Ordering::Relaxed));
            }
        }
    }

    /// Buckets with their values since the counts were those, the smallest values first.
    pub(crate) fn since(&self, counts: &Counts) -> Vec<(f64, u64)> {
        let mut since = Vec::new();
        for (chunk, (room, before)) in self.0.iter().zip(counts).enumerate() {
            for (at, count) in room.get().iter().flat_map(|room| room.iter()).enumerate() {
                let before = before.as_ref().map_or(0, |before| before[at]);
                let count = count.load(Ordering::Relaxed) - before;
                if count > 0 {
                    since.push((middle(chunk * ROOM + at), count));
                }
            }
        }
        since
    }
}

/// The upper bits of the least value.
const FIRST: usize = (LEAST.to_bits() >> BELOW) as usize;

/// The bucket of a value that is not negative.
#[inline]
fn bucket(value: f64) -> usize {
    if value < LEAST {
        return ZERO;
    }
    let further = (value.to_bits() >> BELOW) as usize - FIRST;
    (ZERO + 1 + further).min(INFINITE)
}

/// What the values of a bucket are taken for.
fn middle(bucket: usize) -> f64 {
    match bucket {
        ..=ZERO => 0.0,
        INFINITE.. => f64::INFINITY,
        _ => {
            let low = (bucket - ZERO - 1 + FIRST) as u64;
            // Its lower end with half of what a bucket is wide.
            f64::from_bits((low << BELOW) | (1 << (BELOW - 1)))
        }
    }
}

/// The value below or at which this share (0 to 1) of all values lies, by nearest rank; not a number where there is
/// none. The buckets ascend.
pub(crate) fn quantile(buckets: &[(f64, u64)], share: f64) -> f64 {
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = share * all as f64;
    let mut up_to = 0;
    for (value, count) in buckets {
        up_to += count;
        if up_to as f64 >= rank {
            return *value;
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_know_their_values() {
        assert_eq!([0.0, -0.0, 1e-10, f64::MIN_POSITIVE].map(bucket), [ZERO; 4]);
        assert_eq!((bucket(LEAST), bucket(LEAST.next_down())), (ZERO + 1, ZERO));
        let end = 2_f64.powi(64);
        assert_eq!(
            [end.next_down(), end, f64::MAX, f64::INFINITY].map(bucket),
            [INFINITE - 1, INFINITE, INFINITE, INFINITE]
        );
        let mut value = LEAST;
        while value < end {
            let (at, taken) = (bucket(value), middle(bucket(value)));
            assert_eq!(bucket(taken), at);
            assert!((taken - value).abs() <= value / 64.0, "{value} is taken for {taken}");
            value *= 1.000_7;
        }
        for at in ZERO + 1..INFINITE {
            assert_eq!(bucket(middle(at)), at);
        }
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let buckets = [(1.0, 2), (5.0, 1), (9.0, 1)];
        let check = |share: f64, value: f64| assert_eq!(quantile(&buckets, share), value, "{share}");
        check(0.0, 1.0);
        check(0.5, 1.0);
        check(0.501, 5.0);
        check(0.75, 5.0);
        check(1.0, 9.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
