//! What OpenMetrics 1.0 asks of a text, as a reader that refuses whatever breaks a rule.
//!
//! Source: the OpenMetrics 1.0 specification, its ABNF and the rules of each type. The reference parser and promtool read
//! the same texts where they are installed.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{Format, text};

/// Most characters of an exemplar's labels, names and values together.
const EXEMPLAR_MAX_CHARS: usize = 128;

type Labels = BTreeMap<String, String>;
type Outcome<T> = Result<T, String>;

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    unit: Option<String>,
    help: Option<String>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) exemplar: Option<Exemplar>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) at: Option<f64>,
}

/// The families by name, or the first breach.
pub(crate) fn read(text: &str) -> Outcome<BTreeMap<String, Family>> {
    let body = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.split_terminator('\n') {
        let at = |fault: String| format!("{fault}: {line}");
        if let Some(described) = line.strip_prefix("# ") {
            let [word, name, rest] =
                described.splitn(3, ' ').collect::<Vec<_>>().try_into().map_err(|_| at("short".into()))?;
            if name != current && families.contains_key(name) {
                return Err(at("a family comes twice".into()));
            }
            name.clone_into(&mut current);
            let family = families.entry(current.clone()).or_default();
            if !family.samples.is_empty() || !is_name(name) {
                return Err(at("descriptions come before samples, of a legal name".into()));
            }
            let before = match word {
                "TYPE" => std::mem::replace(&mut family.kind, rest.to_owned()),
                "HELP" => family.help.replace(unescaped(rest)?).unwrap_or_default(),
                "UNIT" => family.unit.replace(rest.to_owned()).unwrap_or_default(),
                _ => return Err(at("an unknown description".into())),
            };
            if !before.is_empty() {
                return Err(at("described twice".into()));
            }
        } else {
            let family = families.get_mut(&current).ok_or_else(|| at("no TYPE before it".into()))?;
            let sample = sample(line).map_err(at)?;
            family.samples.push(sample);
        }
    }
    let mut names = HashSet::new();
    for (name, family) in &families {
        for suffix in suffixes(&family.kind)?.iter().copied().chain([""]).collect::<HashSet<_>>() {
            if !names.insert(format!("{name}{suffix}")) {
                return Err(format!("{name}{suffix} is two families'"));
            }
        }
        family.check(name).map_err(|fault| format!("{name}: {fault}"))?;
    }
    Ok(families)
}

fn suffixes(kind: &str) -> Outcome<&'static [&'static str]> {
    Ok(match kind {
        "counter" => &["_total", "_created"],
        "gauge" | "stateset" => &[""],
        "histogram" => &["_bucket", "_sum", "_count", "_created"],
        "summary" => &["", "_sum", "_count", "_created"],
        "info" => &["_info"],
        _ => return Err(format!("no type {kind:?}")),
    })
}

impl Family {
    fn check(&self, name: &str) -> Outcome<()> {
        if let Some(unit) = &self.unit {
            let fits =
                name.ends_with(&format!("_{unit}")) && !matches!(self.kind.as_str(), "info" | "stateset");
            ensure(fits, "a unit that the name lacks or the type has not")?;
        }
        let (mut seen, mut points): (HashSet<String>, Vec<(Labels, Vec<&Sample>)>) = Default::default();
        for sample in &self.samples {
            let suffix = sample.name.strip_prefix(name).ok_or_else(|| format!("a sample {}", sample.name))?;
            ensure(suffixes(&self.kind)?.contains(&suffix), "a sample of a foreign name")?;
            ensure(seen.insert(format!("{}{:?}", sample.name, sample.labels)), "a series comes twice")?;
            let mut labels = sample.labels.clone();
            labels.remove(self.own_label(name));
            match points.last_mut().filter(|(last, _)| *last == labels) {
                Some((_, samples)) => samples.push(sample),
                None => points.push((labels, vec![sample])),
            }
            self.check_value(name, suffix, sample).map_err(|fault| format!("{fault} in {sample:?}"))?;
        }
        let series: HashSet<_> = points.iter().map(|(labels, _)| labels).collect();
        ensure(series.len() == points.len(), "the samples of a series lie apart")?;
        if self.kind == "histogram" {
            points.iter().try_for_each(|(_, samples)| check_histogram(samples))?;
        }
        Ok(())
    }

    fn own_label<'n>(&self, name: &'n str) -> &'n str {
        match self.kind.as_str() {
            "histogram" => "le",
            "summary" => "quantile",
            "stateset" => name,
            _ => "",
        }
    }

    fn check_value(&self, name: &str, suffix: &str, sample: &Sample) -> Outcome<()> {
        let Sample { labels, value, exemplar, .. } = sample;
        let is_whole = value.fract() == 0.0;
        match (self.kind.as_str(), suffix) {
            ("counter", "_total") | ("summary" | "histogram", "_sum") => {
                ensure(*value >= 0.0, "it is below zero")?
            }
            ("histogram", "_bucket") | ("summary" | "histogram", "_count") => {
                ensure(*value >= 0.0 && is_whole, "it counts nothing")?;
            }
            ("info", _) => ensure(*value == 1.0, "an info is 1")?,
            ("stateset", _) => {
                ensure(labels.contains_key(name), "no state")?;
                ensure(*value == 0.0 || *value == 1.0, "a state is 0 or 1")?;
            }
            ("summary", "") => {
                let quantile = labels.get("quantile").and_then(|text| number(text).ok());
                ensure(quantile.is_some_and(|quantile| (0.0..=1.0).contains(&quantile)), "no quantile")?;
                ensure(value.is_nan() || *value >= 0.0, "a quantile is not negative")?;
            }
            _ => {}
        }
        if let Some(Exemplar { labels, .. }) = exemplar {
            let may =
                matches!((self.kind.as_str(), suffix), ("counter", "_total") | ("histogram", "_bucket"));
            ensure(may, "an exemplar where none may be")?;
            let chars: usize =
                labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
            ensure(chars <= EXEMPLAR_MAX_CHARS, "an exemplar that is too long")?;
        }
        Ok(())
    }
}

/// Of one series.
fn check_histogram(samples: &[&Sample]) -> Outcome<()> {
    let of = |suffix: &str| samples.iter().filter(|sample| sample.name.ends_with(suffix)).collect::<Vec<_>>();
    let mut last = (f64::NEG_INFINITY, 0.0);
    let mut is_negative = false;
    for bucket in of("_bucket") {
        let bound = number(bucket.labels.get("le").ok_or("a bucket without a bound")?)?;
        ensure(bound > last.0 && bucket.value >= last.1, "buckets do not ascend")?;
        is_negative |= bound < 0.0;
        last = (bound, bucket.value);
    }
    ensure(last.0 == f64::INFINITY, "no bucket for all")?;
    let (sum, count) = (of("_sum"), of("_count"));
    ensure(sum.len() == count.len(), "a sum and a count come together")?;
    ensure(!is_negative || sum.is_empty(), "no sum where there are negative buckets")?;
    ensure(count.first().is_none_or(|count| count.value == last.1), "the count is that of the last bucket")
}

fn ensure(holds: bool, fault: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(fault.to_owned()) }
}

/// `name{labels} value` or `name value`, and an exemplar perhaps. Nobody here writes timestamps.
fn sample(line: &str) -> Outcome<Sample> {
    let name_end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(name_end);
    ensure(is_name(name), "an illegal name")?;
    let (labels, rest) = labels(rest)?;
    let rest = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(self::exemplar(exemplar)?)),
        None => (rest, None),
    };
    Ok(Sample { name: name.to_owned(), labels, value: number(value)?, exemplar })
}

fn exemplar(text: &str) -> Outcome<Exemplar> {
    ensure(text.starts_with('{'), "an exemplar has labels, if only braces")?;
    let (labels, rest) = labels(text)?;
    let mut numbers =
        rest.strip_prefix(' ').ok_or("no blank before the exemplar's value")?.split(' ').map(number);
    let value = numbers.next().ok_or("no value")??;
    let at = numbers.next().transpose()?;
    ensure(numbers.next().is_none() && at.is_none_or(f64::is_finite), "more than a value and a time")?;
    Ok(Exemplar { labels, value, at })
}

/// The labels, if there are any, and what follows them.
fn labels(text: &str) -> Outcome<(Labels, &str)> {
    let mut labels = Labels::new();
    let Some(mut rest) = text.strip_prefix('{') else { return Ok((labels, text)) };
    while !rest.starts_with('}') {
        let (name, value) = rest.split_once("=\"").ok_or("no label")?;
        let mut is_escaped = false;
        let end = value.find(|char| {
            let is_end = char == '"' && !is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            is_end
        });
        let (value, after) = value.split_at(end.ok_or("a value without an end")?);
        ensure(is_name(name) && !name.contains(':'), "a label's name")?;
        let before = labels.insert(name.to_owned(), unescaped(value)?);
        ensure(before.is_none(), "a label comes twice")?;
        rest = after.strip_prefix('"').unwrap_or_default();
        if let Some(next) = rest.strip_prefix(',') {
            ensure(!next.starts_with('}'), "a comma and no label")?;
            rest = next;
        } else {
            ensure(rest.starts_with('}'), "no comma between labels")?;
        }
    }
    Ok((labels, rest.strip_prefix('}').unwrap_or_default()))
}

fn unescaped(text: &str) -> Outcome<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, (char == '\\').then(|| chars.next()).flatten()) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(other @ ('\\' | '"'))) => out.push(other),
            ('\\', _) => return Err("a backslash before neither n, quote nor backslash".to_owned()),
            ('"', _) => return Err("a quote that is not escaped".to_owned()),
            (other, _) => out.push(other),
        }
    }
    Ok(out)
}

fn number(text: &str) -> Outcome<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    ensure(is_plain || matches!(text, "+Inf" | "-Inf" | "NaN"), "not a number")?;
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn is_name(text: &str) -> bool {
    let ok = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | ':');
    text.chars().all(ok) && text.starts_with(|first: char| !first.is_ascii_digit())
}

/// Reads a registry's exposition.
pub(crate) fn families(registry: &nkudo_metrics_core::Registry) -> BTreeMap<String, Family> {
    read(&text(registry, Format::OpenMetrics100)).expect("it was read before")
}

/// Has a tool read a text; `None`, with a loud word, where the tool is not installed.
fn read_by(program: &str, args: &[&str], text: &str) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("SKIPPED: {program} is not installed, so it reads nothing");
        return None;
    };
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    Some((
        output.status.success(),
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat(),
    ))
}

/// The reference parser, if `python3` has the package `prometheus_client`.
const REFERENCE: &str = "
import sys
try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
except ImportError:
    print('no reference parser'); sys.exit(0)
print(sum(len(family.samples) for family in read(sys.stdin.buffer.read().decode())), 'samples')
";

/// Has other people's parsers read both formats of a registry.
pub(crate) fn read_by_others(registry: &nkudo_metrics_core::Registry) {
    let open = text(registry, Format::OpenMetrics100);
    let count: usize = families(registry).values().map(|family| family.samples.len()).sum();
    if let Some((is_good, said)) = read_by("python3", &["-c", REFERENCE], &open) {
        if said.starts_with("no reference parser") {
            eprintln!("SKIPPED: python3 has no prometheus_client, so the reference parser reads nothing");
        } else {
            assert!(is_good && said == format!("{count} samples\n"), "{said}\n{open}");
        }
    }
    // It complains of names as well and then ends in failure: only what it cannot read counts.
    if let Some((_, said)) = read_by("promtool", &["check", "metrics"], &text(registry, Format::Text004)) {
        assert!(!said.contains("error while linting"), "{said}");
    }
}

#[test]
fn the_reader_refuses_what_breaks_a_rule() {
    let good = "# TYPE a counter\na_total 1 # {trace_id=\"x\"} 0.5 17.5\n";
    let histogram =
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 2\n";
    let refused = |text: &str, fault: &str| {
        let found = read(&format!("{text}# EOF\n")).expect_err(text);
        assert!(found.contains(fault), "{found:?} is not {fault:?} of {text}");
    };
    for good in
        [good, histogram, "# TYPE s stateset\ns{s=\"a\"} 1\n", "# TYPE b info\nb_info{v=\"\\\\\"} 1\n"]
    {
        read(&format!("{good}# EOF\n")).unwrap();
    }
    read(good).expect_err("no end");
    refused("a_total 1\n", "no TYPE");
    refused("# TYPE a counter\n\n", "no value");
    refused("# TYPE a counter\na 1\n", "foreign name");
    refused("# TYPE a counter\na_total NaN\n", "below zero");
    refused("# TYPE a counter\na_total 1\na_total 1\n", "comes twice");
    refused("# TYPE a counter\na_total{b=\"\\x\"} 1\n", "a backslash");
    refused("# TYPE a counter\na_total{b=\"\",} 1\n", "comma");
    refused("# TYPE a gauge\na 1 # {} 1\n", "where none may be");
    refused(&format!("# TYPE a counter\na_total 1 # {{trace_id=\"{}\"}} 1\n", "x".repeat(121)), "too long");
    refused("# TYPE a gauge\n# TYPE a gauge\n", "twice");
    refused("# TYPE a_total gauge\n# TYPE a counter\n", "is two families'");
    refused("# TYPE a gauge\n# UNIT a bytes\n", "a unit");
    refused("# TYPE a_info info\n# UNIT a_info info\n", "a unit");
    refused("# TYPE a info\na_info 2\n", "an info is 1");
    refused("# TYPE a stateset\na{b=\"x\"} 1\n", "no state");
    refused("# TYPE a stateset\na{a=\"x\"} 2\n", "0 or 1");
    refused("# TYPE a summary\na{quantile=\"2.0\"} 1\n", "no quantile");
    refused("# TYPE a summary\na{quantile=\"0.5\"} -1\n", "not negative");
    refused(&histogram.replace("count 2", "count 3"), "count is that");
    refused(&histogram.replace("h_sum 1.5\n", ""), "come together");
    refused(&histogram.replace("le=\"1.0\"", "le=\"-1.0\""), "negative buckets");
    refused(&histogram.replace("le=\"+Inf\"", "le=\"5.0\""), "no bucket for all");
    refused("# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"1\",c=\"\"} 1\na{b=\"1\"} 2\n", "comes twice");
}
