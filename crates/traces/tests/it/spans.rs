//! Spans to test with. A name of at most eight bytes is the span's id too.

use std::borrow::Cow;

use nkudo_spans::{AttributeValue, FinishedSpan, SpanId, TraceId};
use nkudo_traces::Trace;

/// When every test begins, in nanoseconds since 1970.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;
pub(crate) const MILLI: u64 = 1_000_000;

pub(crate) fn trace_id(number: u64) -> TraceId {
    let mut bytes = [0; 16];
    bytes[0] = 0xab;
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(bytes).expect("it is not zero")
}

pub(crate) fn span_id(name: &str) -> SpanId {
    let mut bytes = [0; 8];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    SpanId::from_bytes(bytes).expect("a name is not empty")
}

/// A span of trace 1 with its name, that of its parent (or nothing), and its start and end in milliseconds.
pub(crate) fn span(name: &str, parent: &str, from_ms: u64, to_ms: u64) -> FinishedSpan {
    FinishedSpan {
        trace_id: trace_id(1),
        span_id: span_id(name),
        parent_id: (!parent.is_empty()).then(|| span_id(parent)),
        name: Cow::Owned(name.to_owned()),
        target: Cow::Borrowed("shop::orders"),
        start_unix_ns: START + from_ms * MILLI,
        duration_ns: (to_ms - from_ms) * MILLI,
        failed: false,
        thread: 1,
        attributes: Vec::new(),
        dropped_attributes: 0,
    }
}

/// The same span in another trace.
pub(crate) fn of_trace(number: u64, span: FinishedSpan) -> FinishedSpan {
    FinishedSpan { trace_id: trace_id(number), ..span }
}

pub(crate) fn with(mut span: FinishedSpan, name: &str, value: AttributeValue) -> FinishedSpan {
    span.attributes.push((Cow::Owned(name.to_owned()), value));
    span
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::Text(value.to_owned())
}

pub(crate) fn failed(span: FinishedSpan, error: &str) -> FinishedSpan {
    FinishedSpan { failed: true, ..with(span, "error", text(error)) }
}

/// The only trace that these spans are of.
pub(crate) fn trace(spans: impl IntoIterator<Item = FinishedSpan>) -> Trace {
    let [trace] = Trace::gather(spans).try_into().expect("spans of one trace");
    trace
}
