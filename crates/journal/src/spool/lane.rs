//! The segments of one class.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;

use super::{Class, join, kind};
use crate::atomic::remove_if_there;
use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, Header, RECORD_HEAD_BYTES, Seq, encode_record};
use crate::reading::{Found, Records};

/// Segments in the order of their numbers.
pub(super) struct Lane<D: Disk> {
    class: Class,
    segments: VecDeque<Segment>,
    /// Of the last segment, when it can take more.
    file: Option<D::File>,
    /// Something was written or cut since the last sync.
    unsynced: bool,
    new_name: bool,
    /// What a failed write left could not be cut off.
    broken: bool,
}

/// A file of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Which is in its name; no record has a lower one.
    pub(super) first: Seq,
    /// Before the first when there is no record.
    pub(super) last: Seq,
    pub(super) bytes: u64,
}

impl<D: Disk> fmt::Debug for Lane<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, segments, .. } = self;
        f.debug_struct("Lane").field("class", class).field("segments", segments).finish_non_exhaustive()
    }
}

impl Segment {
    /// How many of its records come after a number.
    pub(super) fn records_after<D: Disk>(
        &self,
        after: Seq,
        disk: &D,
        dir: &Path,
        class: Class,
    ) -> Result<u64, JournalError> {
        let mut records = Records::of(disk, join(dir, class, self.first), self.bytes);
        let mut count = 0;
        while let Found::Record(seq, _) = records.next(&(self.first..=self.last))? {
            count += u64::from(seq > after);
        }
        Ok(count)
    }
}

impl<D: Disk> Lane<D> {
    /// From what is on the disk, durably.
    pub(super) fn of(class: Class, segments: VecDeque<Segment>, file: Option<D::File>) -> Self {
        Self { class, segments, file, unsynced: false, new_name: false, broken: false }
    }

    pub(super) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The number of the last record; zero when there is none.
    pub(super) fn last(&self) -> Seq {
        let with_records = self.segments.iter().rev().find(|segment| segment.last >= segment.first);
        with_records.map(|segment| segment.last).unwrap_or_default()
    }

    /// How long it will be with another record.
    pub(super) fn bytes_with(&self, record_bytes: u64, segment_bytes: u64) -> u64 {
        let header = if self.has_room(record_bytes, segment_bytes) { 0 } else { HEADER_BYTES as u64 };
        self.bytes() + header + record_bytes
    }

    /// Whether its oldest segment has nothing after this number, and is not the one that is written.
    pub(super) fn has_finished_up_to(&self, seq: Seq) -> bool {
        let finished = self.segments.len() - usize::from(self.file.is_some());
        finished > 0 && self.begins_up_to(seq)
    }

    /// Whether its oldest segment has records and none after this number, though it may be the one that is written. One
    /// without records waits for its first.
    pub(super) fn begins_up_to(&self, seq: Seq) -> bool {
        self.segments.front().is_some_and(|oldest| oldest.first <= oldest.last && oldest.last <= seq)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a file was made since this was asked last.
    pub(super) fn take_new_name(&mut self) -> bool {
        std::mem::take(&mut self.new_name)
    }

    pub(super) fn append(
        &mut self,
        disk: &D,
        dir: &Path,
        seq: Seq,
        payload: &[u8],
        segment_bytes: u64,
    ) -> Result<(), JournalError> {
        let length = u32::try_from(payload.len()).expect("its length was checked");
        let mut bytes = Vec::with_capacity(RECORD_HEAD_BYTES + payload.len());
        encode_record(&mut bytes, seq, length, payload);
        if !self.has_room(bytes.len() as u64, segment_bytes) {
            self.begin(disk, dir, seq)?;
        }
        let active = self.segments.back_mut().expect("it had room, or was begun");
        let file = self.file.as_mut().expect("it had room, or was begun");
        self.unsynced = true;
        let path = join(dir, self.class, active.first);
        if let Err(source) = file.append(&bytes) {
            // Part of it may be there, and what follows it could never be read.
            self.broken = disk.truncate(&path, active.bytes).is_err();
            return Err(Deed::Append.failed(&path)(source));
        }
        active.bytes += bytes.len() as u64;
        active.last = seq;
        Ok(())
    }

    pub(super) fn sync(&mut self, dir: &Path) -> Result<(), JournalError> {
        if let (true, Some(file), Some(active)) = (self.unsynced, &mut self.file, self.segments.back()) {
            let path = join(dir, self.class, active.first);
            file.sync().map_err(Deed::Sync.failed(&path)).inspect_err(|_| self.broken = true)?;
        }
        self.unsynced = false;
        Ok(())
    }

    pub(super) fn remove_oldest(&mut self, disk: &D, dir: &Path) -> Result<(), JournalError> {
        let Some(oldest) = self.segments.front() else { return Ok(()) };
        remove_if_there(disk, &join(dir, self.class, oldest.first))?;
        self.segments.pop_front();
        if self.segments.is_empty() {
            (self.file, self.unsynced) = (None, false);
        }
        Ok(())
    }

    fn has_room(&self, record_bytes: u64, segment_bytes: u64) -> bool {
        let fits = |active: &Segment| {
            active.bytes <= HEADER_BYTES as u64 || active.bytes + record_bytes <= segment_bytes
        };
        self.file.is_some() && self.segments.back().is_some_and(fits)
    }

    /// What is finished is durable before there is another segment, as only the last is synced later.
    fn begin(&mut self, disk: &D, dir: &Path, first: Seq) -> Result<(), JournalError> {
        self.sync(dir)?;
        let path = join(dir, self.class, first);
        let mut file = disk.create_new(&path).map_err(Deed::Create.failed(&path))?;
        if let Err(source) = file.append(&Header { kind: kind(self.class), first }.encode()) {
            self.broken = remove_if_there(disk, &path).is_err();
            return Err(Deed::Append.failed(&path)(source));
        }
        (self.file, self.unsynced, self.new_name) = (Some(file), true, true);
        self.segments.push_back(Segment { first, last: first.previous(), bytes: HEADER_BYTES as u64 });
        Ok(())
    }
}
