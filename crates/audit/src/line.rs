//! A line of the log: put together, and taken apart. The format is in the crate's documentation.

use jiff::Timestamp;
use serde::Deserialize;

use crate::entry::{Entry, FieldValue};
use crate::escape::{print, push_text};
use crate::head::{Hash, Head};
use crate::hex;
use crate::key::{HostKey, PublicKey, SIGNATURE_BYTES};

/// The longest line, without its end.
pub const LINE_MAX_BYTES: usize = 64 * 1024;
/// The longest of the texts that are not field values, as they are written.
const NAME_MAX_BYTES: usize = 256;
/// No checkpoint is longer.
pub(crate) const CHECKPOINT_MAX_BYTES: u64 = 1024;
/// A sequence number has at most so many digits: that of the line after it still fits.
const SEQ_MAX_DIGITS: usize = 19;

const PREV: &[u8] = b",\"prev\":\"";
const SIGNATURE: &[u8] = b",\"signature\":\"";
const HASH: &[u8] = b",\"hash\":\"";
/// Of prev and hash, with what they stand in.
const END_BYTES: usize = PREV.len() + 64 + 1 + HASH.len() + 64 + 2;

/// What a checkpoint says of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) at: Timestamp,
    /// The line with which the log begins.
    pub(crate) first: u64,
    /// At most so many lines follow before the next checkpoint.
    pub(crate) every: u64,
}

/// Appends the line after `prev`, with its end. Tells its head, and whether something in it was cut.
pub(crate) fn push_entry(out: &mut Vec<u8>, prev: Head, entry: &Entry<'_>) -> (Head, bool) {
    let (start, seq) = (out.len(), prev.seq + 1);
    let names = [&entry.component, &entry.operation, &entry.actor, &entry.outcome]
        .map(|name| (&**name, NAME_MAX_BYTES));
    let mut is_cut = push_members(out, seq, entry.at, names);
    let fields_at = out.len();
    let mut cap_bytes = LINE_MAX_BYTES;
    let fields_cut = loop {
        let fields_cut = push_fields(out, entry, cap_bytes);
        if out.len() - start + END_BYTES <= LINE_MAX_BYTES {
            break fields_cut;
        }
        // With 512 bytes for each value every entry fits, by the bounds of names and of their number.
        cap_bytes /= 2;
        out.truncate(fields_at);
    };
    is_cut |= fields_cut;
    push_prev(out, prev.hash);
    (push_hash(out, start, seq), is_cut)
}

/// Appends a signed line after `prev`, with its end, and tells its head.
pub(crate) fn push_checkpoint(out: &mut Vec<u8>, prev: Head, statement: &Statement, key: &HostKey) -> Head {
    let (start, seq) = (out.len(), prev.seq + 1);
    let Statement { at, first, every } = *statement;
    let names = ["audit", "checkpoint", "audit", "signed"].map(|name| (name, NAME_MAX_BYTES));
    push_members(out, seq, at, names);
    let public = key.public();
    print(out, format_args!(r#"{{"first":{first},"every":{every},"key":"{public}"}}"#));
    push_prev(out, prev.hash);
    let signature = key.sign(out.get(start..).unwrap_or_default());
    push_digits(out, SIGNATURE, &signature);
    push_hash(out, start, seq)
}

/// Everything up to the value of `fields`.
fn push_members(out: &mut Vec<u8>, seq: u64, at: Timestamp, names: [(&str, usize); 4]) -> bool {
    print(out, format_args!(r#"{{"seq":{seq},"timestamp":"{at:.3}""#));
    let mut is_cut = false;
    for (member, (name, cap_bytes)) in ["component", "operation", "actor", "outcome"].iter().zip(names) {
        print(out, format_args!(r#","{member}":"#));
        is_cut |= push_text(out, name, cap_bytes);
    }
    out.extend_from_slice(b",\"fields\":");
    is_cut
}

fn push_fields(out: &mut Vec<u8>, entry: &Entry<'_>, cap_bytes: usize) -> bool {
    let mut is_cut = entry.left_out > 0;
    out.push(b'{');
    for (index, (name, value)) in entry.fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        is_cut |= push_text(out, name, NAME_MAX_BYTES);
        out.push(b':');
        match value {
            FieldValue::Text(text) => is_cut |= push_text(out, text, cap_bytes),
            FieldValue::Integer(number) => print(out, format_args!("{number}")),
            FieldValue::Count(number) => print(out, format_args!("{number}")),
            FieldValue::Flag(flag) => print(out, format_args!("{flag}")),
        }
    }
    if entry.left_out > 0 {
        print(out, format_args!(r#","fields_left_out":{}"#, entry.left_out));
    }
    out.push(b'}');
    is_cut
}

fn push_prev(out: &mut Vec<u8>, prev: Hash) {
    push_digits(out, PREV, prev.as_bytes());
}

/// Ends the line that begins at `start`.
fn push_hash(out: &mut Vec<u8>, start: usize, seq: u64) -> Head {
    let hash = Hash::of(out.get(start..).unwrap_or_default());
    push_digits(out, HASH, hash.as_bytes());
    out.extend_from_slice(b"}\n");
    Head { seq, hash }
}

fn push_digits(out: &mut Vec<u8>, member: &[u8], bytes: &[u8]) {
    out.extend_from_slice(member);
    hex::push_hex(out, bytes);
    out.push(b'"');
}

/// A line as it was found. Nothing in it is checked but its shape.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    /// What is hashed.
    pub(crate) body: &'a [u8],
    /// What is signed, and the signature: of a checkpoint.
    pub(crate) signed: Option<(&'a [u8], [u8; SIGNATURE_BYTES])>,
}

impl<'a> Line<'a> {
    /// A line without its end.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let (body, hash) = split_digits(line.strip_suffix(b"}")?, HASH)?;
        let signed = split_digits::<SIGNATURE_BYTES>(body, SIGNATURE);
        let (members, prev) = split_digits(signed.map_or(body, |(signed, _)| signed), PREV)?;
        let seq = parse_seq(members.strip_prefix(b"{\"seq\":")?)?;
        Some(Line { seq, prev: Hash::from_bytes(prev), hash: Hash::from_bytes(hash), body, signed })
    }
}

/// What stands before a last member of this name, and the bytes that its digits mean.
fn split_digits<'a, const N: usize>(bytes: &'a [u8], member: &[u8]) -> Option<(&'a [u8], [u8; N])> {
    let bytes = bytes.strip_suffix(b"\"")?;
    let (rest, digits) = bytes.split_at_checked(bytes.len().checked_sub(2 * N)?)?;
    Some((rest.strip_suffix(member)?, hex::read(digits)?))
}

/// A number without zeros before it, up to a comma.
fn parse_seq(members: &[u8]) -> Option<u64> {
    let length = members.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = members.split_at_checked(length)?;
    let is_one =
        rest.first() == Some(&b',') && digits.len() <= SEQ_MAX_DIGITS && digits.first() != Some(&b'0');
    let digits = str::from_utf8(digits).ok()?;
    if is_one { digits.parse().ok() } else { None }
}

/// The time that a line says, without looking at the rest of it.
pub(crate) fn timestamp_of(line: &[u8]) -> Option<Timestamp> {
    const BEFORE: &[u8] = b",\"timestamp\":\"";
    let members = line.strip_prefix(b"{\"seq\":")?;
    let length = members.iter().position(|byte| !byte.is_ascii_digit())?;
    let rest = members.get(length..)?.strip_prefix(BEFORE)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

/// What a checkpoint says, and the key by which it says to be signed. Its signature has to be checked.
pub(crate) fn parse_checkpoint(line: &[u8]) -> Option<(Statement, PublicKey)> {
    #[derive(Deserialize)]
    struct Members {
        timestamp: Timestamp,
        fields: Fields,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        first: u64,
        every: u64,
        key: String,
    }
    let Members { timestamp: at, fields: Fields { first, every, key } } =
        serde_json::from_slice(line).ok()?;
    Some((Statement { at, first, every }, PublicKey::parse(key.as_bytes())?))
}
