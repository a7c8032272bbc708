//! JSON written as the fields come, for call sites whose lines allow it: no field is kept, nothing is allocated.

use std::error::Error;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::field::{Field, Visit};

use crate::callsite::{FIELDS, Site};
use crate::escape::{flag, float, integer, json_piece, json_text};
use crate::visit::{CUT_MARK, FAILED_MARK, FIELD_MAX_BYTES, PANICKED_MARK};

/// Writes message and fields of an event behind what is there.
#[derive(Debug)]
pub(crate) struct Direct<'l> {
    out: &'l mut Vec<u8>,
    site: &'l Site,
    /// Where the message is, or would be.
    message_at: usize,
    has_message: bool,
    has_fields: bool,
}

impl<'l> Direct<'l> {
    #[inline]
    pub(crate) fn new(out: &'l mut Vec<u8>, site: &'l Site) -> Self {
        let message_at = out.len();
        Self { out, site, message_at, has_message: false, has_fields: false }
    }

    /// Ends what was begun. So many lines of this call site were left away before.
    #[inline]
    pub(crate) fn finish(mut self, suppressed: Option<u64>) {
        if !self.has_fields {
            self.pass_over_message();
            self.out.extend_from_slice(FIELDS);
        }
        if let Some(suppressed) = suppressed {
            if self.has_fields {
                self.out.push(b',');
            }
            self.out.extend_from_slice(b"\"suppressed\":");
            integer(suppressed, self.out);
        }
        self.out.push(b'}');
    }

    #[inline]
    fn pass_over_message(&mut self) {
        if !self.has_message {
            self.out.extend_from_slice(b"\"\"");
        }
    }

    /// The value comes next.
    #[inline]
    fn begin(&mut self, field: &Field) -> bool {
        let keys = if self.has_fields {
            &self.site.keys
        } else {
            self.pass_over_message();
            &self.site.first_keys
        };
        let Some(key) = keys.get(field.index()) else { return false };
        self.has_fields = true;
        self.out.extend_from_slice(key);
        true
    }

    #[inline]
    fn is_message(&self, field: &Field) -> bool {
        self.site.message == Some(field.index())
    }

    /// Puts what `write` writes as a JSON string. A value that fails or panics costs the rest of its text and nothing
    /// else: what is logged must not end the work that logs it.
    #[inline]
    fn put_text(&mut self, field: &Field, write: impl FnOnce(&mut Piecewise<'_>) -> fmt::Result) {
        if !self.is_message(field) {
            if self.begin(field) {
                quoted(self.out, write);
            }
        } else if !self.has_message && !self.has_fields {
            self.has_message = true;
            quoted(self.out, write);
        } else {
            self.put_late_message(write);
        }
    }

    /// The message comes after fields, or once more: what stands in its place goes.
    #[cold]
    fn put_late_message(&mut self, write: impl FnOnce(&mut Piecewise<'_>) -> fmt::Result) {
        let mut message = Vec::new();
        quoted(&mut message, write);
        let end = if self.has_fields {
            // The first of these is the one written here: in a string its quotes would be escaped.
            let behind = self.out.split_at(self.message_at).1;
            behind.windows(FIELDS.len()).position(|bytes| bytes == FIELDS).map(|at| self.message_at + at)
        } else {
            Some(self.out.len())
        };
        if let Some(end) = end {
            self.out.splice(self.message_at..end, message);
            self.has_message = true;
        }
    }
}

/// Appends what `write` writes, as a JSON string.
#[inline]
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Piecewise<'_>) -> fmt::Result) {
    out.push(b'"');
    let mut text = Piecewise { out, room: FIELD_MAX_BYTES, cut: false };
    // Only whole characters are put in, so a panic leaves nothing broken.
    let mark = match catch_unwind(AssertUnwindSafe(|| write(&mut text))) {
        _ if text.cut => CUT_MARK,
        Ok(Ok(())) => "",
        Ok(Err(fmt::Error)) => FAILED_MARK,
        Err(_panic) => PANICKED_MARK,
    };
    out.extend_from_slice(mark.as_bytes());
    out.push(b'"');
}

impl Visit for Direct<'_> {
    #[inline]
    fn record_str(&mut self, field: &Field, value: &str) {
        if value.len() > FIELD_MAX_BYTES || self.is_message(field) {
            self.put_text(field, |text| text.write_str(value));
        } else if self.begin(field) {
            json_text(value, self.out);
        }
    }

    #[inline]
    fn record_i64(&mut self, field: &Field, value: i64) {
        if self.is_message(field) {
            self.put_text(field, |text| write!(text, "{value}"));
        } else if self.begin(field) {
            integer(value, self.out);
        }
    }

    #[inline]
    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.is_message(field) {
            self.put_text(field, |text| write!(text, "{value}"));
        } else if self.begin(field) {
            integer(value, self.out);
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        if self.is_message(field) {
            self.put_text(field, |text| write!(text, "{value}"));
        } else if self.begin(field) {
            integer(value, self.out);
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match i128::try_from(value) {
            Ok(value) => self.record_i128(field, value),
            Err(_) => self.put_text(field, |text| write!(text, "{value}")),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if self.is_message(field) {
            self.put_text(field, |text| write!(text, "{value}"));
        } else if self.begin(field) {
            float(value, self.out);
        }
    }

    #[inline]
    fn record_bool(&mut self, field: &Field, value: bool) {
        if self.is_message(field) {
            self.put_text(field, |text| write!(text, "{value}"));
        } else if self.begin(field) {
            flag(value, self.out);
        }
    }

    /// An error with its causes, outermost first.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put_text(field, |text| crate::visit::write_error(text, value));
    }

    #[inline]
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, |text| write!(text, "{value:?}"));
    }
}

/// A text that takes no more than its bound, escaped piece by piece.
struct Piecewise<'l> {
    out: &'l mut Vec<u8>,
    /// Bytes of the value that may still come.
    room: usize,
    /// Whether there was more.
    cut: bool,
}

impl Write for Piecewise<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.room && !self.cut {
            self.room -= text.len();
            json_piece(text, self.out);
            return Ok(());
        }
        if !self.cut {
            let (kept, _) = text.split_at(text.floor_char_boundary(self.room));
            json_piece(kept, self.out);
            self.cut = true;
        }
        Err(fmt::Error)
    }
}
