//! Search against a model that reads every line.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use nkudo_logging::{LogLevel, Order, Query, search};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, option, test_runner::Config};
use serde_json::Value;
use tempfile::TempDir;

use crate::files::at;

/// Short texts of letters that JSON writes in many ways.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ab\"\\\\/\n\u{1}\u{e9}🦀\u{2028}]{0,4}").unwrap()
}

fn some_text() -> impl Strategy<Value = String> {
    text().prop_filter("a text that is searched for", |text| !text.is_empty())
}

#[derive(Debug, Clone)]
struct Line {
    second: i64,
    level: &'static str,
    component: String,
    message: String,
    field: String,
    action_id: Option<String>,
    /// Written as it is, without regard to JSON.
    is_raw: bool,
    /// Whether all but ASCII is written with `\u`.
    is_escaped: bool,
}

impl Line {
    fn write(&self) -> String {
        if self.is_raw {
            return format!("{{{}", self.message.replace('\n', ""));
        }
        let json = |text: &str| {
            let plain = serde_json::to_string(text).unwrap();
            if !self.is_escaped {
                return plain;
            }
            let mut units = [0; 2];
            let escape = |c: char| match c {
                '/' => "\\/".to_owned(),
                _ if c.is_ascii() => c.to_string(),
                _ => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
            };
            plain.chars().map(escape).collect()
        };
        let id = self.action_id.as_ref().map(|id| format!(",\"action_id\":{}", json(id))).unwrap_or_default();
        let (time, level, component) = (at(self.second), self.level, json(&self.component));
        let (message, field) = (json(&self.message), json(&self.field));
        format!(
            "{{\"timestamp\":\"{time:.3}\",\"level\":\"{level}\",\"component\":{component},\
             \"message\":{message},\"fields\":{{\"f\":{field}}}{id}}}"
        )
    }
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let level = prop_oneof![Just("debug"), Just("info"), Just("warn"), Just("error")];
    let is_raw = proptest::bool::weighted(0.1);
    let line = (0..20_i64, level, text(), text(), text(), option::of(text()), is_raw, any::<bool>());
    let line = line.prop_map(|(second, level, component, message, field, action_id, is_raw, is_escaped)| {
        Line { second, level, component, message, field, action_id, is_raw, is_escaped }
    });
    collection::vec(line, 0..40)
}

fn query() -> impl Strategy<Value = Query> {
    let level = prop_oneof![Just(LogLevel::Debug), Just(LogLevel::Info), Just(LogLevel::Error)];
    let range = option::weighted(0.3, (0..20_i64, 1..20_i64, 0..1_000_i64));
    let rare = 0.3;
    (
        option::of(some_text()),
        option::weighted(rare, some_text()),
        option::weighted(rare, level),
        option::weighted(rare, some_text()),
        range,
        any::<bool>(),
        1..7_usize,
        prop_oneof![0..1_000_usize, Just(usize::MAX)],
    )
        .prop_map(|(text, component, level, id, range, is_newest_first, limit, max_bytes)| Query {
            text,
            component,
            level,
            ids: id.map(|id| ("action_id".to_owned(), id)).into_iter().collect(),
            since: range.map(|(from, _, millis)| at(from) + SignedDuration::from_millis(millis)),
            until: range.map(|(from, seconds, _)| at(from + seconds)),
            order: if is_newest_first { Order::NewestFirst } else { Order::OldestFirst },
            limit,
            max_bytes,
            cursor: None,
            from: None,
        })
        .prop_filter("an order of times", |query| query.check().is_ok())
}

/// The slow way.
fn matches(line: &str, query: &Query) -> bool {
    let Ok(Value::Object(top)) = serde_json::from_str(line) else { return false };
    let string = |name: &str| top.get(name).and_then(Value::as_str);
    let Some(time) = string("timestamp").and_then(|time| time.parse::<Timestamp>().ok()) else {
        return false;
    };
    let level: LogLevel = string("level").unwrap().parse().unwrap();
    let says = |text: &String| {
        string("message").unwrap().contains(text) || top["fields"]["f"].as_str().unwrap().contains(text)
    };
    query.since.is_none_or(|since| time >= since)
        && query.until.is_none_or(|until| time < until)
        && query.level.is_none_or(|least| level >= least)
        && query.component.as_deref().is_none_or(|component| string("component") == Some(component))
        && query.ids.iter().all(|(name, value)| string(name) == Some(value))
        && query.text.as_ref().is_none_or(says)
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(1_000) })]

    #[test]
    fn all_pages_are_what_a_model_finds(
        lines in lines(),
        files in collection::vec(0..15_usize, 0..5),
        query in query(),
    ) {
        let dir = TempDir::new().unwrap();
        let written: Vec<String> = lines.iter().map(Line::write).collect();
        let mut rest = written.as_slice();
        for (number, most) in files.iter().copied().chain([usize::MAX]).enumerate() {
            let (some, others) = rest.split_at(most.min(rest.len()));
            rest = others;
            let text: String = some.iter().map(|line| format!("{line}\n")).collect();
            fs::write(dir.path().join(format!("app.{:08}.2026-11-21T10.jsonl", number + 1)), text).unwrap();
        }
        let mut expected: Vec<&String> = written.iter().filter(|line| matches(line, &query)).collect();
        if query.order == Order::NewestFirst {
            expected.reverse();
        }
        let mut found: Vec<String> = Vec::new();
        let mut page = Query { cursor: None, ..query };
        loop {
            let answer = search(dir.path(), "app", &page).unwrap();
            let bytes: usize = answer.hits.iter().map(|hit| hit.line.len()).sum();
            prop_assert!(bytes <= page.max_bytes || answer.hits.len() == 1);
            found.extend(answer.hits.into_iter().map(|hit| hit.line));
            page.cursor = answer.next;
            if page.cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }
}
