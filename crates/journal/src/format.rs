//! The bytes of segments and records, as laid out in the crate's documentation.

use std::fmt;

/// The newest format that is read, and the one that is written.
pub(crate) const VERSION: u16 = 1;

pub(crate) const HEADER_BYTES: usize = 24;
pub(crate) const RECORD_HEAD_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"\x89JRNL\r\n\x1a";

/// The place of a record in its journal: the first is 1, each next one more. Zero stands before all records.
///
/// Numbers of records that were lost before they were durable are given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(u64);

/// The head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) first: Seq,
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a journal, superseding every older one.
    Base,
    /// Of a journal, after another.
    Next,
    /// Of a spool's audit.
    Audit,
    /// Of a spool's telemetry.
    Telemetry,
}

/// Why a segment's head is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Newer(u16),
    Damaged,
}

impl Seq {
    /// The highest that is believed: no journal gets there, and from there counting on is safe.
    pub(crate) const MAX: Seq = Seq(1 << 62);

    pub const fn new(number: u64) -> Seq {
        Seq(number)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    pub(crate) fn previous(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }

    fn is_of_a_record(self) -> bool {
        Seq(0) < self && self <= Seq::MAX
    }

    pub(crate) fn segment_name(self) -> String {
        format!("{:020}.seg", self.0)
    }

    /// None for any name that [`Seq::segment_name`] does not give.
    pub(crate) fn of_segment_name(name: &str) -> Option<Seq> {
        let seq = Seq(name.strip_suffix(".seg")?.parse().ok()?);
        (seq.is_of_a_record() && seq.segment_name() == name).then_some(seq)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Header {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.kind.flags().to_le_bytes());
        bytes.extend(self.first.0.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, HeaderFault> {
        Header::fields(bytes).unwrap_or(Err(HeaderFault::Damaged))
    }

    /// None when the bytes are not those of a header.
    fn fields(bytes: &[u8]) -> Option<Result<Header, HeaderFault>> {
        let (summed, mut rest) = bytes.split_at_checked(HEADER_BYTES - 4)?;
        let sum = u32::from_le_bytes(take(&mut rest)?);
        let mut fields = summed;
        if take(&mut fields)? != MAGIC || sum != crc32fast::hash(summed) {
            return None;
        }
        let version = u16::from_le_bytes(take(&mut fields)?);
        let flags = u16::from_le_bytes(take(&mut fields)?);
        let first = Seq(u64::from_le_bytes(take(&mut fields)?));
        if version > VERSION {
            return Some(Err(HeaderFault::Newer(version)));
        }
        let kind = Kind::of_flags(flags)?;
        (version == VERSION && first.is_of_a_record()).then_some(Ok(Header { kind, first }))
    }
}

impl Kind {
    fn flags(self) -> u16 {
        match self {
            Kind::Next => 0,
            Kind::Base => 1,
            Kind::Audit => 2,
            Kind::Telemetry => 4,
        }
    }

    fn of_flags(flags: u16) -> Option<Kind> {
        [Kind::Next, Kind::Base, Kind::Audit, Kind::Telemetry].into_iter().find(|kind| kind.flags() == flags)
    }
}

/// Adds the bytes of a record. `length` is that of the payload.
pub(crate) fn encode_record(bytes: &mut Vec<u8>, seq: Seq, length: u32, payload: &[u8]) {
    let head = RecordHead { payload_bytes: length, seq, checksum: 0 };
    bytes.extend(length.to_le_bytes());
    bytes.extend(head.checksum_of(payload).to_le_bytes());
    bytes.extend(seq.0.to_le_bytes());
    bytes.extend(payload);
}

/// What stands before the payload of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) payload_bytes: u32,
    pub(crate) seq: Seq,
    pub(crate) checksum: u32,
}

impl RecordHead {
    /// None when there are too few bytes; any others are a head, though maybe of no record.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<RecordHead> {
        let payload_bytes = u32::from_le_bytes(take(&mut bytes)?);
        let checksum = u32::from_le_bytes(take(&mut bytes)?);
        let seq = Seq(u64::from_le_bytes(take(&mut bytes)?));
        Some(RecordHead { payload_bytes, seq, checksum })
    }

    /// What [`RecordHead::checksum`] is when the payload is the one that was written.
    pub(crate) fn checksum_of(self, payload: &[u8]) -> u32 {
        let mut hasher = self.hasher();
        hasher.update(payload);
        hasher.finalize()
    }

    /// For a payload that comes in pieces; it has seen what a checksum covers before that.
    pub(crate) fn hasher(self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.payload_bytes.to_le_bytes());
        hasher.update(&self.seq.0.to_le_bytes());
        hasher
    }
}

/// Takes the first `N` bytes off.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}
