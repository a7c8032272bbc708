//! Reading a journal: what is whole, and where the damage begins.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, Header, HeaderFault, Seq, decode_record};

/// What a journal held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// In order, without a gap, from the newest base on.
    pub records: Vec<(Seq, Vec<u8>)>,
    /// What could not be read after them. After a loss of power that is ordinarily a record that was being written.
    pub discarded: Option<Discarded>,
}

/// What was there and is not given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discarded {
    /// The file name of the segment in which the damage begins.
    pub segment: String,
    /// Where in it.
    pub offset: u64,
    /// From there to its end, together with all segments after it.
    pub bytes: u64,
    pub reason: Reason,
    /// The files in which those bytes are kept; none when the journal was only looked at.
    pub kept: Vec<PathBuf>,
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
}

/// Reads a journal and repairs nothing: for a view beside which nobody writes. Without a directory it is empty.
///
/// # Errors
/// When the disk cannot be read, or the format is newer than this program.
pub fn replay_read_only<D: Disk>(disk: &D, dir: &Path) -> Result<Replay, JournalError> {
    Ok(match Scan::read(disk, dir)? {
        Some(scan) => Replay { records: scan.records, discarded: scan.damage },
        None => Replay { records: Vec::new(), discarded: None },
    })
}

/// All that is in a journal's directory.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) records: Vec<(Seq, Vec<u8>)>,
    pub(crate) damage: Option<Discarded>,
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
    /// None when there is no such directory.
    pub(crate) fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Scan>, JournalError> {
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
            records: Vec::new(),
            damage: None,
            segments: Vec::new(),
            lost: Vec::new(),
            superseded: heads.into_iter().map(|head| head.name).collect(),
            unfinished,
            next: current.first().or(empty.as_ref()).map_or(Seq::new(1), |head| head.seq),
            names,
        };
        for (index, head) in current.into_iter().enumerate() {
            let bytes = read_all(disk, &dir.join(&head.name))?;
            // The first is a base, or what came before it is missing.
            scan.segment(head, &bytes, index == 0);
        }
        Ok(Some(scan))
    }

    fn segment(&mut self, head: Head, bytes: &[u8], must_be_base: bool) {
        let length = bytes.len() as u64;
        if let Some(damage) = &mut self.damage {
            damage.bytes += length;
            self.lost.push(head.name);
            return;
        }
        let (whole, fault) = match head.fault(self.next, must_be_base) {
            Some(reason) => (0, Some(reason)),
            None => self.read_records(bytes),
        };
        if let Some(reason) = fault {
            self.damage = Some(Discarded {
                segment: head.name.clone(),
                offset: whole,
                bytes: length - whole,
                reason,
                kept: Vec::new(),
            });
        }
        if whole > 0 {
            self.segments.push(Segment { name: head.name, bytes: whole });
        } else {
            self.lost.push(head.name);
        }
    }

    /// How far the segment is whole, and why not further.
    fn read_records(&mut self, bytes: &[u8]) -> (u64, Option<Reason>) {
        let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let mut fault = None;
        while !rest.is_empty() {
            match decode_record(rest, self.next) {
                Ok((payload, after)) => {
                    self.records.push((self.next, payload.to_vec()));
                    self.next = self.next.next();
                    rest = after;
                }
                Err(reason) => {
                    fault = Some(reason);
                    break;
                }
            }
        }
        ((bytes.len() - rest.len()) as u64, fault)
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
        self.header.is_some_and(|header| header.base && header.first == self.seq)
    }

    fn fault(&self, expected: Seq, must_be_base: bool) -> Option<Reason> {
        match self.header {
            Some(header) if header.first != self.seq => Some(Reason::DamagedHeader),
            Some(header) if header.first != expected || (must_be_base && !header.base) => Some(Reason::Gap),
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
            Ok(header) => Some(header),
            Err(HeaderFault::Damaged) => None,
            Err(HeaderFault::Newer(found)) => return Err(JournalError::NewerFormat { segment: path, found }),
        };
        heads.push(Head { name: name.clone(), seq, header, empty: bytes.is_empty() });
    }
    Ok(heads)
}

fn read_all<D: Disk>(disk: &D, path: &Path) -> Result<Vec<u8>, JournalError> {
    disk.read_at(path, 0, u64::MAX).map_err(Deed::Read.failed(path))
}

fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(".new").and_then(Seq::of_segment_name).is_some()
}

impl fmt::Display for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Discarded { segment, offset, bytes, reason, kept } = self;
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
        })
    }
}
