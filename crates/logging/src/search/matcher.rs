//! Whether a line is searched for.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;

use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::query::Query;
use crate::level::LogLevel;

/// What every line of ours begins with.
const TIMESTAMP_KEY: &[u8] = b"{\"timestamp\":\"";
/// Bytes of a timestamp as we write it: `2026-01-02T03:04:05.678Z`.
const TIMESTAMP_BYTES: usize = 24;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Hit(Timestamp),
    /// Something else is in it.
    Other,
    /// No object of JSON with a timestamp.
    Unreadable,
}

/// A query, made ready to look at many lines. Whether it may match is seen from the bytes of a line; only then is it
/// parsed.
#[derive(Debug)]
pub(super) struct Matcher {
    query: Query,
    text: Option<Finder<'static>>,
    /// Of each of these one stands in a line that matches, unless it is written with `\u`.
    needles: Vec<Vec<Finder<'static>>>,
    escape: Finder<'static>,
    since: Option<String>,
    until: Option<String>,
}

/// The values of an object as they stand.
type Object<'l> = BTreeMap<Text<'l>, &'l RawValue>;

/// A decoded string.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Matcher {
    pub(super) fn new(query: &Query) -> Self {
        let texts = query.text.iter().chain(&query.component).chain(query.ids.iter().map(|(_, value)| value));
        let mut needles: Vec<Vec<Finder<'static>>> =
            texts.filter_map(|text| longest_plain(text)).map(|needle| vec![finder(needle)]).collect();
        if let Some(least @ (LogLevel::Warn | LogLevel::Error)) = query.level {
            let levels = LogLevel::ALL.into_iter().filter(|level| *level >= least);
            needles.push(levels.map(|level| finder(level.as_str())).collect());
        }
        // Written as in a line, times compare as their texts do.
        let as_in_lines =
            |time: Timestamp| Some(format!("{time:.3}")).filter(|text| text.len() == TIMESTAMP_BYTES);
        Self {
            text: query.text.as_deref().map(finder),
            needles,
            escape: finder("\\u"),
            since: query.since.and_then(as_in_lines),
            until: query.until.and_then(as_in_lines),
            query: query.clone(),
        }
    }

    pub(super) fn judge(&self, line: &[u8]) -> Judged {
        if !line.starts_with(b"{") || !line.ends_with(b"}") {
            return Judged::Unreadable;
        }
        if !self.may_match(line) {
            return Judged::Other;
        }
        self.read(line).unwrap_or(Judged::Unreadable)
    }

    /// Whether it could be, as far as bytes tell.
    fn may_match(&self, line: &[u8]) -> bool {
        if let Some(time) = plain_timestamp(line) {
            let is_before = |since: &String| time < since.as_bytes();
            let is_after = |until: &String| time > until.as_bytes();
            if self.since.as_ref().is_some_and(is_before) || self.until.as_ref().is_some_and(is_after) {
                return false;
            }
        }
        let has_any = |any: &Vec<Finder<'_>>| any.iter().any(|needle| needle.find(line).is_some());
        self.needles.iter().all(has_any) || self.escape.find(line).is_some()
    }

    /// None when it cannot be read.
    fn read(&self, line: &[u8]) -> Option<Judged> {
        let top: Object<'_> = serde_json::from_slice(line).ok()?;
        let timestamp: Timestamp = decoded(top.get("timestamp")?).parse().ok()?;
        let query = &self.query;
        let is = |name: &str, wanted: &str| top.get(name).is_some_and(|value| decoded(value) == wanted);
        let is_severe = |least: LogLevel| {
            let level = top.get("level").and_then(|level| decoded(level).parse::<LogLevel>().ok());
            level.is_some_and(|level| level >= least)
        };
        let is_hit = query.since.is_none_or(|since| timestamp >= since)
            && query.until.is_none_or(|until| timestamp < until)
            && query.level.is_none_or(is_severe)
            && query.component.as_ref().is_none_or(|component| is("component", component))
            && query.ids.iter().all(|(name, value)| is(name, value))
            && self.text.as_ref().is_none_or(|text| says(&top, text));
        Some(if is_hit { Judged::Hit(timestamp) } else { Judged::Other })
    }
}

/// Whether the text stands in the message or in the value of a field.
fn says(top: &Object<'_>, text: &Finder<'_>) -> bool {
    let has = |value: &RawValue| text.find(decoded(value).as_bytes()).is_some();
    let fields =
        || top.get("fields").and_then(|fields| serde_json::from_str::<Object<'_>>(fields.get()).ok());
    top.get("message").is_some_and(|message| has(message))
        || fields().is_some_and(|fields| fields.values().any(|value| has(value)))
}

/// A string decoded, anything else as it stands.
fn decoded(value: &RawValue) -> Cow<'_, str> {
    serde_json::from_str::<Text<'_>>(value.get()).map_or(Cow::Borrowed(value.get()), |text| text.0)
}

/// The timestamp of a line that begins as ours do.
fn plain_timestamp(line: &[u8]) -> Option<&[u8]> {
    let (time, rest) = line.strip_prefix(TIMESTAMP_KEY)?.split_at_checked(TIMESTAMP_BYTES)?;
    (time.get(10) == Some(&b'T') && time.ends_with(b"Z") && rest.starts_with(b"\"")).then_some(time)
}

/// The longest part of a text that JSON writes as it is, or else with `\u`.
fn longest_plain(text: &str) -> Option<&str> {
    let may_be_escaped = |c: char| c.is_control() || matches!(c, '"' | '\\' | '/');
    text.split(may_be_escaped).max_by_key(|part| part.len()).filter(|part| !part.is_empty())
}

fn finder(needle: &str) -> Finder<'static> {
    Finder::new(needle).into_owned()
}
