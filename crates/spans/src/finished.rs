//! A span that ended, as it leaves this crate.

use std::borrow::Cow;
use std::fmt;

use crate::ids::{SpanId, TraceId};

/// A span that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedSpan {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// The span around it, here or in the program that called; none at the root of a trace.
    pub parent_id: Option<SpanId>,
    pub name: Cow<'static, str>,
    /// The module that made it, as `tracing` tells it.
    pub target: Cow<'static, str>,
    /// When it began, in nanoseconds since 1970, UTC.
    pub start_unix_ns: u64,
    /// How long it was open, in nanoseconds.
    pub duration_ns: u64,
    /// Whether it has a field `error`, or an event at error level happened right in it.
    pub failed: bool,
    /// A small number of the thread that began it.
    pub thread: u32,
    /// Its fields in the order in which they were recorded; the later of one name holds.
    pub attributes: Vec<(Cow<'static, str>, AttributeValue)>,
    /// Fields that had no room.
    pub dropped_attributes: u32,
}

/// The value of a field, with the types of OpenTelemetry's attributes. An integer that does not fit is a text.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(integer) => integer.fmt(f),
            Self::Float(float) => float.fmt(f),
            Self::Bool(bool) => bool.fmt(f),
        }
    }
}

impl FinishedSpan {
    /// The value of a field.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// When it ended, in nanoseconds since 1970, UTC.
    pub fn end_unix_ns(&self) -> u64 {
        self.start_unix_ns.saturating_add(self.duration_ns)
    }
}
