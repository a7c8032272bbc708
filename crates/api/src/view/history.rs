//! Answers of a host's own history of metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// What became of a metric over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryView {
    pub name: String,
    /// `raw`, `last`, `avg`, `min`, `max`, `sum`, `count`, `increase`, `rate`, or a percentile: `p99`, `p99.9`.
    pub function: String,
    pub from: WallTime,
    pub to: WallTime,
    /// Null of raw samples.
    pub step_seconds: Option<f64>,
    pub series: Vec<SeriesView>,
    /// Where samples were damaged: no point there does not mean that there was nothing.
    pub gaps: Vec<GapView>,
    /// What the points were made of, by time.
    pub parts: Vec<PartView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesView {
    pub labels: BTreeMap<String, String>,
    /// Unix seconds with the value, in order of time; the value is null where it is not a number that JSON knows. A point
    /// stands for the step that begins with it.
    pub points: Vec<(f64, Option<f64>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    pub labels: BTreeMap<String, String>,
    pub from: WallTime,
    pub to: WallTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    pub from: WallTime,
    pub to: WallTime,
    /// `raw`, `hourly` or `daily`.
    pub resolution: String,
}
