//! Registries of prometheus-client among ours: their metrics enter our expositions as they encode them.
//!
//! Their encoders cannot be built outside of it, so what enters is their OpenMetrics text: as it is where OpenMetrics was asked
//! for, and rewritten line by line for the older format, which has no units and exemplars, calls a counter by the name of its
//! sample, and knows neither info nor stateset.
//!
//! Sources: the OpenMetrics 1.0 specification, and the Prometheus documentation's "Exposition formats".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::desc::MetricKind;
use crate::encode::{Format, Sample};
use crate::gather::{Asked, Failure};

/// A registry of theirs.
pub(crate) struct Foreign {
    registry: Arc<Registry>,
    at_work: AtomicBool,
}

/// A line of their text.
enum Line<'t> {
    Help(&'t str),
    Type {
        family: &'t str,
        kind: &'t str,
    },
    /// A unit, or the end.
    Other,
    Sample {
        name: &'t str,
        labels: &'t str,
        value: &'t str,
    },
}

impl Foreign {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, at_work: AtomicBool::new(false) }
    }
}

impl Asked for Foreign {
    /// What they expose now.
    type Answer = String;

    fn at_work(&self) -> &AtomicBool {
        &self.at_work
    }

    fn ask(&self) -> Result<String, Failure> {
        let mut out = String::new();
        let encoded = catch_unwind(AssertUnwindSafe(|| text::encode(&mut out, &self.registry)));
        // Their encoders fail only where one of their collectors does.
        if matches!(encoded, Ok(Ok(()))) { Ok(out) } else { Err(Failure::Panic) }
    }
}

/// The names of families and samples in their text, as either format has them.
pub(crate) fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        match read(line) {
            Some(Line::Type { family, kind }) => names.extend([family.to_owned(), older_name(family, kind)]),
            Some(Line::Sample { name, .. }) => names.push(name.to_owned()),
            Some(Line::Help(_) | Line::Other) | None => {}
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Appends their text in the form that was asked for.
pub(crate) fn append(format: Format, text: &str, out: &mut Vec<u8>) {
    match format {
        Format::OpenMetrics100 => {
            for line in text.strip_suffix("# EOF\n").unwrap_or(text).split_inclusive('\n') {
                // They leave quotes as they are, which the format wants escaped.
                let unescaped = line.starts_with("# HELP ") && line.contains('"') && !line.contains("\\\"");
                match unescaped {
                    true => out.extend_from_slice(line.replace('"', "\\\"").as_bytes()),
                    false => out.extend_from_slice(line.as_bytes()),
                }
            }
        }
        Format::Text004 => append_older(text, out),
    }
}

fn append_older(text: &str, out: &mut Vec<u8>) {
    let mut help_of_next = None;
    let mut push = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    for line in text.lines() {
        match read(line) {
            Some(Line::Help(help)) => help_of_next = Some(help),
            Some(Line::Type { family, kind }) => {
                let name = older_name(family, kind);
                if let Some(help) = help_of_next.take() {
                    // There quotes are not escaped.
                    push(&["# HELP ", &name, " ", &help.replace("\\\"", "\""), "\n"]);
                }
                push(&["# TYPE ", &name, " ", older_kind(kind), "\n"]);
            }
            Some(Line::Sample { name, labels, value }) => push(&[name, labels, " ", value, "\n"]),
            Some(Line::Other) | None => {}
        }
    }
}

/// Appends their samples one by one.
pub(crate) fn samples(text: &str, out: &mut Vec<Sample>) {
    let mut kind_now = MetricKind::Gauge;
    for line in text.lines() {
        match read(line) {
            Some(Line::Type { kind, .. }) => {
                kind_now = match kind {
                    "counter" => MetricKind::Counter,
                    "histogram" => MetricKind::Histogram,
                    "summary" => MetricKind::Summary,
                    "info" => MetricKind::Info,
                    "stateset" => MetricKind::StateSet,
                    _ => MetricKind::Gauge,
                };
            }
            Some(Line::Sample { name, labels, value }) => {
                let Ok(value) = value.parse() else { continue };
                out.push(Sample { name: name.to_owned(), kind: kind_now, labels: pairs(labels), value });
            }
            Some(Line::Help(_) | Line::Other) | None => {}
        }
    }
}

fn older_name(family: &str, kind: &str) -> String {
    match kind {
        "counter" => format!("{family}_total"),
        "info" => format!("{family}_info"),
        _ => family.to_owned(),
    }
}

fn older_kind(kind: &str) -> &str {
    match kind {
        "counter" | "gauge" | "histogram" | "summary" => kind,
        "info" | "stateset" => "gauge",
        _ => "untyped",
    }
}

fn read(line: &str) -> Option<Line<'_>> {
    if let Some(comment) = line.strip_prefix("# ") {
        let mut words = comment.splitn(3, ' ');
        let (keyword, family, rest) = (words.next()?, words.next(), words.next().unwrap_or_default());
        return Some(match (keyword, family) {
            ("HELP", Some(_)) => Line::Help(rest),
            ("TYPE", Some(family)) => Line::Type { family, kind: rest },
            _ => Line::Other,
        });
    }
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let labels_end = if rest.starts_with('{') { closing_brace(rest)? + 1 } else { 0 };
    let (labels, rest) = rest.split_at(labels_end);
    // A timestamp and an exemplar may follow.
    let value = rest.split_ascii_whitespace().next()?;
    Some(Line::Sample { name, labels: if labels == "{}" { "" } else { labels }, value })
}

/// Where the labels end: a brace within quotes is none.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let was_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' => escaped = !was_escaped,
            b'"' if !was_escaped => quoted = !quoted,
            b'}' => return !quoted,
            _ => {}
        }
        false
    })
}

/// Labels with their braces, as names with values.
fn pairs(labels: &str) -> Vec<(String, String)> {
    let mut rest = labels.trim_start_matches('{');
    let mut pairs = Vec::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        pairs.push((name.trim_start_matches(',').to_owned(), value));
        rest = after.get(end..).unwrap_or_default();
    }
    pairs
}
