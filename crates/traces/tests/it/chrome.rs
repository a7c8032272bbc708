//! Chrome's trace events.

use std::collections::BTreeMap;

use nkudo_spans::{AttributeValue, FinishedSpan, SpanId};
use nkudo_traces::export::chrome;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::spans::{failed, span, text, with};

fn written(spans: &[FinishedSpan]) -> Value {
    let mut bytes = Vec::new();
    chrome::write(&mut bytes, "shop", spans).expect("memory takes everything");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

#[test]
fn spans_are_complete_events_on_named_tracks() {
    let pay = with(failed(span("pay", "order", 10, 70), "refused"), "load", AttributeValue::Float(f64::NAN));
    let bank = with(span("bank", "pay", 20, 60), "service.name", text("bank"));
    let spans = [
        span("order", "", 0, 100),
        span("auth", "order", 0, 10),
        pay,
        span("stock", "order", 50, 95),
        FinishedSpan { thread: 7, ..bank },
    ];
    let args = |name: &str, thread: u32| {
        let span_id = crate::spans::span_id(name).to_string();
        json!({"trace_id": "ab000000000000000000000000000001", "span_id": span_id, "thread": thread})
    };
    let complete = |name: &str, ts: f64, dur: f64, (pid, tid): (u64, u64), more: Value| {
        let mut args = args(name, if name == "bank" { 7 } else { 1 });
        let more = more.as_object().expect("it is an object").clone();
        args.as_object_mut().expect("it is an object").extend(more);
        json!({
            "ph": "X", "name": name, "cat": "shop::orders", "ts": ts, "dur": dur, "pid": pid, "tid": tid, "args": args,
        })
    };
    let named = |what: &str, pid: u64, tid: u64, name: &str| json!({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}});
    let expected = json!({"displayTimeUnit": "ms", "traceEvents": [
        named("process_name", 1, 0, "shop"),
        named("thread_name", 1, 1, "track 1"),
        named("thread_name", 1, 2, "track 2"),
        named("process_name", 2, 0, "bank"),
        named("thread_name", 2, 1, "track 1"),
        complete("order", 0.0, 100_000.0, (1, 1), json!({})),
        complete("auth", 0.0, 10_000.0, (1, 1), json!({})),
        complete("pay", 10_000.0, 60_000.0, (1, 1), json!({"failed": true, "error": "refused", "load": "NaN"})),
        complete("stock", 50_000.0, 45_000.0, (1, 2), json!({})),
        complete("bank", 20_000.0, 40_000.0, (2, 1), json!({"service.name": "bank"})),
    ]});
    assert_eq!(written(&spans), expected);
}

#[test]
fn nanoseconds_are_kept() {
    let odd = FinishedSpan {
        start_unix_ns: 1_700_000_000_123_456_789,
        duration_ns: 1_234_567,
        ..span("b", "", 0, 0)
    };
    let first = FinishedSpan { start_unix_ns: 1_700_000_000_000_000_000, ..odd.clone() };
    let events = written(&[odd, first]);
    let events = events["traceEvents"].as_array().expect("it is a list");
    let odd = events.iter().find(|event| event["ts"] != 0.0 && event["ph"] == "X").expect("it is there");
    assert_eq!((&odd["ts"], &odd["dur"]), (&json!(123_456.789), &json!(1_234.567)));
}

#[test]
fn nothing_is_a_document_too() {
    assert_eq!(written(&[]), json!({"displayTimeUnit": "ms", "traceEvents": []}));
}

#[test]
fn a_writer_that_fails_is_told() {
    let mut short = [0; 16];
    let error = chrome::write(&mut short[..], "shop", &[span("a", "", 0, 1)]).expect_err("it does not fit");
    assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
}

/// Spans that hang below each other anyhow, in two programs.
fn spans() -> impl Strategy<Value = Vec<FinishedSpan>> {
    let one = (0..30_u64, 0..100_u64, 0..60_u64, any::<bool>());
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        let id = |at: u64| SpanId::from_bytes((at + 1).to_be_bytes()).expect("it is not zero");
        let place = |(at, (parent, from, length, is_far)): (usize, &(u64, u64, u64, bool))| {
            let span = FinishedSpan {
                span_id: id(at as u64),
                parent_id: (at > 0).then(|| id(*parent)),
                ..span("s", "", *from, from + length)
            };
            if *is_far { with(span, "service.name", text("far")) } else { span }
        };
        all.iter().enumerate().map(place).collect()
    })
}

proptest! {
    /// Viewers draw what overlaps on one track wrongly.
    #[test]
    fn events_of_a_track_lie_within_or_after_each_other(spans in spans()) {
        let document = written(&spans);
        let events = document["traceEvents"].as_array().expect("it is a list");
        let mut tracks: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
        let mut named = Vec::new();
        for event in events {
            let number = |name: &str| event[name].as_u64().expect("it is a number");
            let track = (number("pid"), number("tid"));
            if event["ph"] == "X" {
                let micros = |name: &str| event[name].as_f64().expect("it is a number");
                let (from, length) = (micros("ts"), micros("dur"));
                tracks.entry(track).or_default().push((from, from + length));
            } else if event["name"] == "thread_name" {
                named.push(track);
            }
        }
        prop_assert_eq!(tracks.values().map(Vec::len).sum::<usize>(), spans.len());
        prop_assert!(tracks.keys().eq(named.iter()), "every track has a name");
        for track in tracks.values() {
            for (at, (from, to)) in track.iter().enumerate() {
                for (other_from, other_to) in &track[at + 1..] {
                    let apart = to <= other_from || other_to <= from;
                    let within = (from <= other_from && other_to <= to) || (other_from <= from && to <= other_to);
                    prop_assert!(apart || within, "{track:?}");
                }
            }
        }
    }
}
