//! The fields of an event, typed as they were given.

use std::error::Error;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::field::{Field, Visit};

/// Longest text of a field, in bytes; the rest is cut and marked.
pub(crate) const FIELD_MAX_BYTES: usize = 16 << 10;
/// What ends a text that was cut.
pub(crate) const CUT_MARK: &str = "…(cut)";
/// What ends a text whose value said that it cannot be shown.
pub(crate) const FAILED_MARK: &str = "…(failed)";
/// What ends a text whose value panicked while it was shown.
pub(crate) const PANICKED_MARK: &str = "…(panicked)";

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

impl Value {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
        }
    }
}

impl Said {
    /// Takes a field out, as text.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        let index = self.fields.iter().position(|(known, _)| *known == name)?;
        Some(self.fields.remove(index).1.into_text())
    }

    /// Of two values of one name the later holds.
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if name == "message" {
            self.message = value.into_text();
        } else if let Some((_, known)) = self.fields.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else {
            self.fields.push((name, value));
        }
    }

    /// Puts what `write` writes. A value that fails or panics costs the rest of its text and nothing else: what is
    /// logged must not end the work that logs it.
    fn put_text(&mut self, field: &Field, write: impl FnOnce(&mut Bounded) -> fmt::Result) {
        let mut text = Bounded { text: String::new(), cut: false };
        // The text is whole after each piece that is put to it, so a panic leaves nothing broken.
        let mark = match catch_unwind(AssertUnwindSafe(|| write(&mut text))) {
            _ if text.cut => CUT_MARK,
            Ok(Ok(())) => "",
            Ok(Err(fmt::Error)) => FAILED_MARK,
            Err(_panic) => PANICKED_MARK,
        };
        text.text.push_str(mark);
        self.put(field, Value::Text(text.text));
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, |text| text.write_str(value));
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
        self.put_text(field, |text| write_error(text, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, |text| write!(text, "{value:?}"));
    }
}

/// An error with its causes, outermost first.
pub(crate) fn write_error(out: &mut impl Write, error: &(dyn Error + 'static)) -> fmt::Result {
    write!(out, "{error}")?;
    let mut source = error.source();
    while let Some(cause) = source {
        write!(out, ": {cause}")?;
        source = cause.source();
    }
    Ok(())
}

/// A text that takes no more than its bound.
struct Bounded {
    text: String,
    /// Whether there was more.
    cut: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = FIELD_MAX_BYTES.saturating_sub(self.text.len());
        if text.len() <= room && !self.cut {
            self.text.push_str(text);
            return Ok(());
        }
        if !self.cut {
            let (kept, _) = text.split_at(text.floor_char_boundary(room));
            self.text.push_str(kept);
            self.cut = true;
        }
        Err(fmt::Error)
    }
}
