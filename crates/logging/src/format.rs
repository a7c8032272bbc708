//! The two forms of a line.

use crate::config::LogFormat;
use crate::escape::{escaped, flag, float, integer, is_special, json_text, print};
use crate::level::LogLevel;
use crate::visit::{Said, Value};

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) format: LogFormat,
    pub(crate) color: bool,
}

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

impl Style {
    /// Appends the line with its line feed.
    pub(crate) fn format(&self, line: &Line<'_>, out: &mut Vec<u8>) {
        match self.format {
            LogFormat::Json => json(line, out),
            LogFormat::Text => text(line, self.color, out),
        }
        out.push(b'\n');
    }
}

fn json(line: &Line<'_>, out: &mut Vec<u8>) {
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
    out.push(b'}');
}

fn text(line: &Line<'_>, color: bool, out: &mut Vec<u8>) {
    let paint = match (color, line.level) {
        (false, _) => "",
        (true, LogLevel::Debug) => "\x1b[2m",
        (true, LogLevel::Info) => "\x1b[32m",
        (true, LogLevel::Warn) => "\x1b[33m",
        (true, LogLevel::Error) => "\x1b[31m",
    };
    let plain = if color { "\x1b[0m" } else { "" };
    let level = line.level.as_str();
    print(out, format_args!("{} {paint}{level:<5}{plain} ", line.timestamp));
    escaped(line.component, &[], out);
    out.extend_from_slice(b": ");
    escaped(&line.said.message, &[], out);
    for (name, value) in &line.said.fields {
        print(out, format_args!(" {name}="));
        match value {
            Value::Text(text) => quoted(text, out),
            Value::Integer(number) => integer(*number, out),
            Value::Float(number) => float(*number, out),
            Value::Bool(is_so) => flag(*is_so, out),
        }
    }
    for (name, id) in line.ids {
        print(out, format_args!(" {name}="));
        quoted(id, out);
    }
}

/// A value, quoted where it would not be seen as one word.
fn quoted(text: &str, out: &mut Vec<u8>) {
    let odd = |c: char| c.is_whitespace() || is_special(c) || c == '"' || c == '=';
    if text.is_empty() || text.contains(odd) {
        json_text(text, out);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}
