//! The JSON of a line whose fields were gathered.

use crate::escape::{flag, float, integer, json_text};
use crate::level::LogLevel;
use crate::visit::{Said, Value};

/// What a line is made of.
#[derive(Debug)]
pub(crate) struct Line<'l> {
    pub(crate) timestamp: &'l str,
    pub(crate) level: LogLevel,
    pub(crate) component: &'l str,
    pub(crate) said: &'l Said,
    /// Context fields and ids, in the order in which they stand.
    pub(crate) ids: &'l [(&'static str, String)],
}

/// Appends the line with its line feed.
pub(crate) fn json(line: &Line<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(line.timestamp.as_bytes());
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(line.level.as_str().as_bytes());
    out.extend_from_slice(b"\",\"component\":");
    json_text(line.component, out);
    out.extend_from_slice(b",\"message\":");
    json_text(&line.said.message, out);
    out.extend_from_slice(b",\"fields\":{");
    for (index, (name, value)) in line.said.fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json_text(name, out);
        out.push(b':');
        match value {
            Value::Text(text) => json_text(text, out),
            Value::Integer(number) => integer(*number, out),
            Value::Float(number) => float(*number, out),
            Value::Bool(is_so) => flag(*is_so, out),
        }
    }
    out.push(b'}');
    for (name, id) in line.ids {
        out.push(b',');
        json_text(name, out);
        out.push(b':');
        json_text(id, out);
    }
    out.extend_from_slice(b"}\n");
}
