//! OTLP/JSON: the form in which collectors take traces, and in which programs send spans to each other.
//!
//! After the [OTLP specification](https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): the JSON mapping of
//! proto3, but that ids are lower-case hexadecimal and enumerations are numbers; integers of 64 bits are decimal strings.
//!
//! A span's target is the name of its scope, its thread the attribute `thread.id`. Its kind comes from the attribute
//! `otel.kind` (client, server, producer, consumer or internal), which is not written besides; without it, it is internal.

mod reading;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use nkudo_spans::{AttributeValue, FinishedSpan};
use serde::{Serialize, Serializer};

pub use self::reading::{ResourceSpans, read};
use super::SERVICE;

/// The attribute that tells the kind of a span.
pub(crate) const KIND: &str = "otel.kind";
const THREAD: &str = "thread.id";
const ERROR: &str = "error";
/// Kinds by their numbers in OTLP, from 1 on.
const KINDS: [&str; 5] = ["internal", "server", "client", "producer", "consumer"];
const STATUS_ERROR: u64 = 2;

/// Writes spans as one `ExportTraceServiceRequest`, span by span. `resource` tells what they come from: `service.name`,
/// `service.version`, `deployment.environment.name`. Spans whose attribute `service.name` names another program come from
/// that, of which no more is known.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl Write, resource: &[(&str, AttributeValue)], spans: &[FinishedSpan]) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &Document { resource_spans: by_service(resource, spans) })?;
    out.flush()
}

/// The spans of each program: those of `resource` first, the others in the order of their first spans.
fn by_service<'s>(resource: &'s [(&str, AttributeValue)], spans: &'s [FinishedSpan]) -> Vec<ResourceOut<'s>> {
    let attributes = resource.iter().map(|(name, value)| KeyValue::of(name, value)).collect();
    let mut programs = vec![ResourceOut { resource: Attributes { attributes }, scope_spans: Vec::new() }];
    let own = resource.iter().find(|(name, _)| *name == SERVICE).map(|(_, value)| value.to_string());
    let mut places = HashMap::new();
    let mut of_program: Vec<Vec<&FinishedSpan>> = vec![Vec::new()];
    for span in spans {
        let place = match super::service(span).filter(|service| own.as_deref() != Some(service)) {
            None => 0,
            Some(service) => *places.entry(service).or_insert_with(|| {
                let attributes = vec![KeyValue { key: SERVICE, value: ValueOut::Text(service) }];
                programs.push(ResourceOut { resource: Attributes { attributes }, scope_spans: Vec::new() });
                of_program.push(Vec::new());
                of_program.len() - 1
            }),
        };
        of_program[place].push(span);
    }
    for (program, spans) in programs.iter_mut().zip(of_program) {
        program.scope_spans = by_target(spans);
    }
    programs
}

/// The spans of each target, which come in the order of their first spans.
fn by_target(spans: Vec<&FinishedSpan>) -> Vec<ScopeOut<'_>> {
    let mut scopes: Vec<ScopeOut<'_>> = Vec::new();
    let mut places = HashMap::new();
    for span in spans {
        let place = *places.entry(&*span.target).or_insert_with(|| {
            scopes.push(ScopeOut { scope: Scope { name: &span.target }, spans: Spans(Vec::new()) });
            scopes.len() - 1
        });
        scopes[place].spans.0.push(span);
    }
    scopes
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'s> {
    resource_spans: Vec<ResourceOut<'s>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceOut<'s> {
    resource: Attributes<'s>,
    scope_spans: Vec<ScopeOut<'s>>,
}

#[derive(Serialize)]
struct Attributes<'s> {
    attributes: Vec<KeyValue<'s>>,
}

#[derive(Serialize)]
struct ScopeOut<'s> {
    scope: Scope<'s>,
    spans: Spans<'s>,
}

#[derive(Serialize)]
struct Scope<'s> {
    name: &'s str,
}

/// Spans that are converted one after the other.
struct Spans<'s>(Vec<&'s FinishedSpan>);

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|span| SpanOut::of(span)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanOut<'s> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'s str,
    kind: usize,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'s>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusOut>,
}

#[derive(Serialize)]
struct StatusOut {
    code: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct KeyValue<'s> {
    key: &'s str,
    value: ValueOut<'s>,
}

#[derive(Serialize)]
enum ValueOut<'s> {
    #[serde(rename = "stringValue")]
    Text(&'s str),
    #[serde(rename = "intValue")]
    Integer(String),
    #[serde(rename = "doubleValue")]
    Float(Double),
    #[serde(rename = "boolValue")]
    Bool(bool),
}

/// JSON has no number for what is not finite.
#[derive(Serialize)]
#[serde(untagged)]
enum Double {
    Finite(f64),
    Other(&'static str),
}

impl<'s> SpanOut<'s> {
    fn of(span: &'s FinishedSpan) -> SpanOut<'s> {
        let FinishedSpan {
            trace_id,
            span_id,
            parent_id,
            name,
            target: _,
            start_unix_ns,
            duration_ns: _,
            failed,
            thread,
            attributes,
            dropped_attributes,
        } = span;
        let kind = kind(span);
        // Keys are unique in OTLP.
        let holds = |at: usize, name: &str| !attributes[at + 1..].iter().any(|(later, _)| later == name);
        let is_told = |name: &str| name == KIND && kind.is_some();
        let mut told: Vec<KeyValue<'_>> = attributes
            .iter()
            .enumerate()
            .filter(|(at, (name, _))| holds(*at, name) && !is_told(name))
            .map(|(_, (name, value))| KeyValue::of(name, value))
            .collect();
        if span.attribute(THREAD).is_none() {
            told.push(KeyValue { key: THREAD, value: ValueOut::Integer(thread.to_string()) });
        }
        let message = || span.attribute(ERROR).map(ToString::to_string);
        SpanOut {
            trace_id: trace_id.to_string(),
            span_id: span_id.to_string(),
            parent_span_id: parent_id.map(|id| id.to_string()),
            name,
            kind: kind.unwrap_or(1),
            start_time_unix_nano: start_unix_ns.to_string(),
            end_time_unix_nano: span.end_unix_ns().to_string(),
            attributes: told,
            dropped_attributes_count: *dropped_attributes,
            status: failed.then(|| StatusOut { code: STATUS_ERROR, message: message() }),
        }
    }
}

/// The number of the kind that a span has by its attribute.
fn kind(span: &FinishedSpan) -> Option<usize> {
    let AttributeValue::Text(kind) = span.attribute(KIND)? else { return None };
    KINDS.iter().position(|known| known.eq_ignore_ascii_case(kind)).map(|at| at + 1)
}

impl<'s> KeyValue<'s> {
    fn of(key: &'s str, value: &'s AttributeValue) -> KeyValue<'s> {
        let value = match value {
            AttributeValue::Text(text) => ValueOut::Text(text),
            AttributeValue::Integer(integer) => ValueOut::Integer(integer.to_string()),
            AttributeValue::Float(float) => ValueOut::Float(Double::of(*float)),
            AttributeValue::Bool(bool) => ValueOut::Bool(*bool),
        };
        KeyValue { key, value }
    }
}

impl Double {
    fn of(float: f64) -> Double {
        match float {
            f64::INFINITY => Double::Other("Infinity"),
            f64::NEG_INFINITY => Double::Other("-Infinity"),
            _ if float.is_nan() => Double::Other("NaN"),
            _ => Double::Finite(float),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
