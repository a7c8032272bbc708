//! The last line of defence: what looks like a secret in a finished line is replaced.
//!
//! The first is that secrets have a type which does not print itself. This is for texts that others made of them: a
//! command line, the answer of a server, a file that was read for another. It knows tokens by what they begin with, and
//! private keys in PEM by their frame; a secret in base64, in pieces over several lines, or without its beginning is not
//! known to it.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::{self, Finder};
use memchr::memrchr;

use crate::output_metrics::OutputCounts;

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"[redacted]";
/// Most beginnings of tokens.
const PREFIXES_MAX: usize = 16;
/// Shortest and longest beginning of a token, in bytes: shorter ones are in words, too.
const PREFIX_BYTES: Range<usize> = 3..33;
/// A token has so many bytes behind its beginning, or more. What speaks of tokens has fewer.
const TOKEN_MIN_BYTES: usize = 8;
/// What the label of a private key in PEM ends with (RFC 7468, section 13), and the frame behind it.
const KEY_LABEL: &[u8] = b"PRIVATE KEY-----";
const KEY_BEGIN: &[u8] = b"-----BEGIN ";
const KEY_END: &[u8] = b"-----END ";
/// Most bytes of a label before that, as of `RSA `.
const KIND_MAX_BYTES: usize = 24;
/// A key that has lost its end has so many letters of base64 in a row. What speaks of keys has fewer.
const KEY_MIN_BYTES: usize = 16;
/// Bytes of the longest escape of JSON, `\u0000`.
const ESCAPE_MAX_BYTES: usize = 6;

/// What tokens begin with cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactorError {
    #[error("tokens cannot be known by `{prefix}`: take 3 to 32 letters, digits, `.`, `_` and `-`")]
    Prefix { prefix: String },
    #[error(
        "tokens begin in {found} ways, at most {PREFIXES_MAX} are looked for: give what they have in common"
    )]
    TooMany { found: usize },
}

/// Replaces tokens and private keys by `[redacted]`. A line without any costs a search for each kind and nothing else.
#[derive(Debug, Clone)]
pub struct Redactor {
    tokens: Vec<Finder<'static>>,
    keys: Finder<'static>,
    counts: OutputCounts,
}

impl Redactor {
    /// Knows tokens by what they begin with, as `ghp_`. Private keys are always known.
    ///
    /// # Errors
    /// When a beginning would be found in words, or could not stand in a token; or when there are more than 16.
    pub fn new(prefixes: &[&str], counts: OutputCounts) -> Result<Self, RedactorError> {
        if prefixes.len() > PREFIXES_MAX {
            return Err(RedactorError::TooMany { found: prefixes.len() });
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_wrong =
            |prefix: &&&str| !PREFIX_BYTES.contains(&prefix.len()) || !prefix.bytes().all(is_plain);
        if let Some(wrong) = prefixes.iter().find(is_wrong) {
            return Err(RedactorError::Prefix { prefix: wrong.chars().take(PREFIX_BYTES.end).collect() });
        }
        let tokens = prefixes.iter().map(|prefix| Finder::new(prefix).into_owned()).collect();
        Ok(Self { tokens, keys: Finder::new(KEY_LABEL), counts })
    }

    /// One line or several without their secrets. What was JSON is JSON still.
    pub fn redact<'l>(&self, lines: &'l [u8]) -> Cow<'l, [u8]> {
        self.replaced(lines, Feeds::EndLines)
    }

    /// A text on its own, which is in no JSON, without its secrets.
    pub fn redact_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.replaced(text.as_bytes(), Feeds::AreInText) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // What is cut out begins and ends with ASCII.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    fn replaced<'l>(&self, lines: &'l [u8], feeds: Feeds) -> Cow<'l, [u8]> {
        let mut secrets: Vec<Range<usize>> = Vec::new();
        for token in &self.tokens {
            let mut done = 0;
            for at in token.find_iter(lines) {
                if at >= done
                    && let Some(secret) = token_at(lines, at, token.needle().len())
                {
                    done = secret.end;
                    secrets.push(secret);
                }
            }
        }
        secrets.extend(self.keys.find_iter(lines).filter_map(|at| key_at(lines, at, feeds)));
        if secrets.is_empty() {
            return Cow::Borrowed(lines);
        }
        secrets.sort_unstable_by_key(|secret| secret.start);
        let mut redacted = Vec::with_capacity(lines.len());
        let mut done = 0;
        for secret in secrets {
            if secret.start >= done {
                redacted.extend_from_slice(lines.get(done..secret.start).unwrap_or_default());
                redacted.extend_from_slice(REDACTED);
                self.counts.redactions.inc();
            }
            // Where one reaches into another, they are one.
            done = done.max(secret.end);
        }
        redacted.extend_from_slice(lines.get(done..).unwrap_or_default());
        Cow::Owned(redacted)
    }
}

/// What a raw line feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feeds {
    /// The end of a line, and of every text in it.
    EndLines,
    AreInText,
}

/// The token that begins at `at` with `prefix_bytes`.
fn token_at(lines: &[u8], at: usize, prefix_bytes: usize) -> Option<Range<usize>> {
    let is_of_token = |byte: &u8| is_base64(*byte) || matches!(byte, b'.' | b'_' | b'-' | b'~');
    let (_, behind) = lines.split_at(at + prefix_bytes);
    let bytes = behind.iter().position(|byte| !is_of_token(byte)).unwrap_or(behind.len());
    let end = at + prefix_bytes + bytes;
    (bytes >= TOKEN_MIN_BYTES).then(|| after_escape(lines, at).min(end)..end)
}

/// The private key whose first label has its end at `at`.
fn key_at(lines: &[u8], at: usize, feeds: Feeds) -> Option<Range<usize>> {
    let (before, _) = lines.split_at(at);
    let (_, near) = before.split_at(at.saturating_sub(KEY_BEGIN.len() + KIND_MAX_BYTES));
    let kind_bytes = near.len() - (memmem::rfind(near, KEY_BEGIN)? + KEY_BEGIN.len());
    let is_of_kind = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    if !near.iter().rev().take(kind_bytes).all(is_of_kind) {
        return None;
    }
    let start = at - kind_bytes - KEY_BEGIN.len();
    let (_, behind) = lines.split_at(at + KEY_LABEL.len());
    let (body_bytes, has_key) = key_body(behind, feeds);
    let (body, _) = behind.split_at(body_bytes);
    let end_of_frame = || {
        let frame = memmem::find(body, KEY_END)?;
        let (_, label) = body.split_at(frame);
        Some(frame + memmem::find(label, KEY_LABEL)? + KEY_LABEL.len())
    };
    let bytes = end_of_frame().or_else(|| has_key.then_some(body_bytes))?;
    Some(start..at + KEY_LABEL.len() + bytes)
}

/// How much could be of a key in PEM, its line feeds escaped once or more often, or raw; and whether there is a key in it.
fn key_body(text: &[u8], feeds: Feeds) -> (usize, bool) {
    let (mut at, mut in_a_row, mut has_key) = (0, 0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => {
                let (_, rest) = text.split_at(at);
                let backslashes = rest.iter().take_while(|byte| **byte == b'\\').count();
                // Other escapes end the text that the key is in.
                if !matches!(rest.get(backslashes), Some(b'n' | b'r' | b't')) {
                    break;
                }
                (at, in_a_row) = (at + backslashes + 1, 0);
            }
            b'-' if text.get(at..at + KEY_BEGIN.len()) == Some(KEY_BEGIN) => break,
            b'\n' | b'\r' | b'\t' if feeds == Feeds::AreInText => (at, in_a_row) = (at + 1, 0),
            // Keys of the older form have lines before them, as in `DEK-Info: AES-128-CBC,00`.
            b'-' | b' ' | b':' | b',' => (at, in_a_row) = (at + 1, 0),
            byte if is_base64(*byte) => {
                (at, in_a_row) = (at + 1, in_a_row + 1);
                has_key |= in_a_row >= KEY_MIN_BYTES;
            }
            _ => break,
        }
    }
    (at, has_key)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// The first place from `at` on that is not inside an escape of JSON: the `n` of a line feed is no beginning of a token.
fn after_escape(lines: &[u8], at: usize) -> usize {
    let (before, _) = lines.split_at(at);
    let (far, near) = before.split_at(at.saturating_sub(ESCAPE_MAX_BYTES - 1));
    let Some(backslash) = memrchr(b'\\', near).map(|place| far.len() + place) else { return at };
    let (up_to, escaped) = lines.split_at(backslash + 1);
    let backslashes = up_to.iter().rev().take_while(|byte| **byte == b'\\').count();
    if backslashes.is_multiple_of(2) {
        return at;
    }
    let bytes = if escaped.first() == Some(&b'u') { ESCAPE_MAX_BYTES } else { 2 };
    at.max(backslash + bytes)
}
