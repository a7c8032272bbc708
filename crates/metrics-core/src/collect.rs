//! Values that are read when a scrape asks for them.

use crate::desc::{Desc, MetricKind};
use crate::labels::bounded;
use crate::lines::Lines;

/// Reads values at a scrape. It is quick, waits for nothing and registers nothing.
pub trait Collector: Send + Sync + 'static {
    /// Writes the samples of the families that it was registered with.
    fn collect(&self, sink: &mut SampleSink<'_>);
}

/// A series that a collector has read.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) values: Vec<String>,
    pub(crate) point: Point,
}

/// Where a series stands.
#[derive(Debug)]
pub(crate) enum Point {
    Float(f64),
    Quantiles { quantiles: Vec<(f64, f64)>, sum: f64, count: u64 },
}

impl Point {
    pub(crate) fn write(&self, lines: &mut dyn Lines) {
        match self {
            Self::Float(value) => lines.float(*value, &[]),
            Self::Quantiles { quantiles, sum, count } => lines.quantiles(quantiles, *sum, *count),
        }
    }
}

/// Takes the samples of a collector. What does not fit the description of its family is a mistake of the program:
/// tests see it as a panic, a running service leaves the sample out.
#[derive(Debug)]
pub struct SampleSink<'d> {
    descs: &'d [Desc],
    taken: Vec<Vec<Series>>,
    /// Samples past the bound of each family.
    refused: Vec<u64>,
}

impl<'d> SampleSink<'d> {
    pub(crate) fn new(descs: &'d [Desc]) -> Self {
        Self { descs, taken: descs.iter().map(|_| Vec::new()).collect(), refused: vec![0; descs.len()] }
    }

    /// A sample of the counter or gauge at this position among the families registered. Label values come in the
    /// order of its label names. A counter's that is negative or not a number is left out: it counts nothing.
    pub fn sample(&mut self, family: usize, labels: &[&str], value: f64) {
        let is_counter = self.descs.get(family).is_some_and(|desc| desc.kind == MetricKind::Counter);
        if is_counter && !matches!(value, 0.0..) {
            return;
        }
        self.push(family, &[MetricKind::Counter, MetricKind::Gauge], labels, Point::Float(value));
    }

    /// A sample of the summary at this position: quantiles (0 to 1) with their values, the sum of all observations
    /// and their number.
    pub fn summary(
        &mut self,
        family: usize,
        labels: &[&str],
        quantiles: &[(f64, f64)],
        sum: f64,
        count: u64,
    ) {
        let point = Point::Quantiles { quantiles: quantiles.to_vec(), sum, count };
        self.push(family, &[MetricKind::Summary], labels, point);
    }

    fn push(&mut self, family: usize, kinds: &[MetricKind], labels: &[&str], point: Point) {
        let fits =
            self.descs.get(family).filter(|d| d.labels.len() == labels.len() && kinds.contains(&d.kind));
        debug_assert!(fits.is_some(), "a sample of family {family} does not fit its description");
        let Some(desc) = fits else { return };
        let series = &mut self.taken[family];
        if series.len() >= desc.series_max {
            self.refused[family] += 1;
            return;
        }
        let values = labels.iter().map(|value| bounded((*value).to_owned())).collect();
        series.push(Series { values, point });
    }

    /// The series of each family, and how many samples of each were refused.
    pub(crate) fn into_parts(mut self) -> (Vec<Vec<Series>>, Vec<u64>) {
        for series in &mut self.taken {
            series.sort_by(|a, b| a.values.cmp(&b.values));
            // Values that were alike up to where they were cut: a scraper refuses all when a series comes twice.
            series.dedup_by(|a, b| a.values == b.values);
        }
        (self.taken, self.refused)
    }
}
