//! Recent traces: in a list, and one with its spans.

use std::collections::BTreeMap;

use nkudo_domain::TraceId;
use nkudo_spans::{AttributeValue, FinishedSpan};
use nkudo_traces::{CriticalPath, SlowStep, Summary, Trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::WallTime;

/// The attribute that names the program of a span, where it is not the one that answers.
const SERVICE: &str = "service.name";

/// A trace in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    pub trace_id: TraceId,
    /// The name of its root.
    pub name: String,
    pub started_at: WallTime,
    /// With what is less than a millisecond.
    pub duration_ms: f64,
    pub status: TraceStatus,
    pub error: Option<String>,
    /// How many there are.
    pub spans: u64,
    /// Null where it took no time at all.
    pub slow_step: Option<SlowStepView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceStatus {
    Ok,
    /// One of its spans failed.
    Error,
}

/// The span that a trace waited for longest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowStepView {
    pub name: String,
    pub span_id: String,
    /// How long the trace waited for it and for nothing within it.
    pub self_ms: f64,
}

/// A trace with its spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceDetailView {
    pub trace_id: TraceId,
    pub name: String,
    pub started_at: WallTime,
    pub duration_ms: f64,
    pub status: TraceStatus,
    pub error: Option<String>,
    pub slow_step: Option<SlowStepView>,
    /// In order of their start.
    pub spans: Vec<SpanView>,
    /// In order of time. Until the root ends each begins where the one before ends; then there may be times between them.
    pub critical_path: Vec<PathView>,
}

/// A step of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpanView {
    pub span_id: String,
    /// Null of a root. It may be of another program, and not among these spans.
    pub parent_id: Option<String>,
    pub name: String,
    /// The program that it is of.
    pub service: String,
    pub started_at: WallTime,
    /// Microseconds from the start of the trace, with what is less.
    pub offset_us: f64,
    pub duration_us: f64,
    pub status: TraceStatus,
    /// Texts, numbers and booleans by their names.
    pub attributes: BTreeMap<String, Value>,
    /// How long the trace waited for it and for nothing within it, in microseconds.
    pub critical_us: f64,
}

/// A time in which a trace waited for one span itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathView {
    pub span_id: String,
    /// Microseconds from the start of the trace.
    pub from_us: f64,
    pub to_us: f64,
}

impl TraceStatus {
    pub const ALL: [Self; 2] = [Self::Ok, Self::Error];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }

    fn of(failed: bool) -> Self {
        if failed { Self::Error } else { Self::Ok }
    }
}

impl From<Summary> for TraceView {
    fn from(summary: Summary) -> Self {
        let Summary { trace_id, name, start_unix_ns, duration_ns, spans, failed, error, slow_step } = summary;
        Self {
            trace_id: domain_id(trace_id),
            name,
            started_at: wall_time(start_unix_ns),
            duration_ms: millis(duration_ns),
            status: TraceStatus::of(failed),
            error,
            spans: spans as u64,
            slow_step: slow_step.map(SlowStepView::from),
        }
    }
}

impl From<SlowStep> for SlowStepView {
    fn from(SlowStep { span_id, name, self_ns }: SlowStep) -> Self {
        Self { name, span_id: span_id.to_string(), self_ms: millis(self_ns) }
    }
}

impl TraceDetailView {
    /// A trace as the program `service` tells it, whose spans name no other.
    pub fn of(trace: &Trace, service: &str) -> Self {
        let TraceView { trace_id, name, started_at, duration_ms, status, error, spans: _, slow_step } =
            Summary::of(trace).into();
        let path = CriticalPath::of(trace);
        let critical_ns: std::collections::HashMap<_, _> = path.self_times().into_iter().collect();
        let start = trace.start_unix_ns();
        let of_span = |span: &FinishedSpan| SpanView {
            span_id: span.span_id.to_string(),
            parent_id: span.parent_id.map(|id| id.to_string()),
            name: span.name.to_string(),
            service: span.attribute(SERVICE).map_or_else(|| service.to_owned(), ToString::to_string),
            started_at: wall_time(span.start_unix_ns),
            offset_us: micros(span.start_unix_ns - start),
            duration_us: micros(span.duration_ns),
            status: TraceStatus::of(span.failed),
            attributes: span.attributes.iter().map(|(name, value)| (name.to_string(), json(value))).collect(),
            critical_us: critical_ns.get(&span.span_id).copied().map_or(0.0, micros),
        };
        let critical_path = path.segments.iter().map(|segment| PathView {
            span_id: segment.span_id.to_string(),
            from_us: micros(segment.from_unix_ns - start),
            to_us: micros(segment.to_unix_ns - start),
        });
        Self {
            trace_id,
            name,
            started_at,
            duration_ms,
            status,
            error,
            slow_step,
            spans: trace.spans().iter().map(of_span).collect(),
            critical_path: critical_path.collect(),
        }
    }
}

fn domain_id(id: nkudo_spans::TraceId) -> TraceId {
    TraceId::from_bytes(id.to_bytes()).expect("an id of a span is not zero")
}

/// What is less than a millisecond is cut off.
fn wall_time(unix_ns: u64) -> WallTime {
    WallTime((unix_ns / 1_000_000).cast_signed())
}

fn millis(ns: u64) -> f64 {
    micros(ns) / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds are exact for three months")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

fn json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Text(text) => text.as_str().into(),
        AttributeValue::Integer(integer) => (*integer).into(),
        // What is not finite is no number in JSON.
        AttributeValue::Float(float) if !float.is_finite() => float.to_string().into(),
        AttributeValue::Float(float) => (*float).into(),
        AttributeValue::Bool(bool) => (*bool).into(),
    }
}

#[cfg(test)]
mod tests {
    use nkudo_spans::SpanId;
    use serde_json::json;

    use super::*;

    fn span(id: u8, parent: Option<u8>, name: &'static str, from_ns: u64, ns: u64) -> FinishedSpan {
        let span_id = |id: u8| SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, id]).unwrap();
        FinishedSpan {
            trace_id: nkudo_spans::TraceId::from_bytes([7; 16]).unwrap(),
            span_id: span_id(id),
            parent_id: parent.map(span_id),
            name: name.into(),
            target: "test".into(),
            start_unix_ns: 1_767_323_045_678_000_000 + from_ns,
            duration_ns: ns,
            failed: false,
            thread: 1,
            attributes: Vec::new(),
            dropped_attributes: 0,
        }
    }

    #[test]
    fn a_trace_is_told_with_its_spans_and_its_critical_path() {
        let root = span(1, None, "create", 0, 2_000_500);
        let mut boot = span(2, Some(1), "boot", 500_250, 1_000_000);
        boot.failed = true;
        boot.attributes = vec![
            ("error".into(), AttributeValue::Text("no kernel".to_owned())),
            ("tries".into(), AttributeValue::Integer(-3)),
            ("load".into(), AttributeValue::Float(f64::NAN)),
            ("cold".into(), AttributeValue::Bool(true)),
            ("service.name".into(), AttributeValue::Text("edge-agent".to_owned())),
        ];
        let trace = Trace::gather([root, boot]).pop().unwrap();
        let trace_id = "07070707070707070707070707070707";
        let (at, later) = ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z");
        let step = json!({"name": "create", "span_id": "0000000000000001", "self_ms": 1.0005});
        let (first, second) = ("0000000000000001", "0000000000000002");
        assert_eq!(
            serde_json::to_value(TraceView::from(Summary::of(&trace))).unwrap(),
            json!({"trace_id": trace_id, "name": "create", "started_at": at, "duration_ms": 2.0005,
                "status": "error", "error": "no kernel", "spans": 2, "slow_step": step})
        );
        assert_eq!(
            serde_json::to_value(TraceDetailView::of(&trace, "control-plane")).unwrap(),
            json!({"trace_id": trace_id, "name": "create", "started_at": at, "duration_ms": 2.0005,
            "status": "error", "error": "no kernel", "slow_step": step,
            "spans": [
                {"span_id": first, "parent_id": null, "name": "create", "service": "control-plane",
                 "started_at": at, "offset_us": 0.0, "duration_us": 2000.5, "status": "ok", "attributes": {},
                 "critical_us": 1000.5},
                {"span_id": second, "parent_id": first, "name": "boot", "service": "edge-agent",
                 "started_at": later, "offset_us": 500.25, "duration_us": 1000.0, "status": "error",
                 "attributes": {"error": "no kernel", "tries": -3, "load": "NaN", "cold": true,
                    "service.name": "edge-agent"},
                 "critical_us": 1000.0},
            ],
            "critical_path": [
                {"span_id": first, "from_us": 0.0, "to_us": 500.25},
                {"span_id": second, "from_us": 500.25, "to_us": 1500.25},
                {"span_id": first, "from_us": 1500.25, "to_us": 2000.5},
            ]})
        );
    }
}
