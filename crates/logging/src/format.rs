//! The two forms of a line.

use std::io::Write;

use jiff::Timestamp;

use crate::config::LogFormat;
use crate::level::LogLevel;
use crate::visit::{Said, Value};

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) format: LogFormat,
    pub(crate) color: bool,
    pub(crate) context_fields: &'static [&'static str],
}

/// What a line is made of.
#[derive(Debug)]
pub(crate) struct Line<'l> {
    pub(crate) timestamp: Timestamp,
    pub(crate) level: LogLevel,
    pub(crate) component: &'l str,
    pub(crate) said: &'l Said,
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
    print(out, format_args!("{:.3}", line.timestamp));
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
            Value::Integer(number) => print(out, format_args!("{number}")),
            Value::Float(number) => print(out, format_args!("{number:?}")),
            Value::Bool(flag) => print(out, format_args!("{flag}")),
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

/// A JSON string.
fn json_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, &['"', '\\'], out);
    out.push(b'"');
}

/// A text in which nothing ends the line or commands a terminal, with a backslash before each of `quoted`. JSON reads
/// every escape written here.
fn escaped(mut text: &str, quoted: &[char], out: &mut Vec<u8>) {
    while let Some(at) = text.find(|c| is_special(c) || quoted.contains(&c)) {
        let (plain, rest) = text.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut rest = rest.chars();
        match rest.next() {
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(c) if is_special(c) => print(out, format_args!("\\u{:04x}", u32::from(c))),
            Some(c) => print(out, format_args!("\\{c}")),
            None => {}
        }
        text = rest.as_str();
    }
    out.extend_from_slice(text.as_bytes());
}

/// The control characters of ASCII and Latin-1, which terminals obey, and Unicode's own line and paragraph separators,
/// at which some readers split lines. None is above U+FFFF.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
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
    print(out, format_args!("{:.3} {paint}{level:<5}{plain} ", line.timestamp));
    escaped(line.component, &[], out);
    out.extend_from_slice(b": ");
    escaped(&line.said.message, &[], out);
    for (name, value) in &line.said.fields {
        print(out, format_args!(" {name}="));
        match value {
            Value::Text(text) => quoted(text, out),
            Value::Integer(number) => print(out, format_args!("{number}")),
            Value::Float(number) => print(out, format_args!("{number:?}")),
            Value::Bool(flag) => print(out, format_args!("{flag}")),
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

fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Memory takes whatever is written.
    let _always = out.write_fmt(arguments).is_ok();
}
