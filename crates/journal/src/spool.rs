//! A queue on disk of what is to be delivered: numbered, acknowledged, and bounded in bytes.
//!
//! Records are of two classes. For want of room [`Class::Telemetry`] is dropped, the oldest first; [`Class::Audit`] never
//! is: [`Spool::push`] answers [`SpoolError::Full`] then. Both share one sequence of numbers, in which
//! [`Spool::read`] shows what was dropped as an [`Entry::Gap`].
//!
//! ```
//! use std::path::Path;
//!
//! use nkudo_journal::SimulatedDisk;
//! use nkudo_journal::spool::{Class, Entry, Spool, SpoolError, SpoolOptions};
//!
//! # fn main() -> Result<(), SpoolError> {
//! let disk = SimulatedDisk::new();
//! let (mut spool, _) = Spool::open(disk.clone(), Path::new("/state/spool"), SpoolOptions::default())?;
//! spool.push(Class::Audit, b"started")?;
//! let last = spool.push(Class::Telemetry, b"cpu 12 %")?;
//! spool.sync()?;
//!
//! let (mut spool, _) = Spool::open(disk.crash(), Path::new("/state/spool"), SpoolOptions::default())?;
//! let entries = spool.read(spool.acknowledged(), 1 << 20)?;
//! assert!(matches!(&entries[1], Entry::Record { seq, payload, .. } if *seq == last && payload == b"cpu 12 %"));
//! spool.acknowledge(last)?;
//! assert_eq!(spool.read(spool.acknowledged(), 1 << 20)?, []);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! Each class has segments of its own, `audit-<number>.seg` and `telemetry-<number>.seg`, with the header and the
//! records of a journal's segments, but that the header's flags are 2 and 4, and that numbers rise without being
//! contiguous. An empty file tells by its name how far was acknowledged, and the lowest number that was not given out
//! when it was named: `position-<acknowledged>-<next>`. A renaming is whole or not at all and needs no room on a full
//! disk.
//!
//! **Invariant:** what was made durable is read until it is acknowledged, or a gap says that it is not there.
//!
//! **Invariant:** a number that was read is never given to another record.
//!
//! **Invariant:** before a file goes, the position says durably why it may.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, Kind, RECORD_HEAD_BYTES, Seq};
use crate::replay::Discarded;

mod entries;
mod error;
mod lane;
mod opening;
mod position;

pub use error::SpoolError;

use self::lane::Lane;
use self::position::Position;

/// Records until they are acknowledged. See the [module's documentation](self).
#[derive(Debug)]
pub struct Spool<D: Disk> {
    disk: D,
    dir: PathBuf,
    options: SpoolOptions,
    audit: Lane<D>,
    telemetry: Lane<D>,
    /// As the directory has it.
    position: Position,
    acknowledged: Seq,
    next: Seq,
    durable: Seq,
    dropped: u64,
    /// A file was made and its name is not durable yet.
    unsynced_names: bool,
    poisoned: bool,
}

/// How dear a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Is never dropped.
    Audit,
    /// Is dropped for want of room, the oldest first.
    Telemetry,
}

/// The bounds of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolOptions {
    /// The content of all files is never longer.
    pub max_bytes: u64,
    /// A segment that has a record and would grow over this is followed by a new one. It is what is dropped at once.
    pub segment_bytes: u64,
    /// The longest payload that is taken.
    pub max_record_bytes: u32,
}

impl Default for SpoolOptions {
    /// 64 MiB in segments of 256 KiB, records of 64 KiB.
    fn default() -> SpoolOptions {
        SpoolOptions { max_bytes: 64 << 20, segment_bytes: 256 << 10, max_record_bytes: 64 << 10 }
    }
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Record {
        seq: Seq,
        class: Class,
        payload: Vec<u8>,
    },
    /// All records from the one number to the other are not there any more: they were dropped, or damaged, or never
    /// became durable.
    Gap {
        first: Seq,
        last: Seq,
    },
}

/// What was found when a spool was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// What could not be read and was cut off. After a loss of power that is ordinarily what was being written. Nothing
    /// of it is kept aside: the spool is bounded.
    pub discarded: Vec<Discarded>,
    /// Nothing told how far was acknowledged, though there were records: they come again, and if more were dropped
    /// at the end, their numbers too.
    pub position_lost: bool,
}

impl<D: Disk> Spool<D> {
    /// Adds a record, which is durable after the next [`Spool::sync`]. Telemetry for which there is no room beside what
    /// may not be dropped gets a number and is dropped itself.
    ///
    /// # Errors
    /// Nothing was added then. [`SpoolError::Full`] is for audit only; a full disk is told as [`JournalError::Disk`].
    pub fn push(&mut self, class: Class, payload: &[u8]) -> Result<Seq, SpoolError> {
        self.check_usable()?;
        let limit_bytes = self.options.max_record_bytes;
        if u32::try_from(payload.len()).map_or(true, |length| length > limit_bytes) {
            return Err(JournalError::TooLong { bytes: payload.len(), limit_bytes }.into());
        }
        let seq = self.next;
        if !self.make_room((RECORD_HEAD_BYTES + payload.len()) as u64, class)? {
            return match class {
                Class::Audit => {
                    let (bytes, limit_bytes) = (payload.len(), self.options.max_bytes);
                    Err(SpoolError::Full { dir: self.dir.clone(), bytes, limit_bytes })
                }
                Class::Telemetry => {
                    self.dropped += 1;
                    self.next = seq.next();
                    Ok(seq)
                }
            };
        }
        while let Err(error) = self.append(class, seq, payload) {
            // Others took the room: what is done goes, and telemetry gives way to audit here as well.
            let gives_way = error.is_storage_full()
                && !self.poisoned
                && (self.remove_acknowledged()? || (class == Class::Audit && self.drop_oldest()?));
            if !gives_way {
                return Err(error.into());
            }
        }
        self.next = seq.next();
        Ok(seq)
    }

    /// Makes every record durable, and tells the last number. Without new records it costs nothing.
    ///
    /// # Errors
    /// It is not known then what is durable, and every later call fails with [`JournalError::Poisoned`].
    pub fn sync(&mut self) -> Result<Seq, SpoolError> {
        self.check_usable()?;
        let last = self.next.previous();
        if self.durable < last {
            let (disk, dir) = (&self.disk, &self.dir);
            let synced = self.audit.sync(dir).and_then(|()| self.telemetry.sync(dir)).and_then(|()| {
                if self.unsynced_names { disk.sync_dir(dir).map_err(Deed::Sync.failed(dir)) } else { Ok(()) }
            });
            synced.inspect_err(|_| self.poisoned = true)?;
            self.unsynced_names = false;
            // What was dropped at the end left nothing that would tell its numbers.
            if self.audit.last().max(self.telemetry.last()) < last {
                self.set_position(self.next)?;
            }
            self.durable = last;
        }
        Ok(last)
    }

    /// What comes after a number, in order and without leaving a number out: records that take at most `max_bytes` on
    /// disk together, 16 each beside the payload, but at least one. Only what is durable is given out.
    ///
    /// # Errors
    /// When the disk cannot be read. What is damaged is a gap.
    pub fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<Entry>, SpoolError> {
        self.check_usable()?;
        let after = after.max(self.acknowledged);
        let lanes = [&self.audit, &self.telemetry];
        Ok(entries::read(&self.disk, &self.dir, lanes, after, self.durable, max_bytes)?)
    }

    /// All up to this number has been delivered, and is not needed any more. After a crash the newest of it may come
    /// again, unless there was a [`Spool::save`]. A number that was not read yet counts as the last that is durable.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn acknowledge(&mut self, seq: Seq) -> Result<(), SpoolError> {
        self.check_usable()?;
        let seq = seq.min(self.durable);
        if seq <= self.acknowledged {
            return Ok(());
        }
        self.acknowledged = seq;
        for class in [Class::Audit, Class::Telemetry] {
            while self.lane(class).has_finished_up_to(seq) {
                self.remove_oldest(class)?;
            }
        }
        Ok(())
    }

    /// Writes down how far was acknowledged, so that none of it comes again after a restart.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn save(&mut self) -> Result<(), SpoolError> {
        self.check_usable()?;
        Ok(self.set_position(Seq::default())?)
    }

    /// Up to where all was acknowledged.
    pub fn acknowledged(&self) -> Seq {
        self.acknowledged
    }

    /// Up to where all is durable, and can be read.
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// How long all files are together.
    pub fn bytes(&self) -> u64 {
        self.audit.bytes() + self.telemetry.bytes()
    }

    /// How many files there are, the position apart.
    pub fn segments(&self) -> usize {
        self.audit.segments().len() + self.telemetry.segments().len()
    }

    /// Records that were dropped before they were acknowledged, since the spool was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether a record fits now. Drops nothing when it never will.
    fn make_room(&mut self, record_bytes: u64, class: Class) -> Result<bool, JournalError> {
        loop {
            let bytes = self.lane(class).bytes_with(record_bytes, self.options.segment_bytes);
            let other = match class {
                Class::Audit => &self.telemetry,
                Class::Telemetry => &self.audit,
            };
            if bytes + other.bytes() <= self.options.max_bytes {
                return Ok(true);
            }
            if self.remove_acknowledged()? {
                continue;
            }
            let kept = match class {
                Class::Audit => bytes,
                Class::Telemetry => self.audit.bytes() + HEADER_BYTES as u64 + record_bytes,
            };
            if kept > self.options.max_bytes || !self.drop_oldest()? {
                return Ok(false);
            }
        }
    }

    /// Whether there was a file of which nothing is needed.
    fn remove_acknowledged(&mut self) -> Result<bool, JournalError> {
        let all = [Class::Audit, Class::Telemetry].into_iter();
        let mut done = all.filter(|class| self.lane(*class).begins_up_to(self.acknowledged));
        let Some(class) = done.next() else { return Ok(false) };
        self.remove_oldest(class)?;
        Ok(true)
    }

    /// Whether there was telemetry to drop.
    fn drop_oldest(&mut self) -> Result<bool, JournalError> {
        let Some(oldest) = self.telemetry.segments().front() else { return Ok(false) };
        let records = oldest.records_after(self.acknowledged, &self.disk, &self.dir, Class::Telemetry)?;
        self.remove_oldest(Class::Telemetry)?;
        self.dropped += records;
        Ok(true)
    }

    /// The position says first that it was acknowledged, or that its numbers were given out.
    fn remove_oldest(&mut self, class: Class) -> Result<(), JournalError> {
        let Some(oldest) = self.lane(class).segments().front() else { return Ok(()) };
        let last = oldest.last;
        let is_told = if self.acknowledged >= last {
            self.position.acknowledged >= last
        } else {
            self.position.next > last
        };
        if !is_told {
            self.set_position(last.next())?;
        }
        match class {
            Class::Audit => self.audit.remove_oldest(&self.disk, &self.dir),
            Class::Telemetry => self.telemetry.remove_oldest(&self.disk, &self.dir),
        }
    }

    /// Durably, that all before `next` was given out.
    fn set_position(&mut self, next: Seq) -> Result<(), JournalError> {
        let acknowledged = self.acknowledged;
        let next = self.position.next.max(next).max(acknowledged.next());
        let moved = self.position.move_to(Position { acknowledged, next }, &self.disk, &self.dir);
        // Which of the two names it has is not known then.
        moved.inspect_err(|_| self.poisoned = true)
    }

    fn append(&mut self, class: Class, seq: Seq, payload: &[u8]) -> Result<(), JournalError> {
        let lane = match class {
            Class::Audit => &mut self.audit,
            Class::Telemetry => &mut self.telemetry,
        };
        let appended = lane.append(&self.disk, &self.dir, seq, payload, self.options.segment_bytes);
        self.unsynced_names |= lane.take_new_name();
        appended.inspect_err(|_| self.poisoned |= lane.is_broken())
    }

    fn lane(&self, class: Class) -> &Lane<D> {
        match class {
            Class::Audit => &self.audit,
            Class::Telemetry => &self.telemetry,
        }
    }

    fn check_usable(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned(self.dir.clone())) } else { Ok(()) }
    }
}

fn join(dir: &Path, class: Class, first: Seq) -> PathBuf {
    dir.join(segment_name(class, first))
}

fn segment_name(class: Class, first: Seq) -> String {
    format!("{}{}", prefix(class), first.segment_name())
}

fn kind(class: Class) -> Kind {
    match class {
        Class::Audit => Kind::Audit,
        Class::Telemetry => Kind::Telemetry,
    }
}

fn prefix(class: Class) -> &'static str {
    match class {
        Class::Audit => "audit-",
        Class::Telemetry => "telemetry-",
    }
}
