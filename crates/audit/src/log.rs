//! Writing a log.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nkudo_journal::{Deed, Disk, DiskFile as _};

use crate::chain::{Batch, Chain};
use crate::entry::Entry;
use crate::error::{AuditError, failed};
use crate::files::{KeptFile, LogFile};
use crate::head::Head;
use crate::key::HostKey;
use crate::line::CHECKPOINT_MAX_BYTES;
use crate::metrics::AuditMetrics;

mod open;
mod prune;

pub use open::{CutLine, Opened};
pub use prune::Pruned;

/// What entries leave free: for the checkpoint that signs the last of them, and for one that says what is pruned.
const RESERVE_BYTES: u64 = 2 * CHECKPOINT_MAX_BYTES;

/// Entries in a chain of hashes, durable up to the last sync. See the crate's documentation.
#[derive(Debug)]
pub struct AuditLog<D: Disk> {
    disk: D,
    dir: PathBuf,
    options: Options,
    key: HostKey,
    metrics: AuditMetrics,
    /// The last is the one that is written, by `file`.
    files: Vec<LogFile>,
    file: Option<D::File>,
    kept: Vec<KeptFile>,
    chain: Chain,
    durable: Head,
    poisoned: bool,
    /// Kept for its memory.
    batch: Batch,
}

/// The bounds of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A file that has an entry and would grow over this is followed by a new one.
    pub file_bytes: u64,
    /// All files together. At this bound entries are refused; nothing is removed but by [`AuditLog::prune`].
    pub log_bytes: u64,
    /// Entries between two checkpoints, at most.
    pub checkpoint_entries: u64,
    /// Time between an entry and the checkpoint that signs it, at most, as long as somebody calls [`AuditLog::tick`].
    pub checkpoint_every: Duration,
}

impl Default for Options {
    /// Files of 8 MiB, 256 MiB in all, a checkpoint every 1000 entries or 5 minutes.
    fn default() -> Options {
        Options {
            file_bytes: 8 << 20,
            log_bytes: 256 << 20,
            checkpoint_entries: 1000,
            checkpoint_every: Duration::from_secs(300),
        }
    }
}

impl<D: Disk> AuditLog<D> {
    /// Adds an entry and tells its number. It is durable after the next [`AuditLog::sync`]: a deed that has to be on
    /// record before it is done waits for that.
    ///
    /// # Errors
    /// Nothing was added then, and the caller has to act on it: [`AuditError::is_storage_full`] says that a later try may
    /// succeed. When what was half written could not be taken back, every later call fails with [`AuditError::Poisoned`],
    /// and only the next opening tells whether the entry is there.
    pub fn append(&mut self, entry: &Entry<'_>) -> Result<u64, AuditError> {
        let appended = self.try_append(entry);
        match &appended {
            Ok(_) => self.metrics.entries.inc(),
            Err(error) => self.metrics.count_refusal(error),
        }
        appended
    }

    /// Makes every entry durable, and tells how far that is. Without new entries it costs nothing.
    ///
    /// # Errors
    /// It is not known then what is durable, and every later call fails with [`AuditError::Poisoned`]: the kernel may have
    /// dropped the data and would say that all is well the second time. [`AuditError::Disturbed`] says that the file is not
    /// the one that was written: what is in it may reach nobody.
    pub fn sync(&mut self) -> Result<Head, AuditError> {
        self.check_usable()?;
        let newest = self.chain.head;
        if let (Some(file), Some(active), true) = (&mut self.file, self.files.last(), self.durable != newest)
        {
            let (path, began) = (self.dir.join(active.name()), Instant::now());
            let synced = file.sync().map_err(failed(Deed::Sync, &path));
            let synced = synced.and_then(|()| check_length(&self.disk, path, active.bytes));
            synced.inspect_err(|_| self.poisoned = true)?;
            self.metrics.sync_seconds.observe(began.elapsed().as_secs_f64());
            self.durable = newest;
        }
        Ok(newest)
    }

    /// Writes a checkpoint when there are entries that none has signed: at an orderly end, for example. It is durable after
    /// the next [`AuditLog::sync`].
    ///
    /// # Errors
    /// As [`AuditLog::append`]. There is room for it in a log that refuses entries.
    pub fn checkpoint(&mut self, now: Timestamp) -> Result<(), AuditError> {
        self.check_usable()?;
        if self.chain.unsigned == 0 {
            return Ok(());
        }
        self.batch.begin(self.chain);
        self.batch.push_checkpoint(&self.options, now, &self.key);
        self.write()
    }

    /// As [`AuditLog::checkpoint`], but only when one is due by time. An entry sees to that itself when it comes; this is
    /// for a log in which nothing happens.
    ///
    /// # Errors
    /// As [`AuditLog::checkpoint`].
    pub fn tick(&mut self, now: Timestamp) -> Result<(), AuditError> {
        self.check_usable()?;
        if self.chain.is_due_by_time(&self.options, now) { self.checkpoint(now) } else { Ok(()) }
    }

    /// Where the log stands as far as it is durable: for whoever keeps heads elsewhere. No crash takes it back, so a log
    /// that does not have it was tampered with.
    pub fn head(&self) -> Head {
        self.durable
    }

    /// The line with which the log begins: 1, or what it was pruned to.
    pub fn first_seq(&self) -> u64 {
        self.chain.first()
    }

    /// How long all files are together.
    pub fn bytes(&self) -> u64 {
        let kept = self.kept.iter().map(|file| file.bytes);
        self.files.iter().map(|file| file.bytes).chain(kept).sum()
    }

    /// How many bytes of entries fit before they are refused, by the limit of the log; the disk may have less.
    pub fn room_bytes(&self) -> u64 {
        self.options.log_bytes.saturating_sub(RESERVE_BYTES).saturating_sub(self.bytes())
    }

    /// How many files with lines there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// From here on it counts there.
    #[must_use]
    pub fn count_in(mut self, metrics: AuditMetrics) -> AuditLog<D> {
        metrics.cut_lines.inc_by(self.metrics.cut_lines.get());
        self.metrics = metrics;
        self.show_bytes();
        self
    }

    fn try_append(&mut self, entry: &Entry<'_>) -> Result<u64, AuditError> {
        self.check_usable()?;
        let is_new = self.active_bytes() == 0;
        self.compose(entry, is_new);
        let is_over = self.active_bytes() + self.batch.len_bytes() > self.options.file_bytes;
        let rotates = !is_new && is_over;
        if rotates {
            self.compose(entry, true);
        }
        let (bytes, limit_bytes) = (self.bytes(), self.options.log_bytes);
        if bytes + self.batch.len_bytes() + RESERVE_BYTES > limit_bytes {
            return Err(AuditError::Full { dir: self.dir.clone(), bytes, limit_bytes });
        }
        if rotates || self.file.is_none() {
            self.begin_file()?;
        }
        self.write()?;
        Ok(self.batch.entry_seq)
    }

    fn compose(&mut self, entry: &Entry<'_>, begins_file: bool) {
        self.batch.begin(self.chain);
        // One that is due before the entry was cut off by a crash, behind the entry that made it due.
        if begins_file || self.chain.is_due_by_number(&self.options) {
            self.batch.push_checkpoint(&self.options, entry.at, &self.key);
        }
        self.batch.push_entry(entry);
        let chain = self.batch.chain;
        if chain.is_due_by_number(&self.options) || chain.is_due_by_time(&self.options, entry.at) {
            self.batch.push_checkpoint(&self.options, entry.at, &self.key);
        }
    }

    /// Writes the batch to the active file: all of it, or nothing.
    fn write(&mut self) -> Result<(), AuditError> {
        let path = self.dir.join(self.active().name());
        let bytes = self.active_bytes();
        let file = self.file.as_mut().expect("what is written has a file");
        if let Err(source) = file.append(&self.batch.bytes) {
            // Part of it may be there, and what follows it could never be verified.
            self.poisoned = self.disk.truncate(&path, bytes).is_err();
            return Err(failed(Deed::Append, &path)(source));
        }
        self.active_mut().bytes += self.batch.len_bytes();
        self.chain = self.batch.chain;
        self.metrics.cut.inc_by(self.batch.cut);
        self.metrics.checkpoints.inc_by(self.batch.checkpoints);
        self.show_bytes();
        Ok(())
    }

    /// The finished file is durable before the new one is there, so only the last one is ever in doubt.
    fn begin_file(&mut self) -> Result<(), AuditError> {
        self.sync()?;
        let file = LogFile { first: self.chain.head.seq + 1, bytes: 0 };
        let path = self.dir.join(file.name());
        let opened = self.disk.create_new(&path).map_err(failed(Deed::Create, &path))?;
        self.files.push(file);
        self.file = Some(opened);
        let synced = self.disk.sync_dir(&self.dir).map_err(failed(Deed::Sync, &self.dir));
        synced.inspect_err(|_| self.poisoned = true)
    }

    fn check_usable(&self) -> Result<(), AuditError> {
        if self.poisoned { Err(AuditError::Poisoned(self.dir.clone())) } else { Ok(()) }
    }

    fn active(&self) -> &LogFile {
        self.files.last().expect("what is written has a file")
    }

    fn active_mut(&mut self) -> &mut LogFile {
        self.files.last_mut().expect("what is written has a file")
    }

    fn active_bytes(&self) -> u64 {
        self.files.last().map_or(0, |file| file.bytes)
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are f64 in the exposition's data model")]
    fn show_bytes(&self) {
        self.metrics.bytes.set(self.bytes() as f64);
        self.metrics.bytes_max.set(self.options.log_bytes as f64);
    }
}

/// A file that somebody removed takes lines without complaint, and they are lost with it.
fn check_length<D: Disk>(disk: &D, path: PathBuf, expected_bytes: u64) -> Result<(), AuditError> {
    let found_bytes = match disk.length(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        length => length.map_err(failed(Deed::Read, &path))?,
    };
    if found_bytes == expected_bytes {
        Ok(())
    } else {
        Err(AuditError::Disturbed { path, expected_bytes, found_bytes })
    }
}

/// The path of a file of the log.
fn path(dir: &Path, file: &LogFile) -> PathBuf {
    dir.join(file.name())
}
