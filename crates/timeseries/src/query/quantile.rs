//! Quantiles of histograms, from the increases of their buckets.

use std::collections::BTreeMap;

use super::{Answered, Buckets, Point};
use crate::series::SeriesKey;

/// Labels without `le`.
type Labels = Vec<(String, String)>;
/// The upper bound of each bucket, with how many observations are at or below it.
type Cumulative = Vec<(f64, f64)>;

/// The bucket series of histograms, put together.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    found: BTreeMap<Labels, BTreeMap<i64, Cumulative>>,
}

impl Histograms {
    /// Adds what a bucket series went up by. One whose `le` is no number is passed over.
    pub(crate) fn add(&mut self, key: &SeriesKey, increases: &Buckets) {
        let Ok(bound) = key.label("le").parse::<f64>() else { return };
        let labels = key.labels.iter().filter(|(name, _)| name != "le").cloned().collect();
        let steps = self.found.entry(labels).or_default();
        for (at_ms, one) in increases.steps().filter(|(_, one)| one.covered_ms > 0) {
            steps.entry(at_ms).or_default().push((bound, one.increase));
        }
    }

    pub(crate) fn points(&self) -> usize {
        self.found.values().map(BTreeMap::len).sum()
    }

    /// The quantile of each histogram and step in which something was observed.
    pub(crate) fn answer(self, name: &str, q: f64) -> impl Iterator<Item = Answered> {
        self.found.into_iter().map(move |(labels, steps)| {
            let point = |(at_ms, buckets)| Some(Point { at_ms, value: quantile(q, buckets)? });
            Answered { name: name.to_owned(), labels, points: steps.into_iter().filter_map(point).collect() }
        })
    }
}

/// As Prometheus' `histogram_quantile` (promql/quantile.go): linear within a bucket, the lowest one from zero, and the
/// upper bound of the last but one for what is above all bounds.
fn quantile(q: f64, mut buckets: Cumulative) -> Option<f64> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (last_bound, _) = *buckets.last()?;
    if last_bound != f64::INFINITY || buckets.len() < 2 {
        return None;
    }
    // Series that were read one after the other may differ by a scrape.
    let mut most = 0.0_f64;
    for (_, count) in &mut buckets {
        most = most.max(*count);
        *count = most;
    }
    if most <= 0.0 {
        return None;
    }
    let rank = q * most;
    let nth = buckets.iter().position(|(_, count)| *count >= rank).unwrap_or(buckets.len() - 1);
    if nth == buckets.len() - 1 {
        return Some(buckets[nth - 1].0);
    }
    let (end, count) = buckets[nth];
    if nth == 0 {
        return Some(if end <= 0.0 { end } else { end * (rank / count) });
    }
    let (start, below) = buckets[nth - 1];
    Some(start + (end - start) * ((rank - below) / (count - below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_within_a_bucket() {
        let buckets = vec![(0.1, 10.0), (0.5, 30.0), (1.0, 40.0), (f64::INFINITY, 40.0)];
        let cases =
            [(0.0, 0.0), (0.125, 0.05), (0.25, 0.1), (0.5, 0.3), (0.75, 0.5), (0.875, 0.75), (1.0, 1.0)];
        for (q, expected) in cases {
            let found = quantile(q, buckets.clone()).expect("something was observed");
            assert!((found - expected).abs() < 1e-12, "{q}: {found}");
        }
    }

    #[test]
    fn what_is_above_all_bounds_is_the_highest_of_them() {
        assert_eq!(quantile(0.99, vec![(f64::INFINITY, 9.0), (0.1, 1.0)]), Some(0.1));
        assert_eq!(quantile(0.5, vec![(0.1, 0.0), (f64::INFINITY, 0.0)]), None);
        assert_eq!(quantile(0.5, vec![(0.1, 1.0), (0.2, 2.0)]), None, "without +Inf the total is not known");
        assert_eq!(quantile(0.5, vec![]), None);
    }
}
