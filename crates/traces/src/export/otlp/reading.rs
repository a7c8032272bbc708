//! Reading OTLP/JSON. Keys that are not known are passed over, as the specification asks.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use nkudo_spans::{AttributeValue, FinishedSpan, TraceId};
use serde::Deserialize;
use serde_json::Value;

use super::{ERROR, KIND, KINDS, STATUS_ERROR, THREAD};
use crate::error::OtlpError;

const INTEGER: &str = "an integer in range";

/// The spans of one program.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSpans {
    /// What they come from.
    pub resource: Vec<(String, AttributeValue)>,
    pub spans: Vec<FinishedSpan>,
}

/// Reads what [`write`](super::write) or any other program wrote. How long it may be is the caller's to decide.
///
/// What our spans cannot hold is fitted: arrays, maps and bytes become text, a span that ends before it begins takes no
/// time; events and links are left out.
///
/// # Errors
/// When it is no OTLP/JSON of traces, or an id or a number in it is none. Nothing is taken then.
pub fn read(json: &[u8]) -> Result<Vec<ResourceSpans>, OtlpError> {
    let document: DocumentIn = serde_json::from_slice(json)?;
    let mut all = Vec::new();
    for (at, resource_in) in document.resource_spans.into_iter().enumerate() {
        let ResourceIn { resource, scope_spans } = resource_in;
        let at = format!("resourceSpans[{at}]");
        let attributes = resource.unwrap_or_default().attributes.unwrap_or_default().into_iter();
        let resource = attributes
            .map(|attribute| {
                let value = value(&attribute, &format!("{at}.resource"))?;
                Ok((attribute.key, value))
            })
            .collect::<Result<_, OtlpError>>()?;
        let mut spans = Vec::new();
        for (scope_at, ScopeIn { scope, spans: in_scope }) in
            scope_spans.unwrap_or_default().into_iter().enumerate()
        {
            let target = scope.unwrap_or_default().name.unwrap_or_default();
            for (span_at, span_in) in in_scope.unwrap_or_default().into_iter().enumerate() {
                spans.push(span(span_in, &target, &format!("{at}.scopeSpans[{scope_at}].spans[{span_at}]"))?);
            }
        }
        all.push(ResourceSpans { resource, spans });
    }
    Ok(all)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentIn {
    resource_spans: Vec<ResourceIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceIn {
    resource: Option<AttributesIn>,
    scope_spans: Option<Vec<ScopeIn>>,
}

#[derive(Deserialize, Default)]
struct AttributesIn {
    attributes: Option<Vec<KeyValueIn>>,
}

#[derive(Deserialize)]
struct ScopeIn {
    scope: Option<NameIn>,
    spans: Option<Vec<SpanIn>>,
}

#[derive(Deserialize, Default)]
struct NameIn {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpanIn {
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    span_id: String,
    parent_span_id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    start_time_unix_nano: Value,
    #[serde(default)]
    end_time_unix_nano: Value,
    attributes: Option<Vec<KeyValueIn>>,
    #[serde(default)]
    dropped_attributes_count: Value,
    status: Option<StatusIn>,
}

#[derive(Deserialize, Default)]
struct StatusIn {
    #[serde(default)]
    code: Value,
    message: Option<String>,
}

#[derive(Deserialize)]
struct KeyValueIn {
    key: String,
    value: Option<ValueIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueIn {
    string_value: Option<String>,
    int_value: Option<Value>,
    double_value: Option<Value>,
    bool_value: Option<bool>,
    array_value: Option<Value>,
    kvlist_value: Option<Value>,
    bytes_value: Option<String>,
}

fn span(from: SpanIn, target: &str, at: &str) -> Result<FinishedSpan, OtlpError> {
    let trace_id: TraceId =
        id(&from.trace_id, &format!("{at}.traceId"), "32 hexadecimal digits, not all zero")?;
    let expected = "16 hexadecimal digits, not all zero";
    let span_id = id(&from.span_id, &format!("{at}.spanId"), expected)?;
    // A root has none, an empty one, or zeros.
    let parent_id = from.parent_span_id.filter(|id| !id.bytes().all(|digit| digit == b'0'));
    let parent_id =
        parent_id.map(|parent| id(&parent, &format!("{at}.parentSpanId"), expected)).transpose()?;
    let start_unix_ns: u64 =
        number(&from.start_time_unix_nano, || format!("{at}.startTimeUnixNano"), INTEGER)?;
    let end_unix_ns: u64 = number(&from.end_time_unix_nano, || format!("{at}.endTimeUnixNano"), INTEGER)?;
    let dropped_attributes =
        number(&from.dropped_attributes_count, || format!("{at}.droppedAttributesCount"), INTEGER)?;
    let mut span = FinishedSpan {
        trace_id,
        span_id,
        parent_id,
        name: Cow::Owned(from.name.unwrap_or_default()),
        target: Cow::Owned(target.to_owned()),
        start_unix_ns,
        duration_ns: end_unix_ns.saturating_sub(start_unix_ns),
        failed: false,
        thread: 0,
        attributes: Vec::new(),
        dropped_attributes,
    };
    for attribute in from.attributes.unwrap_or_default() {
        let value = value(&attribute, at)?;
        match value {
            AttributeValue::Integer(thread) if attribute.key == THREAD && u32::try_from(thread).is_ok() => {
                span.thread = u32::try_from(thread).unwrap_or_default();
            }
            value => span.attributes.push((Cow::Owned(attribute.key), value)),
        }
    }
    let kind = from.kind.as_u64().and_then(|kind| usize::try_from(kind).ok());
    // Internal is what every span is.
    if let Some(kind) = kind.filter(|kind| *kind > 1).and_then(|kind| KINDS.get(kind - 1)) {
        span.attributes.push((Cow::Borrowed(KIND), AttributeValue::Text((*kind).to_owned())));
    }
    let status = from.status.unwrap_or_default();
    span.failed = status.code.as_u64() == Some(STATUS_ERROR);
    if let Some(message) = status.message.filter(|message| span.failed && !message.is_empty())
        && span.attribute(ERROR).is_none()
    {
        span.attributes.push((Cow::Borrowed(ERROR), AttributeValue::Text(message)));
    }
    Ok(span)
}

/// Readers take capital letters too.
fn id<T: FromStr>(text: &str, at: &str, expected: &'static str) -> Result<T, OtlpError> {
    let wrong = |_| OtlpError::Value { at: at.to_owned(), found: text.to_owned(), expected };
    text.to_ascii_lowercase().parse().map_err(wrong)
}

/// A number, or one in a string as 64-bit integers are; nothing is zero.
fn number<T>(from: &Value, at: impl Fn() -> String, expected: &'static str) -> Result<T, OtlpError>
where
    T: FromStr + Default,
    T::Err: Display,
{
    let text = match from {
        Value::Null => return Ok(T::default()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse().map_err(|_| OtlpError::Value { at: at(), found: text, expected })
}

fn value(attribute: &KeyValueIn, at: &str) -> Result<AttributeValue, OtlpError> {
    let Some(value) = &attribute.value else { return Ok(AttributeValue::Text(String::new())) };
    let ValueIn { string_value, int_value, double_value, bool_value, array_value, kvlist_value, bytes_value } =
        value;
    let at = || format!("{at}.attributes[{:?}]", attribute.key);
    Ok(if let Some(integer) = int_value {
        AttributeValue::Integer(number(integer, at, INTEGER)?)
    } else if let Some(double) = double_value {
        // Rust reads "NaN" and "Infinity" as JSON's mapping writes them.
        AttributeValue::Float(number(double, at, "a number")?)
    } else if let Some(bool) = bool_value {
        AttributeValue::Bool(*bool)
    } else if let Some(nested) = array_value.as_ref().or(kvlist_value.as_ref()) {
        AttributeValue::Text(nested.to_string())
    } else {
        let text = string_value.as_ref().or(bytes_value.as_ref());
        AttributeValue::Text(text.cloned().unwrap_or_default())
    })
}
