//! Fields of a span as words, and back.
//!
//! A field is a header word (what it is, the place of its name in the callsite's fields, its length in bytes) and the words
//! of its value: none for a flag, one for a number, eight bytes in each for a text.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::finished::AttributeValue;
use crate::slab::{Place, WORDS};

/// Longest text of a field, in bytes; the rest is cut and marked.
pub(crate) const TEXT_MAX_BYTES: usize = 256;
/// What ends a text that was cut, whose value said that it cannot be shown, and whose value panicked while it was shown.
const CUT_MARK: &str = "…(cut)";
const FAILED_MARK: &str = "…(failed)";
const PANICKED_MARK: &str = "…(panicked)";

const TEXT: u64 = 0;
const TEXT_CUT: u64 = 1;
const INTEGER: u64 = 2;
const FLOAT: u64 = 3;
const FLAG: u64 = 4;

fn header(what: u64, field: &Field, bytes: usize) -> u64 {
    what | (field.index() as u64) << 8 | (bytes as u64) << 32
}

/// The last bytes that fill no word, the first in the lowest place.
#[inline]
fn pack_rest(bytes: &[u8]) -> u64 {
    match bytes.last_chunk::<8>() {
        // Those before them fall out.
        Some(last) => u64::from_le_bytes(*last) >> ((8 - bytes.len() % 8) * 8 % 64),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Writes fields into a place from some word on.
#[derive(Debug)]
pub(crate) struct FieldWriter<'p> {
    place: &'p Place,
    /// The next free word.
    pub(crate) at: usize,
    /// Fields that had no room.
    pub(crate) dropped: u64,
    /// A bit for each of the callsite's first fields: those that `taken` wants.
    wanted: u64,
    /// Their values as texts, none of what is cut or cannot be shown.
    pub(crate) taken: Vec<(&'static str, Option<String>)>,
}

impl<'p> FieldWriter<'p> {
    #[inline]
    pub(crate) fn new(place: &'p Place, at: usize, wanted: u64) -> Self {
        Self { place, at, dropped: 0, wanted, taken: Vec::new() }
    }

    fn is_wanted(&self, field: &Field) -> bool {
        self.wanted != 0 && field.index() < 64 && self.wanted >> field.index() & 1 == 1
    }

    #[inline]
    fn put_word(&mut self, what: u64, field: &Field, word: u64, text: impl FnOnce() -> String) {
        let Some([head, value]) = self.place.words.get(self.at..).and_then(<[_]>::first_chunk) else {
            self.dropped += 1;
            return;
        };
        head.store(header(what, field, 8), Ordering::Relaxed);
        value.store(word, Ordering::Relaxed);
        self.at += 2;
        if self.is_wanted(field) {
            self.taken.push((field.name(), Some(text())));
        }
    }

    /// Puts what `write` writes. A value that fails or panics costs the rest of its text and nothing else: what is traced
    /// must not end the work that is traced.
    #[inline]
    fn put_text(&mut self, field: &Field, write: impl FnOnce(&mut TextWriter<'_>) -> fmt::Result) {
        if self.at + 1 >= WORDS {
            self.dropped += 1;
            return;
        }
        let mut text = TextWriter::new(self.place, self.at + 1);
        let mark = match catch_unwind(AssertUnwindSafe(|| write(&mut text))) {
            _ if text.cut => CUT_MARK,
            Ok(Ok(())) => "",
            Ok(Err(fmt::Error)) => FAILED_MARK,
            Err(_panic) => PANICKED_MARK,
        };
        let what = if text.cut { TEXT_CUT } else { TEXT };
        if !text.cut && !mark.is_empty() {
            // What does not fit behind the text is not needed to understand it.
            let _is_whole = text.write_str(mark).is_ok();
        }
        let (bytes, end) = text.finish();
        self.place.set(self.at, header(what, field, bytes));
        if self.is_wanted(field) {
            let words: Vec<u64> = (self.at..end).map(|at| self.place.get(at)).collect();
            let text = match Fields::new(&words).next() {
                Some((_, false, AttributeValue::Text(text))) if mark.is_empty() => Some(text),
                _ => None,
            };
            self.taken.push((field.name(), text));
        }
        self.at = end;
    }
}

impl Visit for FieldWriter<'_> {
    #[inline]
    fn record_str(&mut self, field: &Field, value: &str) {
        let bytes = value.as_bytes();
        let end = self.at + 1 + bytes.len().div_ceil(8);
        if self.wanted != 0 || bytes.len() > TEXT_MAX_BYTES {
            return self.put_text(field, |text| text.write_str(value));
        }
        // What most fields are: a short text that is there already.
        let Some([head, places @ ..]) = self.place.words.get(self.at..end) else {
            return self.put_text(field, |text| text.write_str(value));
        };
        head.store(header(TEXT, field, bytes.len()), Ordering::Relaxed);
        let (whole, rest) = bytes.as_chunks::<8>();
        for (place, chunk) in places.iter().zip(whole) {
            place.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
        }
        if let (false, Some(last)) = (rest.is_empty(), places.last()) {
            last.store(pack_rest(bytes), Ordering::Relaxed);
        }
        self.at = end;
    }

    #[inline]
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_word(INTEGER, field, value.cast_unsigned(), || value.to_string());
    }

    #[inline]
    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.put_text(field, |text| write!(text, "{value}")),
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.put_text(field, |text| write!(text, "{value}")),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.put_text(field, |text| write!(text, "{value}")),
        }
    }

    #[inline]
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put_word(FLOAT, field, value.to_bits(), || value.to_string());
    }

    #[inline]
    fn record_bool(&mut self, field: &Field, value: bool) {
        if self.at + 1 > WORDS {
            self.dropped += 1;
            return;
        }
        self.place.set(self.at, header(FLAG, field, usize::from(value)));
        self.at += 1;
        if self.is_wanted(field) {
            self.taken.push((field.name(), Some(value.to_string())));
        }
    }

    /// An error with its causes, outermost first.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put_text(field, |text| {
            write!(text, "{value}")?;
            let mut source = value.source();
            while let Some(cause) = source {
                write!(text, ": {cause}")?;
                source = cause.source();
            }
            Ok(())
        });
    }

    #[inline]
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, |text| write!(text, "{value:?}"));
    }
}

/// Packs a text into words as it comes.
struct TextWriter<'p> {
    place: &'p Place,
    at: usize,
    bytes: usize,
    bytes_max: usize,
    /// The bytes of the word that is not full.
    word: u64,
    cut: bool,
}

impl<'p> TextWriter<'p> {
    #[inline]
    fn new(place: &'p Place, at: usize) -> Self {
        Self { place, at, bytes: 0, bytes_max: TEXT_MAX_BYTES.min((WORDS - at) * 8), word: 0, cut: false }
    }

    #[inline]
    fn push(&mut self, mut bytes: &[u8]) {
        // Up to the next whole word, the whole words, the rest.
        while !self.bytes.is_multiple_of(8)
            && let Some((first, rest)) = bytes.split_first()
        {
            self.push_byte(*first);
            bytes = rest;
        }
        let (whole, rest) = bytes.as_chunks::<8>();
        for chunk in whole {
            self.place.set(self.at, u64::from_le_bytes(*chunk));
            self.at += 1;
        }
        self.bytes += whole.len() * 8;
        for byte in rest {
            self.push_byte(*byte);
        }
    }

    #[inline]
    fn push_byte(&mut self, byte: u8) {
        self.word |= u64::from(byte) << (self.bytes % 8 * 8);
        self.bytes += 1;
        if self.bytes.is_multiple_of(8) {
            self.place.set(self.at, self.word);
            self.at += 1;
            self.word = 0;
        }
    }

    /// How many bytes there are, and the word after them.
    #[inline]
    fn finish(self) -> (usize, usize) {
        if self.bytes.is_multiple_of(8) {
            return (self.bytes, self.at);
        }
        self.place.set(self.at, self.word);
        (self.bytes, self.at + 1)
    }
}

impl Write for TextWriter<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        let room = self.bytes_max - self.bytes;
        if text.len() <= room {
            self.push(text.as_bytes());
            return Ok(());
        }
        let (kept, _) = text.split_at(text.floor_char_boundary(room));
        self.push(kept.as_bytes());
        self.cut = true;
        Err(fmt::Error)
    }
}

/// The fields in some words: the place of the name, whether it was cut, the value.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'w> {
    words: &'w [u64],
}

impl<'w> Fields<'w> {
    pub(crate) fn new(words: &'w [u64]) -> Self {
        Self { words }
    }

    fn take(&mut self, count: usize) -> Option<&'w [u64]> {
        let (taken, rest) = self.words.split_at_checked(count)?;
        self.words = rest;
        Some(taken)
    }
}

impl Iterator for Fields<'_> {
    type Item = (usize, bool, AttributeValue);

    fn next(&mut self) -> Option<Self::Item> {
        let header = *self.take(1)?.first()?;
        let (what, index, length) =
            (header & 0xff, (header >> 8 & 0xff_ffff) as usize, (header >> 32) as usize);
        let value = match what {
            FLAG => AttributeValue::Bool(length == 1),
            INTEGER => AttributeValue::Integer(self.take(1)?.first()?.cast_signed()),
            FLOAT => AttributeValue::Float(f64::from_bits(*self.take(1)?.first()?)),
            _ => {
                let words = self.take(length.div_ceil(8))?;
                let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                bytes.truncate(length);
                // Only whole characters are put in.
                AttributeValue::Text(String::from_utf8(bytes).unwrap_or_default())
            }
        };
        Some((index, what == TEXT_CUT, value))
    }
}

/// The fields in some words with their names.
pub(crate) fn attributes(
    words: &[u64],
    metadata: &'static Metadata<'static>,
) -> Vec<(Cow<'static, str>, AttributeValue)> {
    let named = |(index, is_cut, value): (usize, bool, AttributeValue)| {
        let field = metadata.fields().iter().nth(index)?;
        let value = match value {
            AttributeValue::Text(text) if is_cut => AttributeValue::Text(text + CUT_MARK),
            value => value,
        };
        Some((Cow::Borrowed(field.name()), value))
    };
    Fields::new(words).filter_map(named).collect()
}
