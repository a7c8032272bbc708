//! Records in a segment: what can be read of it, whatever happened to it.
//!
//! | record | bytes | |
//! |---|---|---|
//! | mark | 0..3 | `F5 54 FA`: two of these bytes are in no UTF-8, so that no text looks like a record |
//! | version | 3 | 1 |
//! | length of the payload | 4..8 | little-endian |
//! | checksum | 8..12 | CRC-32 (IEEE) over the segment's number, the record's offset, version, length and payload |
//! | payload | 12.. | |
//!
//! This head stays in every version, so that a record of a newer one is told from damage, and passed over.

use super::Place;

const MARK: [u8; 3] = [0xf5, b'T', 0xfa];
/// The only form of payload so far.
const VERSION: u8 = 1;
pub(crate) const HEAD_BYTES: usize = 12;
/// How often a mark may turn out to be none before the rest of a segment is given up. It bounds the work that damage
/// makes; in sound payloads a mark by chance is one in sixteen million bytes.
const FALSE_MARKS_MAX: usize = 1_000;

/// What was found in a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Stretches between readable records that are not readable.
    pub(crate) damaged: u64,
    pub(crate) records: usize,
    /// Whether it ends where its last record does, so that more may follow.
    pub(crate) whole: bool,
}

/// A record at this place, as it is written.
pub(crate) fn frame(place: Place, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.extend(MARK);
    bytes.push(VERSION);
    bytes.extend(place.payload_bytes.to_le_bytes());
    bytes.extend(checksum(place, VERSION, payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// The payload of the record at this place.
pub(crate) fn payload(place: Place, bytes: &[u8]) -> Option<&[u8]> {
    let record = record(place.segment, place.offset, bytes)?;
    let known = record.version == VERSION && record.payload.len() == place.payload_bytes as usize;
    known.then_some(record.payload)
}

/// Gives each record that can be read to `found`.
pub(crate) fn scan<'b>(segment: u32, bytes: &'b [u8], mut found: impl FnMut(Place, &'b [u8])) -> Scan {
    let mut scan = Scan { whole: true, ..Scan::default() };
    let mut false_marks = 0;
    let mut rest = bytes;
    let mut in_damage = false;
    while !rest.is_empty() && false_marks < FALSE_MARKS_MAX {
        let Ok(offset) = u32::try_from(bytes.len() - rest.len()) else { break };
        let here = record(segment, offset, rest);
        let is_bad = here.as_ref().is_none_or(|record| record.version != VERSION);
        if is_bad && !in_damage {
            scan.damaged += 1;
        }
        in_damage = is_bad;
        if let Some(record) = here {
            rest = record.rest;
            if !is_bad {
                scan.records += 1;
                found(Place::new(segment, offset, record.payload), record.payload);
            }
        } else {
            false_marks += usize::from(rest.starts_with(&MARK));
            let next = rest.windows(MARK.len()).skip(1).position(|window| window == MARK);
            rest = next.and_then(|next| rest.get(next + 1..)).unwrap_or_default();
        }
    }
    scan.whole = !in_damage;
    scan
}

/// A record that is as it was written.
struct Record<'b> {
    version: u8,
    payload: &'b [u8],
    rest: &'b [u8],
}

fn record(segment: u32, offset: u32, bytes: &[u8]) -> Option<Record<'_>> {
    let (mark, bytes) = bytes.split_first_chunk::<3>()?;
    let ([version], bytes) = bytes.split_first_chunk::<1>()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let (sum, bytes) = bytes.split_first_chunk()?;
    let payload_bytes = u32::from_le_bytes(*length);
    let (payload, rest) = bytes.split_at_checked(usize::try_from(payload_bytes).ok()?)?;
    let is_sound = *mark == MARK
        && u32::from_le_bytes(*sum) == checksum(Place { segment, offset, payload_bytes }, *version, payload);
    is_sound.then_some(Record { version: *version, payload, rest })
}

fn checksum(place: Place, version: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.segment.to_le_bytes());
    hasher.update(&place.offset.to_le_bytes());
    hasher.update(&[version]);
    hasher.update(&place.payload_bytes.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
