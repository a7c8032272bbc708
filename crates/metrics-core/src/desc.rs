//! What a metric is called and means.

use std::borrow::Cow;
use std::time::Duration;

/// Most series of a family that does not say otherwise.
pub const SERIES_MAX: usize = 10_000;
/// The window of a summary that does not say otherwise, and its ages.
pub const WINDOW: Duration = Duration::from_mins(10);
pub const AGES: u32 = 5;
/// Most ages of a window.
const AGES_MAX: u32 = 60;

/// What kind of metric a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
    /// Quantiles that are computed where the values are: in a [`Summary`](crate::Summary), or by a
    /// [`Collector`](crate::Collector).
    Summary,
    /// Text in labels, with the value 1.
    Info,
    /// States by name, each on or off.
    StateSet,
}

impl MetricKind {
    /// The word after `# TYPE` in OpenMetrics. The older format knows neither info nor stateset and calls both gauges.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// What its samples add to the name of the family, `_created` included, which readers reserve.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["", "_total", "_created"],
            Self::Gauge | Self::StateSet => &[""],
            Self::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
            Self::Summary => &["", "_sum", "_count", "_created"],
            Self::Info => &["", "_info"],
        }
    }
}

/// The description of a metric family: declared once, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Desc {
    /// As samples are exposed: a counter's with its `_total`, an info's with its `_info`, a histogram's without
    /// `_bucket`.
    pub name: Cow<'static, str>,
    /// One sentence or two, in plain text.
    pub help: &'static str,
    pub kind: MetricKind,
    /// The unit, which the name ends in (before a counter's `_total`): `seconds`, `bytes`.
    pub unit: Option<&'static str>,
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets, ascending, without infinity.
    pub buckets: &'static [f64],
    /// Of a summary, ascending, 0 to 1; none where a collector computes them.
    pub quantiles: &'static [f64],
    /// How long a summary's quantiles look back, and in how many ages what it forgets is forgotten.
    pub window: Duration,
    pub ages: u32,
    /// Most series that the family keeps.
    pub series_max: usize,
}

impl Desc {
    const fn new(name: &'static str, help: &'static str, kind: MetricKind) -> Self {
        let name = Cow::Borrowed(name);
        let (buckets, quantiles): (&[f64], &[f64]) = (&[], &[]);
        let (window, ages, series_max) = (WINDOW, AGES, SERIES_MAX);
        Self { name, help, kind, unit: None, labels: &[], buckets, quantiles, window, ages, series_max }
    }

    /// A counter; its name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricKind::Counter)
    }

    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricKind::Gauge)
    }

    /// A histogram with these upper bounds.
    pub const fn histogram(name: &'static str, help: &'static str, buckets: &'static [f64]) -> Self {
        let mut desc = Self::new(name, help, MetricKind::Histogram);
        desc.buckets = buckets;
        desc
    }

    pub const fn summary(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricKind::Summary)
    }

    /// Text in labels; its name ends in `_info`.
    pub const fn info(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricKind::Info)
    }

    /// States, each on or off. The label of the state is called like the metric and not among its labels.
    pub const fn state_set(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricKind::StateSet)
    }

    /// The same metric with these label names.
    #[must_use]
    pub const fn labels(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }

    /// The same summary with these quantiles, ascending, 0 to 1.
    #[must_use]
    pub const fn quantiles(mut self, quantiles: &'static [f64]) -> Self {
        self.quantiles = quantiles;
        self
    }

    /// The same summary over this window, which forgets in steps: 1 to 60 ages.
    #[must_use]
    pub const fn window(mut self, window: Duration, ages: u32) -> Self {
        (self.window, self.ages) = (window, ages);
        self
    }

    /// The same metric in this unit.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// The same metric with another bound on its series.
    #[must_use]
    pub const fn series_max(mut self, series_max: usize) -> Self {
        self.series_max = series_max;
        self
    }

    /// The same metric with a prefix before its name.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self { name: Cow::Owned(format!("{prefix}{}", self.name)), ..self.clone() }
    }

    /// The name of the family as OpenMetrics has it: a counter's without `_total`, an info's without `_info`.
    pub(crate) fn stem(&self) -> &str {
        let stem = match self.kind {
            MetricKind::Counter => self.name.strip_suffix("_total"),
            MetricKind::Info => self.name.strip_suffix("_info"),
            MetricKind::Gauge | MetricKind::Histogram | MetricKind::Summary | MetricKind::StateSet => None,
        };
        stem.unwrap_or(&self.name)
    }

    /// Every name that this family takes for itself: its own and those of its samples.
    pub(crate) fn taken_names(&self) -> impl Iterator<Item = String> {
        self.kind.suffixes().iter().map(|suffix| format!("{}{suffix}", self.stem()))
    }

    /// The rule that does not hold, if any.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.naming_fault().or_else(|| self.bucket_fault()).or_else(|| self.quantile_fault())
    }

    fn naming_fault(&self) -> Option<&'static str> {
        if !is_name(&self.name) {
            Some("its name is not [a-zA-Z_][a-zA-Z0-9_]*")
        } else if self.kind == MetricKind::Counter && !self.name.ends_with("_total") {
            Some("a counter's name ends in _total")
        } else if self.kind == MetricKind::Info && !self.name.ends_with("_info") {
            Some("an info's name ends in _info")
        } else if matches!(self.kind, MetricKind::Info | MetricKind::StateSet) && self.unit.is_some() {
            Some("neither texts nor states have a unit")
        } else if self.kind == MetricKind::StateSet && self.labels.iter().any(|label| *label == self.name) {
            Some("a label is called like the metric, as that of the state is")
        } else if self.unit.is_some_and(|unit| !self.stem().ends_with(&format!("_{unit}"))) {
            Some("its name does not end in its unit")
        } else if self.labels.iter().any(|label| !is_name(label) || label.starts_with("__")) {
            Some("a label's name is not [a-zA-Z_][a-zA-Z0-9_]*, or begins with __")
        } else if self.labels.iter().any(|label| matches!(*label, "le" | "quantile")) {
            Some("the labels le and quantile are written by histograms and summaries themselves")
        } else if (1..self.labels.len()).any(|at| self.labels[..at].contains(&self.labels[at])) {
            Some("a label is there twice")
        } else {
            None
        }
    }

    fn bucket_fault(&self) -> Option<&'static str> {
        if (self.kind == MetricKind::Histogram) == self.buckets.is_empty() {
            Some("a histogram, and only a histogram, has buckets")
        } else if !self.buckets.is_sorted_by(|a, b| a < b) || self.buckets.iter().any(|b| !b.is_finite()) {
            Some("the bounds of its buckets do not ascend")
        } else {
            None
        }
    }

    fn quantile_fault(&self) -> Option<&'static str> {
        let are_shares = self.quantiles.iter().all(|quantile| (0.0..=1.0).contains(quantile));
        if self.kind != MetricKind::Summary && !self.quantiles.is_empty() {
            Some("only a summary has quantiles")
        } else if !are_shares || !self.quantiles.is_sorted_by(|a, b| a < b) {
            Some("its quantiles do not ascend from 0 to 1")
        } else if self.window.is_zero() || !(1..=AGES_MAX).contains(&self.ages) {
            Some("its window is empty, or does not have 1 to 60 ages")
        } else {
            None
        }
    }
}

/// Colons are for recording rules.
fn is_name(text: &str) -> bool {
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && text.bytes().all(ok)
}
