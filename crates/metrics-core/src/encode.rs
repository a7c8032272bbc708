//! The text formats: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Sources: the Prometheus documentation's "Exposition formats" and the OpenMetrics 1.0 specification.
//!
//! To OpenMetrics a sum is a counter. Where it is none, because values or bounds are negative or infinities cancelled each
//! other out, a histogram is exposed there without `_sum` and `_count` (that of the last bucket is the same), and a summary
//! without `_sum`; nor may a quantile be negative there. The older format has them all.

use crate::desc::{Desc, MetricKind};
use crate::exemplar::{self, Slot, Taken};
use crate::lines::Lines;

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

/// Appends what stands before the samples of a family. One without samples has its HELP and TYPE all the same.
pub(crate) fn head(format: Format, desc: &Desc, out: &mut Vec<u8>) {
    let (name, kind, open) = match (format, desc.kind) {
        (Format::Text004, MetricKind::Info | MetricKind::StateSet) => {
            (desc.name.as_ref(), MetricKind::Gauge, false)
        }
        (Format::Text004, kind) => (desc.name.as_ref(), kind, false),
        (Format::OpenMetrics100, kind) => (desc.stem(), kind, true),
    };
    push(out, &["# HELP ", name, " "]);
    escape(desc.help, open, |part| out.extend_from_slice(part.as_bytes()));
    push(out, &["\n# TYPE ", name, " ", kind.as_str(), "\n"]);
    if let Some(unit) = desc.unit.filter(|_| open) {
        push(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
}

/// Appends what ends an exposition.
pub(crate) fn end(format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Text004 => {}
        Format::OpenMetrics100 => out.extend_from_slice(b"# EOF\n"),
    }
}

/// Appends a label to those that stand between the braces.
pub(crate) fn label(name: &str, value: &str, text: &mut String) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    label_value(value, text);
    text.push('"');
}

/// Appends the value of a label as it stands between the quotes.
pub(crate) fn label_value(value: &str, text: &mut String) {
    escape(value, true, |part| text.push_str(part));
}

/// The labels of a series as they stand between the braces.
pub(crate) fn labels(names: &[&str], values: &[String]) -> String {
    let mut text = String::new();
    names.iter().zip(values).for_each(|(name, value)| label(name, value, &mut text));
    text
}

/// The bounds of buckets as the label `le` has them, infinity last.
pub(crate) fn bounds(buckets: &[f64]) -> Box<[Box<str>]> {
    let all = buckets.iter().copied().chain([f64::INFINITY]);
    all.map(|bound| Box::from(number(&mut ryu::Buffer::new(), bound))).collect()
}

/// Appends the value of a line, with its end.
pub(crate) trait Values {
    fn whole(&mut self, value: u64, text: &str, out: &mut Vec<u8>);
    fn fraction(&mut self, value: f64, text: &str, out: &mut Vec<u8>);
}

/// As it is.
pub(crate) struct Plain;

impl Values for Plain {
    #[inline]
    fn whole(&mut self, _value: u64, text: &str, out: &mut Vec<u8>) {
        push(out, &[text, "\n"]);
    }

    #[inline]
    fn fraction(&mut self, _value: f64, text: &str, out: &mut Vec<u8>) {
        push(out, &[text, "\n"]);
    }
}

/// Writes the samples of one series as text.
pub(crate) struct TextLines<'t, V> {
    pub(crate) format: Format,
    pub(crate) name: &'t str,
    /// As they stand between the braces.
    pub(crate) labels: &'t str,
    /// Of the label that the cell writes itself, if any: [`bounds`] or names of states, as they stand between the
    /// quotes.
    pub(crate) own_values: &'t [Box<str>],
    pub(crate) values: V,
    pub(crate) out: &'t mut Vec<u8>,
}

impl<V: Values> TextLines<'_, V> {
    /// Name and labels, up to the blank before the value.
    fn begin(&mut self, suffix: &str, extra: Option<(&str, &str)>) {
        push(self.out, &[self.name, suffix]);
        match (self.labels, extra) {
            ("", None) => self.out.push(b' '),
            (labels, None) => push(self.out, &["{", labels, "} "]),
            ("", Some((name, value))) => push(self.out, &["{", name, "=\"", value, "\"} "]),
            (labels, Some((name, value))) => push(self.out, &["{", labels, ",", name, "=\"", value, "\"} "]),
        }
    }

    fn whole(&mut self, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.values.whole(value, buffer.format(value), self.out);
    }

    fn fraction(&mut self, value: f64) {
        let mut buffer = ryu::Buffer::new();
        self.values.fraction(value, number(&mut buffer, value), self.out);
    }

    /// Puts an exemplar at the end of the line that was written last.
    #[inline]
    fn exemplar(&mut self, slot: Option<&Slot>) {
        // Hardly any cell has room for one.
        if let Some(slot) = slot
            && !self.is_older()
        {
            self.write_exemplar(slot);
        }
    }

    #[cold]
    fn write_exemplar(&mut self, slot: &Slot) {
        let Some(Taken { trace_id, value, at }) = slot.read() else { return };
        self.out.pop();
        let mut label = String::new();
        self::label(exemplar::LABEL, &trace_id, &mut label);
        push(self.out, &[" # {", &label, "} ", number(&mut ryu::Buffer::new(), value)]);
        if let Some(at) = at {
            push(self.out, &[" ", number(&mut ryu::Buffer::new(), at)]);
        }
        self.out.push(b'\n');
    }

    fn sum(&mut self, sum: f64) {
        self.begin("_sum", None);
        self.fraction(sum);
    }

    fn count(&mut self, count: u64) {
        self.begin("_count", None);
        self.whole(count);
    }

    fn is_older(&self) -> bool {
        self.format == Format::Text004
    }

    /// Whether the format takes the value where it wants one that only grows from zero.
    fn may_be_counter(&self, value: f64) -> bool {
        self.is_older() || value >= 0.0
    }
}

impl<V: Values> Lines for TextLines<'_, V> {
    fn integer(&mut self, value: u64, exemplars: &[Slot]) {
        self.begin("", None);
        self.whole(value);
        self.exemplar(exemplars.first());
    }

    fn float(&mut self, value: f64, exemplars: &[Slot]) {
        self.begin("", None);
        self.fraction(value);
        self.exemplar(exemplars.first());
    }

    fn buckets(
        &mut self,
        bounds: &[f64],
        in_bucket: &mut dyn FnMut(usize) -> u64,
        sum: f64,
        exemplars: &[Slot],
    ) {
        let mut total = 0;
        for (bucket, bound) in self.own_values.iter().enumerate() {
            total += in_bucket(bucket);
            self.begin("_bucket", Some(("le", bound)));
            self.whole(total);
            self.exemplar(exemplars.get(bucket));
        }
        if self.may_be_counter(sum) && (self.is_older() || bounds.first().is_none_or(|bound| *bound >= 0.0)) {
            self.sum(sum);
            self.count(total);
        }
    }

    fn quantiles(&mut self, quantiles: &[(f64, f64)], sum: f64, count: u64) {
        for (quantile, value) in quantiles {
            if value.is_nan() || self.may_be_counter(*value) {
                self.begin("", Some(("quantile", number(&mut ryu::Buffer::new(), *quantile))));
                self.fraction(*value);
            }
        }
        if self.may_be_counter(sum) {
            self.sum(sum);
        }
        self.count(count);
    }

    fn states(&mut self, _count: usize, _name: &dyn Fn(usize) -> String, is_on: &dyn Fn(usize) -> bool) {
        for (index, state) in self.own_values.iter().enumerate() {
            self.begin("", Some((self.name, state)));
            self.whole(u64::from(is_on(index)));
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
    /// Names with values, `le`, `quantile` and that of a state included.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// Takes the samples of one series one by one.
pub(crate) struct SampleLines<'s> {
    pub(crate) desc: &'s Desc,
    pub(crate) values: &'s [String],
    pub(crate) out: &'s mut Vec<Sample>,
}

impl SampleLines<'_> {
    fn add(&mut self, suffix: &str, extra: Option<(&str, f64)>, value: f64) {
        let extra = extra.map(|(name, value)| (name, number(&mut ryu::Buffer::new(), value).to_owned()));
        self.add_with(suffix, extra, value);
    }

    fn add_with(&mut self, suffix: &str, extra: Option<(&str, String)>, value: f64) {
        let own =
            self.desc.labels.iter().zip(self.values).map(|(name, value)| ((*name).to_owned(), value.clone()));
        let extra = extra.map(|(name, value)| (name.to_owned(), value));
        self.out.push(Sample {
            name: format!("{}{suffix}", self.desc.name),
            kind: self.desc.kind,
            labels: own.chain(extra).collect(),
            value,
        });
    }
}

impl Lines for SampleLines<'_> {
    fn integer(&mut self, value: u64, _exemplars: &[Slot]) {
        self.add("", None, value as f64);
    }

    fn float(&mut self, value: f64, _exemplars: &[Slot]) {
        self.add("", None, value);
    }

    fn buckets(
        &mut self,
        bounds: &[f64],
        in_bucket: &mut dyn FnMut(usize) -> u64,
        sum: f64,
        _exemplars: &[Slot],
    ) {
        let mut total = 0;
        for (bucket, bound) in bounds.iter().chain(&[f64::INFINITY]).enumerate() {
            total += in_bucket(bucket);
            self.add("_bucket", Some(("le", *bound)), total as f64);
        }
        self.add("_sum", None, sum);
        self.add("_count", None, total as f64);
    }

    fn quantiles(&mut self, quantiles: &[(f64, f64)], sum: f64, count: u64) {
        for (quantile, value) in quantiles {
            self.add("", Some(("quantile", *quantile)), *value);
        }
        self.add("_sum", None, sum);
        self.add("_count", None, count as f64);
    }

    fn states(&mut self, count: usize, name: &dyn Fn(usize) -> String, is_on: &dyn Fn(usize) -> bool) {
        for index in 0..count {
            self.add_with("", Some((&self.desc.name, name(index))), f64::from(u8::from(is_on(index))));
        }
    }
}

#[inline]
fn push(out: &mut Vec<u8>, parts: &[&str]) {
    out.reserve(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// A float as both formats read it; whole ones keep their `.0`, which OpenMetrics wants of bounds.
pub(crate) fn number(buffer: &mut ryu::Buffer, value: f64) -> &str {
    if value.is_nan() {
        "NaN"
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }
    } else {
        buffer.format_finite(value)
    }
}

/// Label values escape backslash, quote and line feed in both formats; HELP escapes quotes in OpenMetrics only.
fn escape(text: &str, quotes: bool, mut take: impl FnMut(&str)) {
    // Hardly any text has one of them; to look for bytes is quicker than to go from character to character.
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n') || (quotes && byte == b'"')) {
        return take(text);
    }
    let special = |char: char| matches!(char, '\\' | '\n') || (quotes && char == '"');
    for part in text.split_inclusive(special) {
        let mut chars = part.chars();
        match chars.next_back().filter(|last| special(*last)) {
            Some(last) => {
                take(chars.as_str());
                take(match last {
                    '\\' => "\\\\",
                    '\n' => "\\n",
                    _ => "\\\"",
                });
            }
            None => take(part),
        }
    }
}
