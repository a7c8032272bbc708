//! The cells that are written to: shared atomics behind cheap handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::scale::{COUNTS, SUM, Scale};

/// A count that grows. Past 2⁶⁴ it starts over, which readers of counters know how to read.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn inc(&self) {
        self.inc_by(1);
    }

    pub fn inc_by(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes over a total that is counted elsewhere. When that starts over, so does this, which readers of counters
    /// know how to read.
    pub fn follow(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }
}

/// A sum of fractions that grows: seconds, for example.
#[derive(Debug, Clone, Default)]
pub struct FloatCounter(Arc<AtomicU64>);

impl FloatCounter {
    /// Adds `by`; what is negative or not a number is ignored, and what is infinite makes it infinite for good.
    pub fn inc_by(&self, by: f64) {
        if by > 0.0 {
            add(&self.0, by);
        }
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Takes over a total that is summed elsewhere, as [`Counter::follow`] does. What is negative or not a number
    /// is ignored.
    pub fn follow(&self, total: f64) {
        if total >= 0.0 {
            self.0.store(total.to_bits(), Ordering::Relaxed);
        }
    }
}

/// A value that goes up and down, infinite or not a number included: what is added to such a one changes nothing, what is
/// set does.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn add(&self, by: f64) {
        add(&self.0, by);
    }

    pub fn inc(&self) {
        self.add(1.0);
    }

    pub fn dec(&self) {
        self.add(-1.0);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Observations counted in buckets, with their sum.
#[derive(Debug, Clone)]
pub struct Histogram {
    scale: &'static Scale,
    /// As [`SUM`] and [`COUNTS`] say.
    cells: Arc<[AtomicU64]>,
}

impl Histogram {
    /// A histogram with these ascending upper bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        let scale = Scale::of(bounds);
        Self { scale, cells: (0..scale.cells()).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts an observation; one that is not a number is ignored. An infinite one is in the first or the last bucket and
    /// makes the sum infinite for good, and not a number when both infinities were observed.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.cells[COUNTS + self.scale.bucket(value)].fetch_add(1, Ordering::Relaxed);
        add(&self.cells[SUM], value);
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.cells[COUNTS..].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub fn sum(&self) -> f64 {
        f64::from_bits(self.cells[SUM].load(Ordering::Relaxed))
    }

    /// Each bound with the observations up to it, infinity last; and so their number.
    pub fn cumulative(&self) -> Vec<(f64, u64)> {
        cumulative(self.bounds(), |bucket| self.in_bucket(bucket))
    }

    pub(crate) fn of(scale: &'static Scale, cells: Arc<[AtomicU64]>) -> Self {
        Self { scale, cells }
    }

    pub(crate) fn cells(&self) -> &Arc<[AtomicU64]> {
        &self.cells
    }

    pub(crate) fn scale(&self) -> &'static Scale {
        self.scale
    }

    pub(crate) fn bounds(&self) -> &'static [f64] {
        self.scale.bounds()
    }

    pub(crate) fn in_bucket(&self, bucket: usize) -> u64 {
        self.cells[COUNTS + bucket].load(Ordering::Relaxed)
    }
}

/// Each bound with what is in the buckets up to it, infinity last.
pub(crate) fn cumulative(bounds: &[f64], in_bucket: impl Fn(usize) -> u64) -> Vec<(f64, u64)> {
    let mut total = 0;
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    bounds
        .enumerate()
        .map(|(bucket, bound)| {
            total += in_bucket(bucket);
            (bound, total)
        })
        .collect()
}

pub(crate) fn add(cell: &AtomicU64, by: f64) {
    cell.update(Ordering::Relaxed, Ordering::Relaxed, |bits| (f64::from_bits(bits) + by).to_bits());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_under_eight_threads_are_whole() {
        let (counter, gauge, histogram) = (Counter::default(), Gauge::default(), Histogram::new(&[0.5, 1.5]));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for i in 0..10_000_u32 {
                        counter.inc();
                        gauge.add(1.0);
                        histogram.observe(f64::from(i % 3));
                    }
                });
            }
        });
        assert_eq!((counter.get(), gauge.get(), histogram.count()), (80_000, 80_000.0, 80_000));
        assert_eq!(histogram.sum(), f64::from(8 * (3_333 + 2 * 3_333)));
        let counts: Vec<u64> = histogram.cumulative().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [8 * 3_334, 8 * 6_667, 80_000]);
    }

    #[test]
    fn totals_are_followed_and_nonsense_is_ignored() {
        let counter = Counter::default();
        counter.inc();
        counter.follow(7);
        counter.follow(3);
        assert_eq!(counter.get(), 3, "what is counted elsewhere started over");
        let float = FloatCounter::default();
        float.follow(2.5);
        float.inc_by(0.25);
        float.inc_by(-1.0);
        float.inc_by(f64::NAN);
        float.follow(f64::NAN);
        float.follow(-1.0);
        assert_eq!(float.get(), 2.75);
        let histogram = Histogram::new(&[1.0]);
        histogram.observe(f64::NAN);
        histogram.observe(f64::INFINITY);
        histogram.observe(1.0);
        assert_eq!(histogram.cumulative(), [(1.0, 1), (f64::INFINITY, 2)]);
    }
}
