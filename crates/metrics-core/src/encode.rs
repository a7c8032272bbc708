//! The text formats: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Sources: the Prometheus documentation's "Exposition formats" and the OpenMetrics 1.0 specification.

use crate::desc::{Desc, MetricKind};

/// A form of exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format, version 0.0.4.
    Text004,
    /// OpenMetrics text format, version 1.0.0.
    OpenMetrics100,
}

impl Format {
    /// The value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One sample as it is exposed, for readers within the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `_bucket`, `_sum` and `_count` included.
    pub name: String,
    /// Of the family.
    pub kind: MetricKind,
    /// Names with values, `le` and `quantile` included.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// The values of one label set, and where the metric stands.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Vec<String>,
    pub(crate) point: Point,
}

/// Where a metric stands.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub enum Point {
    Integer(u64),
    Float(f64),
    Buckets { cumulative: Vec<(f64, u64)>, sum: f64 },
    Quantiles { quantiles: Vec<(f64, f64)>, sum: f64, count: u64 },
}

/// A value in the exactness in which it was counted.
#[derive(Debug, Clone, Copy)]
enum Value {
    Integer(u64),
    Float(f64),
}

/// A sample before it is written: what the name ends in, the label that histograms and summaries add, the value.
type Bare = (&'static str, Option<(&'static str, f64)>, Value);

impl Point {
    /// Its samples, in the order in which they are exposed.
    fn samples(&self) -> Vec<Bare> {
        match self {
            Self::Integer(value) => vec![("", None, Value::Integer(*value))],
            Self::Float(value) => vec![("", None, Value::Float(*value))],
            Self::Buckets { cumulative, sum } => {
                let count = cumulative.last().map_or(0, |(_, count)| *count);
                let bucket = |(bound, count): &(f64, u64)| -> Bare {
                    ("_bucket", Some(("le", *bound)), Value::Integer(*count))
                };
                cumulative.iter().map(bucket).chain(sum_and_count(*sum, count)).collect()
            }
            Self::Quantiles { quantiles, sum, count } => {
                let quantile = |(quantile, value): &(f64, f64)| -> Bare {
                    ("", Some(("quantile", *quantile)), Value::Float(*value))
                };
                quantiles.iter().map(quantile).chain(sum_and_count(*sum, *count)).collect()
            }
        }
    }
}

fn sum_and_count(sum: f64, count: u64) -> [Bare; 2] {
    [("_sum", None, Value::Float(sum)), ("_count", None, Value::Integer(count))]
}

/// Appends a family. One without series has its HELP and TYPE all the same.
pub(crate) fn family(format: Format, desc: &Desc, series: &[Series], out: &mut Vec<u8>) {
    let (name, open) = match format {
        Format::Text004 => (desc.name.as_ref(), false),
        Format::OpenMetrics100 => (desc.stem(), true),
    };
    push(out, &["# HELP ", name, " "]);
    escape(desc.help, open, out);
    push(out, &["\n# TYPE ", name, " ", desc.kind.as_str(), "\n"]);
    if let Some(unit) = desc.unit.filter(|_| open) {
        push(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
    for series in series {
        for (suffix, extra, value) in series.point.samples() {
            line(desc, suffix, series, extra, out);
            match value {
                Value::Integer(value) => push(out, &[itoa::Buffer::new().format(value)]),
                Value::Float(value) => push(out, &[number(&mut ryu::Buffer::new(), value)]),
            }
            out.push(b'\n');
        }
    }
}

/// Appends what ends an exposition.
pub(crate) fn end(format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Text004 => {}
        Format::OpenMetrics100 => out.extend_from_slice(b"# EOF\n"),
    }
}

/// Name and labels, up to the blank before the value.
fn line(desc: &Desc, suffix: &str, series: &Series, extra: Option<(&str, f64)>, out: &mut Vec<u8>) {
    push(out, &[&desc.name, suffix]);
    let mut before = "{";
    for (name, value) in desc.labels.iter().zip(&series.labels) {
        push(out, &[before, name, "=\""]);
        escape(value, true, out);
        out.push(b'"');
        before = ",";
    }
    if let Some((name, value)) = extra {
        push(out, &[before, name, "=\"", number(&mut ryu::Buffer::new(), value), "\""]);
        before = ",";
    }
    out.extend_from_slice(if before == "," { b"} " } else { b" " });
}

/// The samples of a family, for readers within the program.
pub(crate) fn samples(desc: &Desc, series: &[Series]) -> Vec<Sample> {
    series
        .iter()
        .flat_map(|series| series.point.samples().into_iter().map(|bare| sample(desc, series, bare)))
        .collect()
}

fn sample(desc: &Desc, series: &Series, (suffix, extra, value): Bare) -> Sample {
    let own = desc.labels.iter().zip(&series.labels).map(|(name, value)| ((*name).to_owned(), value.clone()));
    let extra =
        extra.map(|(name, value)| (name.to_owned(), number(&mut ryu::Buffer::new(), value).to_owned()));
    Sample {
        name: format!("{}{suffix}", desc.name),
        kind: desc.kind,
        labels: own.chain(extra).collect(),
        value: match value {
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
        },
    }
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// A float as both formats read it; whole ones keep their `.0`, which OpenMetrics wants of bounds.
fn number(buffer: &mut ryu::Buffer, value: f64) -> &str {
    if value.is_nan() {
        "NaN"
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }
    } else {
        buffer.format_finite(value)
    }
}

/// Label values escape backslash, quote and line feed in both formats; HELP escapes quotes in OpenMetrics only.
fn escape(text: &str, quotes: bool, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            byte => out.push(byte),
        }
    }
}
