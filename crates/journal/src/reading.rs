//! Reading the records of a segment in pieces.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::disk::Disk;
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, RECORD_HEAD_BYTES, RecordHead, Seq};
use crate::replay::{FollowedBy, Reason};

/// What is read of a segment at once, and so what is held of it, but for a record that is longer.
pub(crate) const PIECE_BYTES: u64 = 256 << 10;

/// The records of a segment, one after the other.
#[derive(Debug)]
pub(crate) struct Records<'d, D: Disk> {
    disk: &'d D,
    path: PathBuf,
    /// How long the segment is.
    bytes: u64,
    /// Where the next record begins.
    offset: u64,
    piece: Vec<u8>,
    piece_at: u64,
}

/// Numbers behind a damage that are believed, so that what only looks like a record costs little.
const LATER_MAX: u64 = 1 << 20;

/// What comes next in a segment.
#[derive(Debug)]
pub(crate) enum Found<'r> {
    Record(Seq, &'r [u8]),
    End,
    Damage(Reason),
}

impl<'d, D: Disk> Records<'d, D> {
    /// Those after the header of a segment of so many bytes.
    pub(crate) fn of(disk: &'d D, path: PathBuf, bytes: u64) -> Self {
        let offset = (HEADER_BYTES as u64).min(bytes);
        Self { disk, path, bytes, offset, piece: Vec::new(), piece_at: 0 }
    }

    /// How far it was read, which is how far the segment is whole.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, whose number must be one of those expected. A length that is not that of a record costs no
    /// memory: what is longer than a piece is read as a whole only when its checksum is right.
    pub(crate) fn next(&mut self, expected: &RangeInclusive<Seq>) -> Result<Found<'_>, JournalError> {
        if self.offset >= self.bytes {
            return Ok(Found::End);
        }
        let torn = Ok(Found::Damage(Reason::TornRecord));
        if !self.fill(RECORD_HEAD_BYTES as u64)? {
            return torn;
        }
        let Some(head) = RecordHead::decode(self.front()) else { return torn };
        let record_bytes = RECORD_HEAD_BYTES as u64 + u64::from(head.payload_bytes);
        if record_bytes > self.bytes - self.offset {
            return torn;
        }
        if record_bytes > PIECE_BYTES && !self.is_whole(head, record_bytes)? {
            return Ok(Found::Damage(Reason::DamagedRecord));
        }
        if !self.fill(record_bytes)? {
            return torn;
        }
        let start = self.place();
        let payload_bytes = usize::try_from(head.payload_bytes).expect("it was read");
        let payload = &self.piece[start + RECORD_HEAD_BYTES..][..payload_bytes];
        if head.checksum != head.checksum_of(payload) {
            return Ok(Found::Damage(Reason::DamagedRecord));
        }
        if !expected.contains(&head.seq) {
            return Ok(Found::Damage(Reason::Gap));
        }
        self.offset += record_bytes;
        Ok(Found::Record(head.seq, payload))
    }

    /// Whether a whole record, of this number or a later one, lies behind the damage at which reading ended.
    pub(crate) fn followed_by(&self, damaged: Seq) -> Result<FollowedBy, JournalError> {
        let later = damaged..=Seq::new(damaged.get().saturating_add(LATER_MAX));
        let mut at = self.offset;
        while at < self.bytes {
            let piece = self.read(at, PIECE_BYTES)?;
            for (ahead, bytes) in (0_u64..).zip(piece.windows(RECORD_HEAD_BYTES)) {
                let head = RecordHead::decode(bytes).filter(|head| later.contains(&head.seq));
                let Some(head) = head else { continue };
                let candidate =
                    Self { offset: at + ahead, ..Self::of(self.disk, self.path.clone(), self.bytes) };
                let record_bytes = RECORD_HEAD_BYTES as u64 + u64::from(head.payload_bytes);
                if record_bytes <= self.bytes - candidate.offset && candidate.is_whole(head, record_bytes)? {
                    return Ok(FollowedBy::Records);
                }
            }
            // A head may begin at the end of a piece.
            let step = (piece.len() as u64).saturating_sub(RECORD_HEAD_BYTES as u64 - 1);
            if step == 0 {
                break;
            }
            at += step;
        }
        Ok(FollowedBy::Nothing)
    }

    /// Sees to it that so many bytes of the next record are in memory; false when there are not so many.
    fn fill(&mut self, bytes: u64) -> Result<bool, JournalError> {
        if (self.front().len() as u64) < bytes {
            // Before the next piece is there, or there would be two.
            self.piece = Vec::new();
            self.piece = self.read(self.offset, bytes.max(PIECE_BYTES))?;
            self.piece_at = self.offset;
        }
        Ok(self.front().len() as u64 >= bytes)
    }

    /// Whether the checksum of a record is right, a piece at a time.
    fn is_whole(&self, head: RecordHead, record_bytes: u64) -> Result<bool, JournalError> {
        let end = self.offset + record_bytes;
        let mut at = self.offset + RECORD_HEAD_BYTES as u64;
        let mut checksum = head.hasher();
        while at < end {
            let piece = self.read(at, PIECE_BYTES.min(end - at))?;
            if piece.is_empty() {
                return Ok(false);
            }
            checksum.update(&piece);
            at += piece.len() as u64;
        }
        Ok(checksum.finalize() == head.checksum)
    }

    fn read(&self, offset: u64, max_bytes: u64) -> Result<Vec<u8>, JournalError> {
        self.disk.read_at(&self.path, offset, max_bytes).map_err(Deed::Read.failed(&self.path))
    }

    /// What is in memory from the next record on.
    fn front(&self) -> &[u8] {
        self.piece.get(self.place()..).unwrap_or_default()
    }

    fn place(&self) -> usize {
        usize::try_from(self.offset - self.piece_at).unwrap_or(usize::MAX)
    }
}
