//! Metrics that are written to millions of times a second, from many threads.
//!
//! Each thread adds to cells of its own, eight bytes a cell and thread; readers add them up. What a thread counted stays
//! when it ends.

use crate::cell::cumulative;
use crate::owned::{Block, Key};
use crate::scale::{COUNTS, SUM, Scale};
use crate::sync::{AtomicU64, Ordering, add};

/// A count that grows, for places where even a shared atomic is too slow: with several threads on one counter it costs
/// as much as with one.
#[derive(Debug, Clone)]
pub struct HotCounter(Key);

impl Default for HotCounter {
    fn default() -> Self {
        Self(Block::key(&Block::new(1)))
    }
}

impl HotCounter {
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    #[inline]
    pub fn inc_by(&self, by: u64) {
        self.inc_other(0, by);
    }

    /// So many counters whose cells follow each other.
    pub(crate) fn row(len: usize) -> Vec<Self> {
        let block = Block::new(len);
        (0..len).map(|first| Self(Block::part(&block, first))).collect()
    }

    /// Adds to the counter so many places further in its row.
    #[inline]
    pub(crate) fn inc_other(&self, further: usize, by: u64) {
        let shared = move |cells: &[AtomicU64]| {
            cells[further].fetch_add(by, Ordering::Relaxed);
        };
        self.0.with(move |own| own.add(further, by), shared);
    }

    /// See [`Key::own_cell`].
    pub(crate) fn own_cell(&self) -> Option<&'static AtomicU64> {
        self.0.own_cell()
    }

    /// Adds up what every thread counted.
    pub fn get(&self) -> u64 {
        self.0.each(0).fold(0, u64::wrapping_add)
    }
}

/// Observations counted in buckets, with their sum, for places where many threads observe at once.
#[derive(Debug, Clone)]
pub struct HotHistogram {
    scale: &'static Scale,
    /// As [`SUM`] and [`COUNTS`] say.
    cells: Key,
}

impl HotHistogram {
    /// A histogram with these ascending upper bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        let scale = Scale::of(bounds);
        Self { scale, cells: Block::key(&Block::new(scale.cells())) }
    }

    /// Counts an observation as [`Histogram::observe`](crate::Histogram::observe) does.
    #[inline]
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let count = COUNTS + self.scale.bucket(value);
        let shared = move |cells: &[AtomicU64]| {
            cells[count].fetch_add(1, Ordering::Relaxed);
            add(&cells[SUM], value);
        };
        self.cells.with(
            move |own| {
                // The sum waits for the one before; the count, whose cell is known last, makes it wait for nothing else.
                own.add_float(SUM, value);
                own.add(count, 1);
            },
            shared,
        );
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        (0..=self.bounds().len()).map(|bucket| self.in_bucket(bucket)).sum()
    }

    pub fn sum(&self) -> f64 {
        self.cells.each(SUM).map(f64::from_bits).sum()
    }

    /// Each bound with the observations up to it, infinity last; and so their number.
    pub fn cumulative(&self) -> Vec<(f64, u64)> {
        cumulative(self.bounds(), |bucket| self.in_bucket(bucket))
    }

    pub(crate) fn scale(&self) -> &'static Scale {
        self.scale
    }

    #[inline]
    pub(crate) fn bounds(&self) -> &'static [f64] {
        self.scale.bounds()
    }

    pub(crate) fn in_bucket(&self, bucket: usize) -> u64 {
        self.cells.each(COUNTS + bucket).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[f64] = &[0.5, 1.5];

    #[test]
    fn what_threads_counted_outlives_them_and_is_counted_once() {
        let (counter, histogram) = (HotCounter::default(), HotHistogram::new(BOUNDS));
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for i in 0..10_000_u32 {
                            counter.inc();
                            histogram.observe(f64::from(i % 3));
                        }
                    });
                }
            });
        }
        assert_eq!((counter.get(), histogram.count()), (240_000, 240_000));
        assert_eq!(histogram.sum(), f64::from(24 * (3_333 + 2 * 3_333)));
        let counts: Vec<u64> = histogram.cumulative().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [24 * 3_334, 24 * 6_667, 240_000]);
    }

    #[test]
    fn a_cell_that_is_used_again_starts_at_zero() {
        for _ in 0..2_000 {
            let counter = HotCounter::default();
            assert_eq!(counter.get(), 0);
            std::thread::scope(|scope| {
                scope.spawn(|| counter.inc_by(3));
            });
            counter.inc();
            assert_eq!(counter.get(), 4);
        }
    }

    #[test]
    fn a_reader_never_sees_a_sum_fall() {
        let counter = HotCounter::default();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            std::thread::scope(|inner| {
                                inner.spawn(|| (0..200).for_each(|_| counter.inc()));
                            });
                        }
                    })
                })
                .collect();
            let mut last = 0;
            while !writers.iter().all(|writer| writer.is_finished()) {
                let now = counter.get();
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
        assert_eq!(counter.get(), 40_000);
    }

    #[test]
    fn a_destructor_of_a_thread_counts_too() {
        struct AtTheEnd(HotCounter);
        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                self.0.inc();
            }
        }
        thread_local! {
            static KEPT: std::cell::RefCell<Option<AtTheEnd>> = const { std::cell::RefCell::new(None) };
        }
        let counter = HotCounter::default();
        for before in [true, false] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // Destructors run in the order of first use or against it: both ways around are tried.
                    if before {
                        counter.inc();
                    }
                    KEPT.set(Some(AtTheEnd(counter.clone())));
                    if !before {
                        counter.inc();
                    }
                });
            });
        }
        // A scope waits for the closure, and a destructor may come after it.
        let began = std::time::Instant::now();
        while counter.get() < 4 && began.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert_eq!(counter.get(), 4);
    }

    #[test]
    fn more_than_a_slab_holds_is_counted_in_shared_cells() {
        static MANY: [f64; 600] = {
            let mut bounds = [0.0; 600];
            let mut at = 0;
            while at < 600 {
                bounds[at] = at as f64;
                at += 1;
            }
            bounds
        };
        let histogram = HotHistogram::new(&MANY);
        histogram.observe(3.0);
        histogram.observe(7.5);
        histogram.observe(f64::NAN);
        assert_eq!((histogram.count(), histogram.sum()), (2, 10.5));
        assert_eq!((histogram.cumulative()[2].1, histogram.cumulative()[3].1), (0, 1));
    }
}
