//! Quantiles over a window that slides with time.
//!
//! A summary counts all its values in a [`Sketch`] that only grows, and keeps a copy of the counts from the beginning of
//! each age of its window. What is in the window is the difference between the counts now and those at the beginning of
//! the oldest age: no value is ever taken out, and none is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::cell::add;
use crate::desc::{Desc, MetricKind};
use crate::family::{Cell, kept_whole};
use crate::lines::Lines;
use crate::sketch::{CHUNKS, Counts, Sketch, quantile};

/// Values of which quantiles are told over a sliding window; with their number and sum since the start. Cheap to clone.
///
/// A quantile is that of the values of the last whole ages and of the one that has begun: with ten minutes in five ages, of
/// the last eight to ten minutes. It is by nearest rank, and within 1/64 (1.6 %) of the value of that rank; values below
/// 2⁻³⁰ (about 10⁻⁹) read as zero and those from 2⁶⁴ (about 1.8 · 10¹⁹) on as infinite. While the window is empty it
/// is not a number.
///
/// Quantiles of several programs cannot be added up or averaged. Where that is asked for, take a
/// [`Histogram`](crate::Histogram).
///
/// To observe is two additions to atomics that threads share, and a look at the clock. The first to observe in an age
/// also copies the counts, under a lock that it does not wait for: a value at the very moment when an age ends counts
/// for that or for the next. A series takes at most 1.5 KiB and, for each octave (from a value to its double) that it has
/// seen, 256 bytes, times the ages of the window and one: about 20 KiB where values span a thousandfold.
#[derive(Debug, Clone)]
pub struct Summary(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    quantiles: &'static [f64],
    sketch: Sketch,
    sum: AtomicU64,
    began: Instant,
    age_ns: u64,
    /// When the current age ends, in nanoseconds since the beginning.
    age_ends_ns: AtomicU64,
    ages: Mutex<Ages>,
}

#[derive(Debug)]
struct Ages {
    /// Which one goes on, from 0.
    current: u64,
    /// The counts at the beginning of each age in the window, by its number modulo theirs.
    begins: Box<[Counts]>,
}

impl Ages {
    /// The counts at the beginning of the oldest age: the place that the next one takes.
    fn oldest(&mut self) -> &mut Counts {
        let at = self.place(self.current + 1);
        &mut self.begins[at]
    }

    fn place(&self, age: u64) -> usize {
        let count = self.begins.len() as u64;
        usize::try_from(age % count).unwrap_or_default()
    }
}

impl Summary {
    /// A summary with these quantiles (0 to 1), over a window that consists of so many ages and begins to slide at
    /// `began`. An age lasts a nanosecond or more, and there is at least one.
    pub fn new(quantiles: &'static [f64], window: Duration, ages: u32, began: Instant) -> Self {
        let ages = ages.max(1);
        let age_ns = nanoseconds(window / ages).max(1);
        let begins = (0..ages).map(|_| [const { None }; CHUNKS]).collect();
        Self(Arc::new(Inner {
            quantiles,
            sketch: Sketch::default(),
            sum: AtomicU64::new(0),
            began,
            age_ns,
            age_ends_ns: AtomicU64::new(age_ns),
            ages: Mutex::new(Ages { current: 0, begins }),
        }))
    }

    /// Counts a value that is now. One that is negative or not a number is ignored; an infinite one makes the sum
    /// infinite.
    pub fn observe(&self, value: f64) {
        self.observe_at(value, Instant::now());
    }

    /// Counts a value whose time the caller has at hand, and spares the look at the clock. A time before the current
    /// age counts for that.
    #[inline]
    pub fn observe_at(&self, value: f64, now: Instant) {
        // Not a number is not at least anything.
        if value >= 0.0 {
            let now_ns = self.0.since_began(now);
            if now_ns >= self.0.age_ends_ns.load(Ordering::Relaxed) {
                self.0.try_turn(now_ns);
            }
            self.0.sketch.add(value);
            add(&self.0.sum, value);
        }
    }

    /// Values since the start.
    pub fn count(&self) -> u64 {
        self.0.sketch.count()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Ordering::Relaxed))
    }

    /// Each quantile with its value in the window that ends now.
    pub fn quantiles(&self) -> Vec<(f64, f64)> {
        self.quantiles_at(Instant::now())
    }

    /// Each quantile with its value in the window that ends at this time, which is not before that of a call before.
    pub fn quantiles_at(&self, now: Instant) -> Vec<(f64, f64)> {
        let buckets = self.0.in_window(self.0.since_began(now));
        self.0.quantiles.iter().map(|share| (*share, quantile(&buckets, *share))).collect()
    }
}

impl Inner {
    fn since_began(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.began))
    }

    /// Begins the age of this time, unless somebody is about it.
    #[cold]
    fn try_turn(&self, now_ns: u64) {
        match self.ages.try_lock() {
            Ok(mut ages) => self.turn(&mut ages, now_ns),
            Err(TryLockError::Poisoned(poisoned)) => self.turn(&mut poisoned.into_inner(), now_ns),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// What was counted since the last look at it belongs to the age that was then: nobody observed in between, or they
    /// would have looked.
    fn turn(&self, ages: &mut Ages, now_ns: u64) {
        let age = now_ns / self.age_ns;
        if age <= ages.current {
            return;
        }
        let passed = (age - ages.current).min(ages.begins.len() as u64);
        ages.current = age - passed;
        for _ in 0..passed {
            self.sketch.copy_to(ages.oldest());
            ages.current += 1;
        }
        self.age_ends_ns.store((age + 1).saturating_mul(self.age_ns), Ordering::Relaxed);
    }

    fn in_window(&self, now_ns: u64) -> Vec<(f64, u64)> {
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        self.turn(&mut ages, now_ns);
        self.sketch.since(ages.oldest())
    }
}

/// Up to five centuries.
fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

impl Cell for Summary {
    const KIND: MetricKind = MetricKind::Summary;
    kept_whole!();

    fn fault(desc: &Desc) -> Option<&'static str> {
        desc.quantiles.is_empty().then_some("a summary that is written to says of which quantiles")
    }

    fn make(desc: &Desc) -> Self {
        Self::new(desc.quantiles, desc.window, desc.ages, Instant::now())
    }

    fn write(&self, lines: &mut dyn Lines) {
        let quantiles = self.quantiles();
        lines.quantiles(&quantiles, self.sum(), self.count());
    }
}
