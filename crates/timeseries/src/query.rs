//! What is asked of the samples, and the answer.

mod evaluate;
mod matcher;
mod plan;
mod quantile;

use std::sync::Arc;

pub(crate) use evaluate::{Buckets, Era, in_order};
pub use matcher::{Condition, Matcher, Pattern, PatternError};
pub(crate) use plan::{Bounds, PartPlan, plan};
pub(crate) use quantile::Histograms;

use crate::error::QueryError;
use crate::series::SeriesKey;

/// A question about one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Of the metric; for a quantile without `_bucket`.
    pub name: String,
    /// Each must hold.
    pub matchers: Vec<Matcher>,
    /// Unix, in milliseconds.
    pub from_ms: i64,
    /// Not included.
    pub to_ms: i64,
    /// How far apart points are, in milliseconds; the whole range when it is not said. [`Function::Raw`] has none.
    pub step_ms: Option<i64>,
    pub function: Function,
}

impl Query {
    /// All samples of a metric in a range.
    pub fn new(name: &str, from_ms: i64, to_ms: i64) -> Self {
        let (name, matchers) = (name.to_owned(), Vec::new());
        Self { name, matchers, from_ms, to_ms, step_ms: None, function: Function::Raw }
    }

    /// The same for series with this value of a label.
    #[must_use]
    pub fn with(self, label: &str, value: &str) -> Self {
        self.that(label, Condition::Equal(value.to_owned()))
    }

    /// The same for series without this value of a label.
    #[must_use]
    pub fn without(self, label: &str, value: &str) -> Self {
        self.that(label, Condition::NotEqual(value.to_owned()))
    }

    /// The same for series whose value of a label is so.
    #[must_use]
    pub fn that(mut self, label: &str, condition: Condition) -> Self {
        self.matchers.push(Matcher { label: label.to_owned(), condition });
        self
    }

    /// A function of each step.
    #[must_use]
    pub fn each(mut self, step_ms: i64, function: Function) -> Self {
        (self.step_ms, self.function) = (Some(step_ms), function);
        self
    }

    pub(crate) fn check(&self) -> Result<(), QueryError> {
        let Self { from_ms, to_ms, .. } = *self;
        if from_ms >= to_ms {
            return Err(QueryError::EmptyRange { from_ms, to_ms });
        }
        if let Some(step_ms) = self.step_ms.filter(|step| *step < 1) {
            return Err(QueryError::Step { step_ms });
        }
        match self.function {
            Function::Quantile(q) if !(0.0..=1.0).contains(&q) => Err(QueryError::Quantile { q }),
            _ => Ok(()),
        }
    }

    pub(crate) fn step_ms(&self) -> i64 {
        self.step_ms.unwrap_or_else(|| self.to_ms.saturating_sub(self.from_ms)).max(1)
    }

    /// The name of the series that are read.
    pub(crate) fn series_name(&self) -> String {
        match self.function {
            Function::Quantile(_) => format!("{}_bucket", self.name),
            _ => self.name.clone(),
        }
    }

    pub(crate) fn matches(&self, key: &SeriesKey) -> bool {
        self.matchers.iter().all(|matcher| matcher.condition.holds(key.label(&matcher.label)))
    }
}

/// What is made of the samples in `[t, t + step)`, which is the point at `t`. A NaN is no sample but for `Raw`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// Samples as they were recorded; only as long as those are kept.
    Raw,
    Last,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    /// By how much a counter went up. Each increase between two samples counts in the step of the later one, so that
    /// steps add up; a fall is a beginning at zero, and nothing is extrapolated. No point where nothing is known.
    Increase,
    /// The increase a second, over the time in which it was seen.
    Rate,
    /// A quantile (0 to 1) of what a histogram observed in the step, from its `_bucket` series by `le`, linear within a
    /// bucket as Prometheus has it.
    Quantile(f64),
}

/// Series with their points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Those with points, by labels.
    pub series: Vec<Answered>,
    /// Where samples or aggregates were damaged: no point does not mean that there was nothing.
    pub gaps: Vec<Gap>,
    /// What the points were made of, by time.
    pub parts: Vec<Part>,
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub name: String,
    /// Sorted by name; for a quantile without `le`.
    pub labels: Vec<(String, String)>,
    /// In order of time.
    pub points: Vec<Point>,
}

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Unix, in milliseconds.
    pub at_ms: i64,
    pub value: f64,
}

/// A range that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub series: Arc<SeriesKey>,
    pub from_ms: i64,
    pub to_ms: i64,
}

/// A range and what was read for it. An aggregate counts as a whole where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub from_ms: i64,
    pub to_ms: i64,
    pub resolution: Resolution,
}

/// What is kept of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Raw,
    Hourly,
    Daily,
}
