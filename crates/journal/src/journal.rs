//! Writing a journal.

use std::path::{Path, PathBuf};

use crate::atomic::{remove_if_there, unfinished};
use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, Header, Kind, RECORD_HEAD_BYTES, Seq, encode_record};
use crate::replay::{Discarded, Replay, Scan, Segment};

mod anew;
pub(crate) mod loss;
mod repair;

/// A compaction writes in pieces of about this size.
const COMPACTION_WRITE_BYTES: usize = 64 * 1024;

/// Records in order, durable up to the last sync. See the crate's documentation.
#[derive(Debug)]
pub struct Journal<D: Disk> {
    disk: D,
    dir: PathBuf,
    options: Options,
    /// The last is the one that is written, by `file`.
    segments: Vec<Segment>,
    file: D::File,
    next: Seq,
    durable: Seq,
    /// The last segment was written to or cut since its last sync.
    unsynced: bool,
    poisoned: bool,
    /// An opening tells of a loss until its owner has it on record.
    loss_noted: bool,
    /// Kept for its memory.
    buffer: Vec<u8>,
}

/// The bounds of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment that has a record and would grow over this is followed by a new one. A snapshot is one segment.
    pub segment_bytes: u64,
    /// The longest payload that is taken. A longer one from before is still given back.
    pub max_record_bytes: u32,
}

impl Default for Options {
    /// Segments of 4 MiB, records of 1 MiB.
    fn default() -> Options {
        Options { segment_bytes: 4 << 20, max_record_bytes: 1 << 20 }
    }
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in a directory, which is made when there is none, and gives back what it holds; all of that
    /// is durable then. Damage is set aside and told, at every opening until [`Journal::loss_is_on_record`]; the files in
    /// which it is kept stay.
    ///
    /// The last segment is written anew: its program may have been killed before a sync, or the sync have failed.
    ///
    /// # Errors
    /// When the disk cannot be read or written, or the format is newer than this program. For want of room damage
    /// cannot be set aside; [`JournalError::is_storage_full`] says so.
    pub fn open(disk: D, dir: &Path, options: Options) -> Result<(Journal<D>, Replay), JournalError> {
        let mut records = Vec::new();
        let keep = |seq, payload: &[u8]| records.push((seq, payload.to_vec()));
        let (journal, discarded) = Journal::open_each(disk, dir, options, keep)?;
        Ok((journal, Replay { records, discarded }))
    }

    /// As [`Journal::open`], but hands over each payload as it is read, so that they are never in memory together: at
    /// most 256 KiB of a segment are, or one record when it is longer, whatever damage says of its length. Tells what
    /// could not be read after them.
    ///
    /// # Errors
    /// As [`Journal::open`]. What was handed over before is not known to be durable then.
    pub fn open_each(
        disk: D,
        dir: &Path,
        options: Options,
        mut each: impl FnMut(Seq, &[u8]),
    ) -> Result<(Journal<D>, Option<Discarded>), JournalError> {
        disk.create_dir_all(dir).map_err(Deed::MakeDirectory.failed(dir))?;
        let missing = || Deed::List.failed(dir)(std::io::ErrorKind::NotFound.into());
        let mut scan = Scan::read(&disk, dir, &mut each)?.ok_or_else(missing)?;
        let discarded = repair::repair(&disk, dir, &mut scan)?;
        let Scan { mut segments, next, .. } = scan;
        let file = match segments.last() {
            Some(active) => anew::write_anew(&disk, &dir.join(&active.name), active.bytes)?,
            None => {
                let (segment, file) = create_segment(&disk, dir, Header { kind: Kind::Base, first: next })?;
                segments.push(segment);
                file
            }
        };
        disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
        let journal = Journal {
            dir: dir.to_owned(),
            options,
            segments,
            file,
            next,
            durable: next.previous(),
            unsynced: false,
            poisoned: false,
            loss_noted: discarded.is_some(),
            buffer: Vec::new(),
            disk,
        };
        Ok((journal, discarded))
    }

    /// Adds a record, which is durable after the next [`Journal::sync`].
    ///
    /// # Errors
    /// Nothing was added then. [`JournalError::Disk`] for want of space leaves a journal that can be used.
    pub fn append(&mut self, payload: &[u8]) -> Result<Seq, JournalError> {
        self.check_usable()?;
        let seq = self.next;
        self.buffer.clear();
        encode(&mut self.buffer, seq, payload, self.options.max_record_bytes)?;
        let bytes = self.buffer.len() as u64;
        if self.active().bytes > HEADER_BYTES as u64
            && self.active().bytes + bytes > self.options.segment_bytes
        {
            self.begin_segment()?;
        }
        let path = self.dir.join(&self.active().name);
        self.unsynced = true;
        if let Err(source) = self.file.append(&self.buffer) {
            // Part of it may be there, and what follows it could never be read. The cut needs a sync like a record: it
            // must not come undone with a segment after it.
            self.poisoned = self.disk.truncate(&path, self.active().bytes).is_err();
            return Err(Deed::Append.failed(&path)(source));
        }
        self.active_mut().bytes += bytes;
        self.next = seq.next();
        Ok(seq)
    }

    /// Makes every record durable, and tells the last of them; zero when there is none. Without new records it costs
    /// nothing.
    ///
    /// # Errors
    /// It is not known then what is durable, and every later call fails with [`JournalError::Poisoned`].
    pub fn sync(&mut self) -> Result<Seq, JournalError> {
        self.check_usable()?;
        if self.unsynced {
            let path = self.dir.join(&self.active().name);
            self.file.sync().map_err(Deed::Sync.failed(&path)).inspect_err(|_| self.poisoned = true)?;
            self.unsynced = false;
        }
        self.durable = self.next.previous();
        Ok(self.durable)
    }

    /// Replaces everything by the records of a snapshot, which get new numbers, and tells the last of them. All of
    /// it is durable then. A crash at any point leaves what was before or the snapshot, whole.
    ///
    /// # Errors
    /// The journal is as before then, with two exceptions. When the renaming into place or the sync of the directory
    /// fails, it is not known which is in force, and every later call fails with [`JournalError::Poisoned`]. When an
    /// older segment cannot be removed the snapshot is in force all the same, and the next [`Journal::open`]
    /// removes it.
    pub fn compact(&mut self, snapshot: impl IntoIterator<Item = Vec<u8>>) -> Result<Seq, JournalError> {
        self.check_usable()?;
        let name = self.next.segment_name();
        let path = self.dir.join(&name);
        let unfinished = unfinished(&path);
        remove_if_there(&self.disk, &unfinished)?;
        let (file, bytes, next) = match self.write_base(&unfinished, snapshot) {
            Ok(written) => written,
            Err(error) => {
                // The first failure is the one to tell; what is left is removed by the next compaction or opening.
                drop(remove_if_there(&self.disk, &unfinished));
                return Err(error);
            }
        };
        let renamed = self.disk.rename(&unfinished, &path).map_err(Deed::Rename.failed(&unfinished));
        renamed.inspect_err(|_| self.poisoned = true)?;
        // From here on a crash may find the base in force, so there is no way back.
        (self.file, self.unsynced) = (file, false);
        let older = std::mem::replace(&mut self.segments, vec![Segment { name, bytes }]);
        self.next = next;
        self.disk
            .sync_dir(&self.dir)
            .map_err(Deed::Sync.failed(&self.dir))
            .inspect_err(|_| self.poisoned = true)?;
        self.durable = next.previous();
        // An active segment without records had the same name, and was replaced.
        for segment in older.iter().filter(|segment| segment.name != self.active().name) {
            let path = self.dir.join(&segment.name);
            self.disk.remove(&path).map_err(Deed::Remove.failed(&path))?;
        }
        Ok(self.durable)
    }

    /// Its owner has what was discarded on record, or does not care: later openings do not tell of it any more. Nothing
    /// happens when nothing was.
    ///
    /// # Errors
    /// It is told once more then.
    pub fn loss_is_on_record(&mut self) -> Result<(), JournalError> {
        if self.loss_noted {
            loss::forget(&self.disk, &self.dir)?;
            self.loss_noted = false;
        }
        Ok(())
    }

    /// How many files the journal has.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// How long they are together.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Up to where everything is known to be durable.
    pub fn durable(&self) -> Seq {
        self.durable
    }

    fn check_usable(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned(self.dir.clone())) } else { Ok(()) }
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect("an open journal has a segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("an open journal has a segment")
    }

    /// The finished segment is durable before the new one is there, so a crash leaves no gap between them.
    fn begin_segment(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let header = Header { kind: Kind::Next, first: self.next };
        let made = create_segment(&self.disk, &self.dir, header).and_then(|made| {
            self.disk.sync_dir(&self.dir).map_err(Deed::Sync.failed(&self.dir))?;
            Ok(made)
        });
        match made {
            Ok((segment, file)) => {
                self.segments.push(segment);
                self.file = file;
                Ok(())
            }
            Err(error) => {
                // With the file gone the next append can try again.
                let removed = remove_if_there(&self.disk, &self.dir.join(self.next.segment_name()));
                self.poisoned =
                    removed.is_err() || matches!(error, JournalError::Disk { deed: Deed::Sync, .. });
                Err(error)
            }
        }
    }

    /// The file with its length, and the number after its last record.
    fn write_base(
        &self,
        path: &Path,
        snapshot: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<(D::File, u64, Seq), JournalError> {
        let mut file = self.disk.create_new(path).map_err(Deed::Create.failed(path))?;
        let mut buffer = Header { kind: Kind::Base, first: self.next }.encode();
        let (mut bytes, mut next) = (0, self.next);
        for payload in snapshot {
            encode(&mut buffer, next, &payload, self.options.max_record_bytes)?;
            next = next.next();
            if buffer.len() >= COMPACTION_WRITE_BYTES {
                file.append(&buffer).map_err(Deed::Append.failed(path))?;
                bytes += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.append(&buffer).map_err(Deed::Append.failed(path))?;
        bytes += buffer.len() as u64;
        file.sync().map_err(Deed::Sync.failed(path))?;
        Ok((file, bytes, next))
    }
}

/// A segment without records, whose content is durable; its name is not yet.
fn create_segment<D: Disk>(disk: &D, dir: &Path, header: Header) -> Result<(Segment, D::File), JournalError> {
    let name = header.first.segment_name();
    let path = dir.join(&name);
    let mut file = disk.create_new(&path).map_err(Deed::Create.failed(&path))?;
    file.append(&header.encode()).map_err(Deed::Append.failed(&path))?;
    file.sync().map_err(Deed::Sync.failed(&path))?;
    Ok((Segment { name, bytes: HEADER_BYTES as u64 }, file))
}

fn encode(buffer: &mut Vec<u8>, seq: Seq, payload: &[u8], limit_bytes: u32) -> Result<(), JournalError> {
    match u32::try_from(payload.len()) {
        Ok(length) if length <= limit_bytes => {
            buffer.reserve(RECORD_HEAD_BYTES + payload.len());
            encode_record(buffer, seq, length, payload);
            Ok(())
        }
        Ok(_) | Err(_) => Err(JournalError::TooLong { bytes: payload.len(), limit_bytes }),
    }
}
