//! From samples and aggregates to points.

use super::{Function, Point};
use crate::aggregate::{Aggregate, Spans, add};

/// The samples of one series from one time of the clock, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Era {
    pub(crate) samples: Vec<(i64, f64)>,
    /// The first and last time of all series in it.
    pub(crate) hull: (i64, i64),
}

/// All samples by time, given what came first of what the clock did. Where time passed more than once, only what was
/// recorded last is there.
pub(crate) fn in_order(eras: Vec<Era>) -> Vec<(i64, f64)> {
    let mut kept: Vec<(i64, f64)> = Vec::new();
    let mut later: Vec<(i64, i64)> = Vec::new();
    let several = eras.len() > 1;
    for era in eras.into_iter().rev() {
        let hidden = |at_ms: i64| later.iter().any(|(first, last)| (*first..=*last).contains(&at_ms));
        if several {
            kept.extend(era.samples.iter().filter(|(at_ms, _)| !hidden(*at_ms)));
        } else {
            kept = era.samples;
        }
        later.push(era.hull);
    }
    if several {
        kept.sort_by_key(|(at_ms, _)| *at_ms);
    }
    kept
}

/// Aggregates by step.
#[derive(Debug)]
pub(crate) struct Buckets {
    from_ms: i64,
    step_ms: i64,
    spans: Spans,
}

impl Buckets {
    pub(crate) fn new(from_ms: i64, step_ms: i64) -> Self {
        Self { from_ms, step_ms, spans: Spans::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Adds to the step that a time is in.
    pub(crate) fn add(&mut self, at_ms: i64, one: &Aggregate) {
        add(&mut self.spans, at_ms.saturating_sub(self.from_ms).div_euclid(self.step_ms), one);
    }

    /// The aggregates, with the times at which their steps begin.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (i64, &Aggregate)> {
        self.spans
            .iter()
            .map(|(nth, one)| (self.from_ms.saturating_add(nth.saturating_mul(self.step_ms)), one))
    }

    /// The points of a function; none where it has no value.
    pub(crate) fn points(&self, function: Function) -> Vec<Point> {
        let point = |(at_ms, one)| Some(Point { at_ms, value: value(function, one)? });
        self.steps().filter_map(point).collect()
    }
}

fn value(function: Function, one: &Aggregate) -> Option<f64> {
    let seen = one.covered_ms > 0;
    match function {
        // Of raw samples there are no aggregates, and quantiles are made of several series.
        Function::Raw | Function::Quantile(_) => None,
        Function::Last => Some(one.last),
        Function::Avg => Some(one.sum / one.count as f64),
        Function::Min => Some(one.min),
        Function::Max => Some(one.max),
        Function::Sum => Some(one.sum),
        Function::Count => Some(one.count as f64),
        Function::Increase => seen.then_some(one.increase),
        Function::Rate => seen.then(|| one.increase / (one.covered_ms as f64 / 1_000.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Steps;

    fn check(counter: bool, samples: &[(i64, f64)], function: Function, expected: &[(i64, f64)]) {
        let mut buckets = Buckets::new(0, 60_000);
        let mut steps = Steps::new(counter, 300_000, None);
        for (at_ms, value) in samples {
            buckets.add(*at_ms, &steps.step(*at_ms, *value));
        }
        let points = buckets.points(function);
        let found: Vec<_> = points.iter().map(|point| (point.at_ms, point.value)).collect();
        assert_eq!(found, expected, "{function:?} of {samples:?}");
    }

    #[test]
    fn functions_of_each_step() {
        let samples = [(0, 1.0), (30_000, 4.0), (60_000, -2.0), (90_000, f64::NAN)];
        check(false, &samples, Function::Last, &[(0, 4.0), (60_000, -2.0)]);
        check(false, &samples, Function::Avg, &[(0, 2.5), (60_000, -2.0)]);
        check(false, &samples, Function::Min, &[(0, 1.0), (60_000, -2.0)]);
        check(false, &samples, Function::Max, &[(0, 4.0), (60_000, -2.0)]);
        check(false, &samples, Function::Count, &[(0, 2.0), (60_000, 1.0)]);
        check(false, &samples, Function::Increase, &[]);
    }

    #[test]
    fn increases_add_up_over_resets_and_not_over_gaps() {
        let samples = [(0, 10.0), (30_000, 40.0), (60_000, 70.0), (90_000, 5.0)];
        check(true, &samples, Function::Increase, &[(0, 30.0), (60_000, 35.0)]);
        check(true, &samples, Function::Rate, &[(0, 1.0), (60_000, 35.0 / 60.0)]);
        check(true, &[(0, 10.0), (300_001, 90.0)], Function::Increase, &[]);
        check(true, &[(0, 10.0), (300_000, 90.0)], Function::Rate, &[(300_000, 80.0 / 300.0)]);
        // A NaN says that what follows is not the same counter.
        check(true, &[(0, 10.0), (1, f64::NAN), (2, 90.0)], Function::Increase, &[]);
    }

    #[test]
    fn where_time_passed_twice_the_later_counts() {
        let era = |samples: &[(i64, f64)], hull| Era { samples: samples.to_vec(), hull };
        let first = era(&[(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)], (10, 40));
        let second = era(&[(16, 2.0), (26, 2.0)], (15, 35));
        assert_eq!(in_order(vec![first, second]), [(10, 1.0), (16, 2.0), (26, 2.0), (40, 1.0)]);
    }
}
