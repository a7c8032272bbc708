//! A line as people read it, made from its JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::escape::{escaped, is_special, json_text, print};

/// The longest level of ours has so many.
const LEVEL_COLUMNS: usize = 5;

/// A JSON line, taken apart. Whatever stands behind the fields is a context field or an id.
#[derive(Debug, Default)]
struct Parts<'l> {
    timestamp: Cow<'l, str>,
    level: Cow<'l, str>,
    component: Cow<'l, str>,
    message: Cow<'l, str>,
    /// Values of fields as they stand in JSON.
    fields: Pairs<'l>,
    tops: Pairs<'l>,
}

#[derive(Debug, Default)]
struct Pairs<'l>(Vec<(Cow<'l, str>, &'l RawValue)>);

/// A string that is taken as it stands where nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Pairs::default();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    pairs.0.push((name, value));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl<'l> Parts<'l> {
    fn read(line: &'l str) -> Option<Self> {
        let mut parts = Self::default();
        let Pairs(all) = serde_json::from_str(line).ok()?;
        for (name, value) in all {
            let text = || serde_json::from_str(value.get()).map(|Text(text)| text).ok();
            match &*name {
                "timestamp" => parts.timestamp = text()?,
                "level" => parts.level = text()?,
                "component" => parts.component = text()?,
                "message" => parts.message = text()?,
                "fields" => parts.fields = serde_json::from_str(value.get()).ok()?,
                _ => parts.tops.0.push((name, value)),
            }
        }
        Some(parts)
    }
}

/// A JSON line as people read it, as standard error shows it, without a line feed. What is no JSON line stays as it is,
/// but that nothing in either commands a terminal, whoever wrote it.
pub fn line_as_text(line: &str, color: bool) -> String {
    let mut out = Vec::with_capacity(line.len());
    text(line, color, &mut out);
    let mut shown = String::from_utf8_lossy(&out).into_owned();
    shown.truncate(shown.trim_end_matches('\n').len());
    shown
}

/// Appends a JSON line as people read it, coloured or not. What is no JSON is appended as it is, but for control characters.
pub(crate) fn text(line: &str, color: bool, out: &mut Vec<u8>) {
    let Some(parts) = Parts::read(line) else {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        escaped(line, &[], out);
        return out.extend_from_slice(end.as_bytes());
    };
    let paint = match (color, &*parts.level) {
        (false, _) => "",
        (true, "debug") => "\x1b[2m",
        (true, "info") => "\x1b[32m",
        (true, "warn") => "\x1b[33m",
        (true, _) => "\x1b[31m",
    };
    let plain = if color { "\x1b[0m" } else { "" };
    escaped(&parts.timestamp, &[], out);
    print(out, format_args!(" {paint}"));
    let level_end = out.len() + LEVEL_COLUMNS;
    escaped(&parts.level, &[], out);
    out.resize(out.len().max(level_end), b' ');
    print(out, format_args!("{plain} "));
    escaped(&parts.component, &[], out);
    out.extend_from_slice(b": ");
    escaped(&parts.message, &[], out);
    for (name, value) in parts.fields.0.iter().chain(&parts.tops.0) {
        out.push(b' ');
        escaped(name, &[], out);
        out.push(b'=');
        match serde_json::from_str(value.get()) {
            Ok(Text(text)) => quoted(&text, out),
            // The texts in it may have what JSON leaves as it is: the control characters of Latin-1.
            Err(_not_text) => escaped(value.get(), &[], out),
        }
    }
    out.push(b'\n');
}

/// A value, quoted where it would not be seen as one word.
fn quoted(text: &str, out: &mut Vec<u8>) {
    let odd = |c: char| c.is_whitespace() || is_special(c) || c == '"' || c == '=';
    if text.is_empty() || text.contains(odd) {
        json_text(text, out);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}
