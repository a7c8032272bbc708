//! What all lines of a call site have in common, made once.

use tracing::Metadata;

use crate::escape::json_text;
use crate::level::LogLevel;
use crate::repeats::CallSite;

/// What stands at the top of every line, apart from the context fields.
pub(crate) const TOP_LEVEL: [&str; 7] =
    ["timestamp", "level", "component", "message", "fields", "trace_id", "span_id"];

/// What stands before the message, and between the message and the first field.
pub(crate) const MESSAGE: &[u8] = b",\"message\":";
pub(crate) const FIELDS: &[u8] = b",\"fields\":{";

/// A call site's part of its lines.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) level: LogLevel,
    /// By which repeats are limited.
    pub(crate) key: CallSite,
    /// The component of its target.
    pub(crate) component: String,
    /// From the end of the timestamp to where the component's value begins.
    pub(crate) head: Vec<u8>,
    /// From the end of the timestamp to where the message begins, with the component of the target.
    pub(crate) opening: Vec<u8>,
    /// `,"name":` of each field, by its index.
    pub(crate) keys: Vec<Vec<u8>>,
    /// The same for a field that comes first: what is between the message and its value.
    pub(crate) first_keys: Vec<Vec<u8>>,
    /// Which field is the message.
    pub(crate) message: Option<usize>,
    /// Whether its JSON can be written as its fields come: none belongs to the top of the line or comes twice.
    pub(crate) is_direct: bool,
}

impl Site {
    pub(crate) fn new(
        metadata: &'static Metadata<'static>,
        component: String,
        context_fields: &[&str],
    ) -> Self {
        let level = LogLevel::of(*metadata.level());
        let names: Vec<&str> = metadata.fields().iter().map(|field| field.name()).collect();
        let is_top = |name: &str| {
            ["component", "trace_id", "span_id"].contains(&name) || context_fields.contains(&name)
        };
        let is_first = |at: usize, name: &str| names.iter().position(|known| *known == name) == Some(at);
        let is_direct = names.iter().enumerate().all(|(at, name)| !is_top(name) && is_first(at, name));
        let key = |before: &[u8], name: &str| {
            let mut key = before.to_vec();
            json_text(name, &mut key);
            key.push(b':');
            key
        };
        let head = format!("\",\"level\":\"{}\",\"component\":", level.as_str()).into_bytes();
        let mut opening = head.clone();
        json_text(&component, &mut opening);
        opening.extend_from_slice(MESSAGE);
        Self {
            level,
            key: metadata.into(),
            component,
            head,
            opening,
            keys: names.iter().map(|name| key(b",", name)).collect(),
            first_keys: names.iter().map(|name| key(FIELDS, name)).collect(),
            message: names.iter().position(|name| *name == "message"),
            is_direct,
        }
    }
}
