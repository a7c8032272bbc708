//! The fields of an event, typed as they were given.

use std::error::Error;
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

/// Longest text of a field, in bytes; the rest is cut and marked.
pub(crate) const FIELD_MAX_BYTES: usize = 16 << 10;
/// What ends a text that was cut.
const CUT_MARK: &str = "…(cut)";

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Bool(bool),
}

/// What an event says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Said {
    /// Takes a field out, as text.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        let index = self.fields.iter().position(|(known, _)| *known == name)?;
        let text = match self.fields.remove(index).1 {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
        };
        Some(text)
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }

    fn put_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let mut text = Bounded(String::new());
        // A Debug that fails, or text beyond the bound, ends early: what came until then is logged.
        let whole = text.write_fmt(value).is_ok();
        if !whole {
            text.0.push_str(CUT_MARK);
        }
        self.put(field, Value::Text(text.0));
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Integer(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Integer(value.into()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, Value::Integer(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        let value = i128::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer);
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() { Value::Float(value) } else { Value::Text(value.to_string()) };
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    /// An error with its causes, outermost first.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.put_text(field, format_args!("{text}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }
}

/// A text that takes no more than its bound.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = FIELD_MAX_BYTES.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.0.push_str(text.get(..end).unwrap_or(""));
        Err(fmt::Error)
    }
}
