//! OTLP/JSON, there and back.

use nkudo_spans::{AttributeValue, FinishedSpan};
use nkudo_traces::export::otlp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::spans::{MILLI, START, failed, span, span_id, text, trace_id, with};

fn written(resource: &[(&str, AttributeValue)], spans: &[FinishedSpan]) -> Value {
    let mut bytes = Vec::new();
    otlp::write(&mut bytes, resource, spans).expect("memory takes everything");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

/// The only span of a document.
fn only_span(spans: &[FinishedSpan]) -> Value {
    written(&[], spans)["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
}

#[test]
fn spans_are_written_by_program_and_scope() {
    let pay = FinishedSpan { target: "shop::pay".into(), ..span("pay", "order", 10, 70) };
    let pay = with(failed(pay, "refused"), "tries", AttributeValue::Integer(i64::MAX));
    let spans = [
        span("order", "", 0, 100),
        FinishedSpan { dropped_attributes: 2, ..pay },
        span("auth", "order", 0, 5),
    ];
    let trace_id = "ab000000000000000000000000000001";
    let thread = json!({"key": "thread.id", "value": {"intValue": "1"}});
    let expected = json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "replica", "value": {"intValue": "3"}},
        ]},
        "scopeSpans": [
            {"scope": {"name": "shop::orders"}, "spans": [
                {
                    "traceId": trace_id, "spanId": "6f72646572000000",
                    "name": "order", "kind": 1,
                    "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000100000000",
                    "attributes": [thread],
                },
                {
                    "traceId": trace_id, "spanId": "6175746800000000", "parentSpanId": "6f72646572000000",
                    "name": "auth", "kind": 1,
                    "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000005000000",
                    "attributes": [thread],
                },
            ]},
            {"scope": {"name": "shop::pay"}, "spans": [
                {
                    "traceId": trace_id, "spanId": "7061790000000000", "parentSpanId": "6f72646572000000",
                    "name": "pay", "kind": 1,
                    "startTimeUnixNano": "1700000000010000000", "endTimeUnixNano": "1700000000070000000",
                    "attributes": [
                        {"key": "error", "value": {"stringValue": "refused"}},
                        {"key": "tries", "value": {"intValue": "9223372036854775807"}},
                        thread,
                    ],
                    "droppedAttributesCount": 2,
                    "status": {"code": 2, "message": "refused"},
                },
            ]},
        ],
    }]});
    let resource = [("service.name", text("shop")), ("replica", AttributeValue::Integer(3))];
    assert_eq!(written(&resource, &spans), expected);
}

#[test]
fn spans_that_name_another_program_come_from_that() {
    let of = |service: &str, name: &str| with(span(name, "", 0, 1), "service.name", text(service));
    let number = with(span("number", "", 0, 1), "service.name", AttributeValue::Integer(5));
    let spans = [
        of("bank", "pay"),
        span("order", "", 0, 1),
        of("shop", "auth"),
        of("post", "mail"),
        of("bank", "fee"),
        number,
    ];
    let document =
        written(&[("service.name", text("shop")), ("replica", AttributeValue::Integer(3))], &spans);
    let programs = document["resourceSpans"].as_array().expect("it is a list").iter().map(|program| {
        let resource = program["resource"]["attributes"].as_array().expect("it is a list");
        let spans = program["scopeSpans"][0]["spans"].as_array().expect("it is a list");
        let names: Vec<_> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
        (resource[0]["value"]["stringValue"].as_str().expect("it is a text"), resource.len(), names)
    });
    let programs: Vec<_> = programs.collect();
    assert_eq!(
        programs,
        [
            ("shop", 2, vec!["order", "auth", "number"]),
            ("bank", 1, vec!["pay", "fee"]),
            ("post", 1, vec!["mail"]),
        ]
    );
}

/// A kind is written as this number, and its attribute is or is not written besides.
#[track_caller]
fn check_kind(kind: AttributeValue, number: u64, is_written: bool) {
    let span = only_span(&[with(span("a", "", 0, 1), "otel.kind", kind)]);
    assert_eq!(span["kind"], number);
    let attributes = span["attributes"].as_array().expect("it is a list");
    assert_eq!(attributes.iter().any(|attribute| attribute["key"] == "otel.kind"), is_written);
}

#[test]
fn kinds_are_numbers() {
    for (kind, number) in [("internal", 1), ("server", 2), ("client", 3), ("producer", 4), ("consumer", 5)] {
        check_kind(text(kind), number, false);
        check_kind(text(&kind.to_uppercase()), number, false);
    }
    check_kind(text("other"), 1, true);
    check_kind(AttributeValue::Integer(2), 1, true);
}

#[test]
fn of_an_attribute_that_comes_twice_the_later_is_written() {
    let twice = with(with(span("a", "", 0, 1), "try", text("first")), "try", text("second"));
    let expected = json!([
        {"key": "try", "value": {"stringValue": "second"}},
        {"key": "thread.id", "value": {"intValue": "1"}},
    ]);
    assert_eq!(only_span(&[twice])["attributes"], expected);
}

#[test]
fn floats_that_json_has_no_number_for_are_words() {
    for (float, expected) in [
        (0.5, json!(0.5)),
        (f64::NAN, json!("NaN")),
        (f64::INFINITY, json!("Infinity")),
        (f64::NEG_INFINITY, json!("-Infinity")),
    ] {
        let span = with(span("a", "", 0, 1), "load", AttributeValue::Float(float));
        assert_eq!(only_span(std::slice::from_ref(&span))["attributes"][0]["value"]["doubleValue"], expected);
        let mut bytes = Vec::new();
        otlp::write(&mut bytes, &[], &[span]).expect("memory takes everything");
        let back = otlp::read(&bytes).expect("it was written");
        let Some(AttributeValue::Float(back)) = back[0].spans[0].attribute("load") else { panic!("a float") };
        assert_eq!(back.to_bits(), float.to_bits());
    }
}

#[test]
fn nothing_is_a_document_too() {
    assert_eq!(
        written(&[], &[]),
        json!({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": []}]})
    );
}

#[test]
fn a_writer_that_fails_is_told() {
    let mut short = [0; 16];
    let error = otlp::write(&mut short[..], &[], &[span("a", "", 0, 1)]).expect_err("it does not fit");
    assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
}

/// Shaped as the example of the protocol's repository: ids in capital letters, a scope with version and attributes, a
/// parent elsewhere; and what a collector may add.
#[test]
fn what_other_programs_write_is_read() {
    let document = json!({
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "gate"}}],
                    "droppedAttributesCount": 1,
                },
                "scopeSpans": [{
                    "scope": {
                        "name": "lib.http", "version": "1.0.0",
                        "attributes": [{"key": "a", "value": {"stringValue": "b"}}],
                    },
                    "spans": [{
                        "traceId": "AB000000000000000000000000000001",
                        "spanId": "6F72646572000000",
                        "parentSpanId": "6C6F737400000000",
                        "traceState": "x=1", "flags": 256,
                        "name": "GET /",
                        "startTimeUnixNano": "1700000000000000000",
                        "endTimeUnixNano": 1_700_000_000_005_000_000_u64,
                        "kind": 2,
                        "attributes": [
                            {"key": "port", "value": {"intValue": 80}},
                            {"key": "rate", "value": {"doubleValue": 3}},
                            {"key": "on", "value": {"boolValue": false}},
                            {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
                            {"key": "map", "value": {"kvlistValue": {"values": []}}},
                            {"key": "raw", "value": {"bytesValue": "aGk="}},
                            {"key": "empty", "value": {}},
                            {"key": "none"},
                        ],
                        "events": [{"name": "retry", "timeUnixNano": "1"}],
                        "links": [],
                        "status": {"code": 2, "message": "bad gateway"},
                        "unknownToUs": {"nested": [1, 2]},
                    }],
                    "schemaUrl": "https://example.org/schema",
                }],
            },
            {"scopeSpans": [{"spans": [{
                "traceId": "ab000000000000000000000000000001", "spanId": "7061790000000000", "parentSpanId": "",
                "startTimeUnixNano": "20", "endTimeUnixNano": "10", "status": {}, "kind": 99,
            }]}]},
            {"resource": null, "scopeSpans": null},
        ],
        "another": true,
    });
    let all = otlp::read(document.to_string().as_bytes()).expect("it is OTLP");
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].resource, [("service.name".to_owned(), text("gate"))]);
    let attributes = [
        ("port", AttributeValue::Integer(80)),
        ("rate", AttributeValue::Float(3.0)),
        ("on", AttributeValue::Bool(false)),
        ("list", text(r#"{"values":[{"intValue":"1"}]}"#)),
        ("map", text(r#"{"values":[]}"#)),
        ("raw", text("aGk=")),
        ("empty", text("")),
        ("none", text("")),
        ("otel.kind", text("server")),
        ("error", text("bad gateway")),
    ];
    let expected = FinishedSpan {
        name: "GET /".into(),
        target: "lib.http".into(),
        duration_ns: 5 * MILLI,
        failed: true,
        thread: 0,
        attributes: attributes.map(|(name, value)| (name.into(), value)).to_vec(),
        ..span("order", "lost", 0, 0)
    };
    assert_eq!(all[0].spans, [expected]);
    let [short] = &all[1].spans[..] else { panic!("one span") };
    assert_eq!((short.parent_id, short.span_id, short.trace_id), (None, span_id("pay"), trace_id(1)));
    assert_eq!((short.start_unix_ns, short.duration_ns, short.failed), (20, 0, false));
    assert_eq!(short.attributes, []);
    assert!(all[2].resource.is_empty() && all[2].spans.is_empty());
}

/// A span with this member is refused with this text.
#[track_caller]
fn check_refused(name: &str, value: Value, expected: &str) {
    let mut span = json!({
        "traceId": "ab000000000000000000000000000001", "spanId": "6f72646572000000",
        "startTimeUnixNano": "1", "endTimeUnixNano": "2",
    });
    span[name] = value;
    let document = json!({"resourceSpans": [{}, {"scopeSpans": [{"spans": [span]}]}]});
    let error = otlp::read(document.to_string().as_bytes()).expect_err(expected);
    assert_eq!(error.to_string(), format!("resourceSpans[1].scopeSpans[0].spans[0].{expected}"));
}

#[test]
fn values_that_are_none_are_named_with_what_is_expected() {
    let digits = "hexadecimal digits, not all zero is expected";
    let zeros = "00000000000000000000000000000000";
    for id in ["", "ab", zeros, "ab00000000000000000000000000000g", "\u{e4}b0000000000000000000000000001"] {
        check_refused("traceId", json!(id), &format!("traceId is {id:?}: 32 {digits}"));
    }
    check_refused(
        "spanId",
        json!("0000000000000000"),
        &format!("spanId is \"0000000000000000\": 16 {digits}"),
    );
    check_refused("parentSpanId", json!("x"), &format!("parentSpanId is \"x\": 16 {digits}"));
    for (value, found) in [(json!("soon"), "soon"), (json!(-1), "-1"), (json!(1.5), "1.5"), (json!([]), "[]")]
    {
        let expected = format!("startTimeUnixNano is {found:?}: an integer in range is expected");
        check_refused("startTimeUnixNano", value, &expected);
    }
    let past = "18446744073709551616";
    let expected = format!("endTimeUnixNano is {past:?}: an integer in range is expected");
    check_refused("endTimeUnixNano", json!(past), &expected);
    check_refused(
        "droppedAttributesCount",
        json!(4_294_967_296_u64),
        "droppedAttributesCount is \"4294967296\": an integer in range is expected",
    );
    check_refused(
        "attributes",
        json!([{"key": "port", "value": {"intValue": "80.5"}}]),
        "attributes[\"port\"] is \"80.5\": an integer in range is expected",
    );
    check_refused(
        "attributes",
        json!([{"key": "load", "value": {"doubleValue": "much"}}]),
        "attributes[\"load\"] is \"much\": a number is expected",
    );
}

#[test]
fn what_is_no_otlp_is_refused() {
    for document in [
        "",
        "null",
        "[]",
        "{}",
        "{\"resourceSpans\": {}}",
        "{\"resourceSpans\": [1]}",
        "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{\"name\": 5}]}]}]}",
        "{\"resourceSpans\": []} {}",
        "{\"resourceSpans\": [",
        "{\"resourceLogs\": []}",
        "\u{feff}{\"resourceSpans\": []}",
    ] {
        let error = otlp::read(document.as_bytes()).expect_err(document);
        let expected = "this is no OTLP/JSON: an object with `resourceSpans` is expected";
        assert_eq!(error.to_string(), expected, "{document}");
        assert!(std::error::Error::source(&error).is_some(), "{document}");
    }
    let deep = format!("{{\"resourceSpans\": {}", "[".repeat(1_000_000));
    assert!(otlp::read(deep.as_bytes()).is_err());
    assert!(otlp::read(b"{\"resourceSpans\": [\xff]}").is_err());
}

fn values() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        any::<String>().prop_map(AttributeValue::Text),
        any::<i64>().prop_map(AttributeValue::Integer),
        // A NaN would not equal itself.
        any::<f64>().prop_filter("a number", |float| !float.is_nan()).prop_map(AttributeValue::Float),
        any::<bool>().prop_map(AttributeValue::Bool),
    ]
}

/// Spans that OTLP can hold: attributes come once, and no end is past the end of time.
fn spans() -> impl Strategy<Value = FinishedSpan> {
    let texts = (any::<String>(), "[a-c]");
    let numbers = (0..START, 0..START, any::<u32>(), any::<u32>());
    let attributes = proptest::collection::btree_map("[a-z.]{1,6}", values(), 0..5);
    (texts, numbers, attributes, any::<bool>(), any::<bool>()).prop_map(
        |((name, target), (start, duration, thread, dropped), attributes, failed, is_root)| FinishedSpan {
            name: name.into(),
            target: target.into(),
            start_unix_ns: start,
            duration_ns: duration,
            thread,
            failed,
            dropped_attributes: dropped,
            attributes: attributes.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            ..span("a", if is_root { "" } else { "b" }, 0, 0)
        },
    )
}

proptest! {
    #[test]
    fn spans_come_back(spans in proptest::collection::vec(spans(), 0..6), value in values()) {
        let mut bytes = Vec::new();
        otlp::write(&mut bytes, &[("service.name", value.clone())], &spans).expect("memory takes everything");
        let [back] = otlp::read(&bytes).expect("it was written").try_into().expect("it is of one program");
        prop_assert_eq!(back.resource, [("service.name".to_owned(), value)]);
        // Scopes come in the order of their first spans.
        let mut targets: Vec<_> = spans.iter().map(|span| span.target.clone()).collect();
        let mut seen = std::collections::HashSet::new();
        targets.retain(|target| seen.insert(target.clone()));
        let mut expected = spans;
        expected.sort_by_key(|span| targets.iter().position(|target| *target == span.target));
        prop_assert_eq!(back.spans, expected);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, spans in proptest::collection::vec(spans(), 1..3), at: usize) {
        drop(otlp::read(&bytes));
        let mut bytes = Vec::new();
        otlp::write(&mut bytes, &[], &spans).expect("memory takes everything");
        let at = at % bytes.len();
        bytes[at] ^= 0x11;
        drop(otlp::read(&bytes));
        bytes.truncate(at);
        prop_assert!(otlp::read(&bytes).is_err());
    }
}
