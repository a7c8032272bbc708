//! What all lines of a call site have in common, made once.

use tracing::Metadata;

use crate::escape::json_text;
use crate::level::LogLevel;

/// What stands at the top of every line, apart from the context fields.
pub(crate) const TOP_LEVEL: [&str; 7] =
    ["timestamp", "level", "component", "message", "fields", "trace_id", "span_id"];

/// A call site's part of its lines.
#[derive(Debug)]
pub(crate) struct CallSite {
    pub(crate) level: LogLevel,
    /// The component of its target.
    pub(crate) component: String,
    /// From the end of the timestamp to where the component's value begins.
    pub(crate) head: Vec<u8>,
    /// The component as a JSON string.
    pub(crate) component_json: Vec<u8>,
    /// `"name":` of each field, by its index.
    pub(crate) keys: Vec<Vec<u8>>,
    /// Which field is the message.
    pub(crate) message: Option<usize>,
    /// Whether its JSON can be written as its fields come: none belongs to the top of the line or comes twice.
    pub(crate) is_direct: bool,
}

impl CallSite {
    pub(crate) fn new(metadata: &Metadata<'_>, component: String, context_fields: &[&str]) -> Self {
        let level = LogLevel::of(*metadata.level());
        let names: Vec<&str> = metadata.fields().iter().map(|field| field.name()).collect();
        let is_top = |name: &str| {
            ["component", "trace_id", "span_id"].contains(&name) || context_fields.contains(&name)
        };
        let is_first = |at: usize, name: &str| names.iter().position(|known| *known == name) == Some(at);
        let is_direct = names.iter().enumerate().all(|(at, name)| !is_top(name) && is_first(at, name));
        let key = |name: &&str| {
            let mut key = Vec::new();
            json_text(name, &mut key);
            key.push(b':');
            key
        };
        let mut component_json = Vec::new();
        json_text(&component, &mut component_json);
        Self {
            level,
            component,
            head: format!("\",\"level\":\"{}\",\"component\":", level.as_str()).into_bytes(),
            component_json,
            keys: names.iter().map(key).collect(),
            message: names.iter().position(|name| *name == "message"),
            is_direct,
        }
    }
}
