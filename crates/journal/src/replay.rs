//! Reading a journal: what is whole, and where the damage begins.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, Header, HeaderFault, Kind, Seq};
use crate::journal::loss;
use crate::reading::{Found, Records};

/// What a journal held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// In order, without a gap, from the newest base on.
    pub records: Vec<(Seq, Vec<u8>)>,
    /// What could not be read after them, now or at an earlier opening whose owner did not say
    /// [`Journal::loss_is_on_record`](crate::Journal::loss_is_on_record). After a loss of power that is ordinarily a record
    /// that was being written.
    pub discarded: Option<Discarded>,
}

/// What was there and is not given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discarded {
    /// The file name of the segment in which the damage begins.
    pub segment: String,
    /// Where in it.
    pub offset: u64,
    /// From there to its end, together with all segments after it, and with what was lost at other places before.
    pub bytes: u64,
    pub reason: Reason,
    pub followed_by: FollowedBy,
    /// Some of it was found just now; else all was told at an earlier opening.
    pub is_news: bool,
    /// The files in which those bytes are kept; none when the journal was only looked at.
    pub kept: Vec<PathBuf>,
}

impl Discarded {
    /// Whether it looks like a write that a kill cut off: the last record, and less of it than it says.
    pub fn is_cut_off(&self) -> bool {
        self.reason == Reason::TornRecord && self.followed_by == FollowedBy::Nothing
    }

    /// What was lost before together with what is lost now. The place is that of the newer.
    pub(crate) fn all(before: Option<Discarded>, now: Option<Discarded>) -> Option<Discarded> {
        let (Some(before), Some(now)) = (&before, &now) else { return before.or(now) };
        // A repair that was cut off finds the same damage once more.
        let same = (&before.segment, before.offset) == (&now.segment, now.offset);
        let bytes = if same { before.bytes.max(now.bytes) } else { before.bytes.saturating_add(now.bytes) };
        let mut kept = before.kept.clone();
        kept.extend(now.kept.iter().filter(|path| !before.kept.contains(path)).cloned());
        let followed_by = before.followed_by.max(now.followed_by);
        Some(Discarded { bytes, kept, followed_by, ..now.clone() })
    }
}

/// What is whole behind a damage, and so how much it may have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FollowedBy {
    /// Nothing: the last record alone is damaged.
    Nothing,
    /// Records of the same segment. After a loss of power they may be of one group that was never synced.
    Records,
    /// Segments: the damaged one had been synced before they were begun.
    Segments,
}

/// What is wrong at the place where the damage begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The segment's head is not one, or not that of its name.
    DamagedHeader,
    /// The file ends within a record; a damaged length looks the same.
    TornRecord,
    DamagedRecord,
    /// Records are missing before this place.
    Gap,
    /// Something was lost before, and the note of it is damaged too.
    Unknown,
}

/// Reads a journal and repairs nothing: for a view beside which nobody writes. Without a directory it is empty.
///
/// # Errors
/// When the disk cannot be read, or the format is newer than this program.
pub fn replay_read_only<D: Disk>(disk: &D, dir: &Path) -> Result<Replay, JournalError> {
    let mut records = Vec::new();
    let discarded = replay_each_read_only(disk, dir, |seq, payload| records.push((seq, payload.to_vec())))?;
    Ok(Replay { records, discarded })
}

/// As [`replay_read_only`], but hands over each payload as it is read, so that they are never in memory together: see
/// [`Journal::open_each`](crate::Journal::open_each). Tells what could not be read after them.
///
/// # Errors
/// As [`replay_read_only`].
pub fn replay_each_read_only<D: Disk>(
    disk: &D,
    dir: &Path,
    mut each: impl FnMut(Seq, &[u8]),
) -> Result<Option<Discarded>, JournalError> {
    Ok(Scan::read(disk, dir, &mut each)?.and_then(|scan| Discarded::all(scan.noted, scan.damage)))
}

/// All that is in a journal's directory, but for its records.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) damage: Option<Discarded>,
    /// What was lost before, and is not on record with the owner.
    pub(crate) noted: Option<Discarded>,
    /// What is whole, cut where the damage begins.
    pub(crate) segments: Vec<Segment>,
    /// Behind the damage: nothing of them is whole and without a gap.
    pub(crate) lost: Vec<String>,
    /// Older than the newest base.
    pub(crate) superseded: Vec<String>,
    /// Cut off before anything was in them that is not elsewhere.
    pub(crate) unfinished: Vec<String>,
    pub(crate) next: Seq,
    pub(crate) names: BTreeSet<String>,
}

/// A segment of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

impl Scan {
    /// Hands over each record in its order. None when there is no such directory.
    pub(crate) fn read<D: Disk>(
        disk: &D,
        dir: &Path,
        each: &mut dyn FnMut(Seq, &[u8]),
    ) -> Result<Option<Scan>, JournalError> {
        let names: BTreeSet<String> = match disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            listed => listed.map_err(Deed::List.failed(dir))?.into_iter().collect(),
        };
        let mut unfinished: Vec<_> = names.iter().filter(|name| is_unfinished(name)).cloned().collect();
        let mut heads = heads(disk, dir, &names)?;
        // The last segment was made and nothing reached the disk.
        let empty = heads.pop_if(|head| head.empty);
        unfinished.extend(empty.iter().map(|head| head.name.clone()));
        let start = heads.iter().rposition(Head::is_base).unwrap_or(0);
        let current = heads.split_off(start);
        let mut scan = Scan {
            damage: None,
            noted: loss::read(disk, dir, &names)?,
            segments: Vec::new(),
            lost: Vec::new(),
            superseded: heads.into_iter().map(|head| head.name).collect(),
            unfinished,
            next: current.first().or(empty.as_ref()).map_or(Seq::new(1), |head| head.seq),
            names,
        };
        for (index, head) in current.into_iter().enumerate() {
            let path = dir.join(&head.name);
            let bytes = disk.length(&path).map_err(Deed::Read.failed(&path))?;
            // The first is a base, or what came before it is missing.
            scan.segment(head, Records::of(disk, path, bytes), bytes, index == 0, each)?;
        }
        Ok(Some(scan))
    }

    fn segment<D: Disk>(
        &mut self,
        head: Head,
        records: Records<'_, D>,
        bytes: u64,
        must_be_base: bool,
        each: &mut dyn FnMut(Seq, &[u8]),
    ) -> Result<(), JournalError> {
        if let Some(damage) = &mut self.damage {
            damage.bytes += bytes;
            damage.followed_by = FollowedBy::Segments;
            self.lost.push(head.name);
            return Ok(());
        }
        let mut records = records;
        let (whole, fault) = match head.fault(self.next, must_be_base) {
            Some(reason) => (0, Some(reason)),
            None => self.read_records(&mut records, each)?,
        };
        if let Some(reason) = fault {
            let followed_by = records.followed_by(self.next)?;
            self.damage = Some(Discarded {
                segment: head.name.clone(),
                offset: whole,
                bytes: bytes - whole,
                reason,
                followed_by,
                is_news: true,
                kept: Vec::new(),
            });
        }
        if whole > 0 {
            self.segments.push(Segment { name: head.name, bytes: whole });
        } else {
            self.lost.push(head.name);
        }
        Ok(())
    }

    /// How far the segment is whole, and why not further.
    fn read_records<D: Disk>(
        &mut self,
        records: &mut Records<'_, D>,
        each: &mut dyn FnMut(Seq, &[u8]),
    ) -> Result<(u64, Option<Reason>), JournalError> {
        let fault = loop {
            match records.next(&(self.next..=self.next))? {
                Found::Record(seq, payload) => {
                    each(seq, payload);
                    self.next = seq.next();
                }
                Found::End => break None,
                Found::Damage(reason) => break Some(reason),
            }
        };
        Ok((records.offset(), fault))
    }
}

/// A file that is named like a segment, and what its head says.
#[derive(Debug)]
struct Head {
    name: String,
    seq: Seq,
    header: Option<Header>,
    empty: bool,
}

impl Head {
    fn is_base(&self) -> bool {
        self.header.is_some_and(|header| header.kind == Kind::Base && header.first == self.seq)
    }

    fn fault(&self, expected: Seq, must_be_base: bool) -> Option<Reason> {
        match self.header {
            Some(header) if header.first != self.seq => Some(Reason::DamagedHeader),
            Some(header) if header.first != expected || (must_be_base && header.kind != Kind::Base) => {
                Some(Reason::Gap)
            }
            Some(_) => None,
            None => Some(Reason::DamagedHeader),
        }
    }
}

/// In the order of their numbers.
fn heads<D: Disk>(disk: &D, dir: &Path, names: &BTreeSet<String>) -> Result<Vec<Head>, JournalError> {
    let mut heads = Vec::new();
    for name in names {
        let Some(seq) = Seq::of_segment_name(name) else { continue };
        let path = dir.join(name);
        let bytes = disk.read_at(&path, 0, HEADER_BYTES as u64).map_err(Deed::Read.failed(&path))?;
        let header = match Header::decode(&bytes) {
            Ok(header) => match header.kind {
                Kind::Base | Kind::Next => Some(header),
                Kind::Audit | Kind::Telemetry => None,
            },
            Err(HeaderFault::Damaged) => None,
            Err(HeaderFault::Newer(found)) => return Err(JournalError::NewerFormat { segment: path, found }),
        };
        heads.push(Head { name: name.clone(), seq, header, empty: bytes.is_empty() });
    }
    Ok(heads)
}

fn is_unfinished(name: &str) -> bool {
    let whole = name.strip_suffix(".new");
    whole.is_some_and(|whole| whole == loss::NAME || Seq::of_segment_name(whole).is_some())
}

impl fmt::Display for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Discarded { segment, offset, bytes, reason, kept, .. } = self;
        write!(f, "{bytes} bytes from offset {offset} of {segment} on: {reason}")?;
        for path in kept {
            write!(f, ", kept in {}", path.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::DamagedHeader => "the head of the segment is damaged",
            Reason::TornRecord => "the last record is cut off",
            Reason::DamagedRecord => "a record is damaged",
            Reason::Gap => "records are missing before it",
            Reason::Unknown => "what was lost before is not known any more",
        })
    }
}
