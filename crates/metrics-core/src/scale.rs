//! The bounds of a histogram's buckets, and in which bucket a value is.
//!
//! Most bounds ascend by factors. So the leading bits of a value, its exponent and some of its mantissa, tell on which of
//! a few steps it is, no step has more than one bound, and one comparison with that is left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// Most steps of a scale.
const STEPS: usize = 64;
/// Bits of a float below its exponent, and how many of the uppermost may tell steps apart.
const MANTISSA: u32 = 52;
const TELLING: u32 = 6;
/// Where there are no steps, few bounds are compared one and all, which the processor does at once and without a branch to
/// guess.
const SCANNED_MAX: usize = 32;

/// Where a histogram has its sum among its cells, and from where on the counts of its buckets: one for each bound and one
/// above them all, not cumulative.
pub(crate) const SUM: usize = 0;
pub(crate) const COUNTS: usize = 1;

/// One for each set of bounds in the program, forever: cells keep a plain reference.
pub struct Scale {
    bounds: &'static [f64],
    steps: Option<Steps>,
}

/// **Invariant:** among the values of a step there is at most one bound, that of the step.
struct Steps {
    /// The least bound, on the first step, and what comes after the greatest.
    ends: (f64, f64),
    /// Bits of a value that do not matter.
    shift: u32,
    /// What is left of the least bound.
    low: u64,
    /// How many bounds are below the step.
    before: [u8; STEPS],
    /// The next one, infinity where there is none.
    bounds: [f64; STEPS],
}

/// By the place of the bounds in memory, and their number.
static ALL: RwLock<BTreeMap<(usize, usize), &'static Scale>> = RwLock::new(BTreeMap::new());

impl Scale {
    /// The scale of these ascending upper bounds.
    pub(crate) fn of(bounds: &'static [f64]) -> &'static Self {
        let place = (bounds.as_ptr().addr(), bounds.len());
        let known = ALL.read().unwrap_or_else(PoisonError::into_inner).get(&place).copied();
        known.unwrap_or_else(|| {
            let mut all = ALL.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(place).or_insert_with(|| Box::leak(Box::new(Self { bounds, steps: Steps::of(bounds) })))
        })
    }

    /// Ascending, without infinity.
    #[inline]
    pub(crate) fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// How many cells a histogram has.
    pub(crate) fn cells(&self) -> usize {
        COUNTS + self.bounds.len() + 1
    }

    /// The index of the first bound that is not below the value, which is a number.
    #[inline]
    pub(crate) fn bucket(&self, value: f64) -> usize {
        match &self.steps {
            Some(steps) => steps.bucket(value),
            None => scan(self.bounds, value),
        }
    }
}

impl Steps {
    fn of(bounds: &[f64]) -> Option<Self> {
        let (least, greatest) = (*bounds.first()?, *bounds.last()?);
        let ends = (least, greatest.next_up());
        // Bits of positive floats are in the order of the floats.
        let shift = (MANTISSA - TELLING..=MANTISSA).rev().find(|shift| {
            let on: Vec<u64> = bounds.iter().map(|bound| leading(*bound, *shift)).collect();
            least > 0.0
                && on.is_sorted_by(|a, b| a < b)
                && leading(ends.1, *shift) - leading(least, *shift) < STEPS as u64
        })?;
        let (low, mut before, mut next) = (leading(least, shift), [0; STEPS], [f64::INFINITY; STEPS]);
        for (step, (before, next)) in (low..).zip(before.iter_mut().zip(&mut next)) {
            let below = bounds.partition_point(|bound| leading(*bound, shift) < step);
            *before = u8::try_from(below).ok()?;
            *next = bounds.get(below).copied().unwrap_or(f64::INFINITY);
        }
        Some(Self { ends, shift, low, before, bounds: next })
    }

    #[inline]
    fn bucket(&self, value: f64) -> usize {
        // Written so that it is one instruction for each end.
        let value = if value > self.ends.0 { value } else { self.ends.0 };
        let value = if value < self.ends.1 { value } else { self.ends.1 };
        let step = usize::try_from(leading(value, self.shift) - self.low).unwrap_or_default() % STEPS;
        usize::from(self.before[step]) + usize::from(self.bounds[step] < value)
    }
}

#[inline]
fn leading(value: f64, shift: u32) -> u64 {
    value.to_bits() >> (shift % 64)
}

#[inline]
fn scan(bounds: &[f64], value: f64) -> usize {
    if bounds.len() > SCANNED_MAX {
        bounds.partition_point(|bound| *bound < value)
    } else {
        bounds.iter().map(|bound| usize::from(*bound < value)).sum()
    }
}

impl fmt::Debug for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scale").field(&self.bounds).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::{any, proptest};
    use proptest::{prop_assert, prop_assert_eq};

    use super::*;

    /// All values around the bounds, and those at the ends of what there is.
    fn check(bounds: &'static [f64]) {
        let scale = Scale::of(bounds);
        let around =
            bounds.iter().flat_map(|bound| [bound.next_down(), *bound, bound.next_up(), bound * 1.4]);
        let ends = [0.0, -0.0, 1.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY];
        for value in around.chain(ends).flat_map(|value| [value, -value]) {
            let expected = bounds.partition_point(|bound| *bound < value);
            assert_eq!(scale.bucket(value), expected, "{value} in {bounds:?}");
            assert_eq!(scan(bounds, value), expected, "{value} in {bounds:?}");
        }
    }

    #[test]
    fn a_value_is_in_the_bucket_of_the_first_bound_that_is_not_below_it() {
        let stepped: [&'static [f64]; 4] = [
            &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0],
            &[1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            &[1.0],
        ];
        let scanned: [&'static [f64]; 6] =
            [&[], &[0.0, 1.0], &[-1.0, 1.0], &[1e-20, 1e20], &[1.0, 1.0 + f64::EPSILON], &[1.0, 1.01, 1e9]];
        stepped.into_iter().chain(scanned).for_each(check);
        assert!(stepped.iter().all(|bounds| Scale::of(bounds).steps.is_some()));
        assert!(scanned.iter().all(|bounds| Scale::of(bounds).steps.is_none()));
        let many: Vec<f64> = (0..100).map(f64::from).collect();
        check(many.leak());
    }

    #[test]
    fn the_same_bounds_have_the_same_scale() {
        static BOUNDS: [f64; 3] = [1.0, 2.0, 3.0];
        assert!(std::ptr::eq(Scale::of(&BOUNDS), Scale::of(&BOUNDS)));
        assert_eq!(Scale::of(&BOUNDS[..2]).bounds(), [1.0, 2.0]);
    }

    proptest! {
        #[test]
        fn any_bounds_and_values_agree_with_a_search(
            bounds in btree_set(1_u32..2_000, 1..20),
            unit in 0.001_f64..1_000.0,
            values in proptest::collection::vec(any::<f64>(), 20),
        ) {
            let bounds: &[f64] = bounds.into_iter().map(|bound| f64::from(bound) * unit).collect::<Vec<_>>().leak();
            prop_assert!(bounds.is_sorted_by(|a, b| a < b));
            check(bounds);
            for value in values.into_iter().filter(|value| !value.is_nan()) {
                prop_assert_eq!(Scale::of(bounds).bucket(value), bounds.partition_point(|bound| *bound < value));
            }
        }
    }
}
