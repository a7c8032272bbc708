//! Log files: lines in, rotated by time and size, the oldest pruned.
//!
//! A file is called `NAME.SEQUENCE.PERIOD.jsonl`, as in `agent.00000042.2026-11-21T10.jsonl`. The sequence number has
//! eight digits or more and grows from file to file, so that names sort as the files were begun, whatever the clock did.
//! The period is the day, hour or minute of UTC in which the file was written; without rotation by time there is none.
//!
//! A clock that is set back by more than a minute leaves its period, as one that goes on does, and so begins a new file.
//! Nothing is synced to the disk: a power cut may take the last seconds, a killed program loses nothing that was written
//! and at most cuts its last line.

mod config;
mod current;
mod listing;
mod name;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use memchr::{memchr, memchr_iter, memrchr};

use crate::output_metrics::OutputCounts;
use current::Current;

pub(crate) use config::check_name;
pub use config::{FilesConfig, FilesError};
pub(crate) use listing::{Identity, Listed, list};
pub(crate) use name::FileName;
pub use name::Rotation;

use name::Period;

/// How often it is looked whether the file is still in its place.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(2);
/// How many names are tried for a new file where others stand in the way.
const NAMES_TRIED: usize = 16;

/// Writes lines to files, for one thread. That a directory has one writer of a name is its owner's promise.
#[derive(Debug)]
pub struct LogFiles {
    config: FilesConfig,
    counts: OutputCounts,
    /// The file being written; none before the first line and after a failure.
    current: Option<Current>,
    /// All others, oldest first.
    others: VecDeque<Listed>,
    /// Whether `others` tells what is there.
    is_known: bool,
    /// The highest number that was ever used.
    last_sequence: u64,
    looked_at: Option<Timestamp>,
    /// Why the last batch was not written.
    failing: Option<io::ErrorKind>,
    /// How many files were gone that we did not prune.
    vanished: u64,
}

impl LogFiles {
    /// Makes the directory, ends a line that an earlier run was killed at, and prunes what that run left. A disk that is
    /// full or read-only is not told here but by the first [`write`](Self::write), if it is so still.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or there is no such directory and none can be made.
    pub fn open(config: FilesConfig, counts: OutputCounts) -> Result<Self, FilesError> {
        config.check()?;
        let mut files = Self {
            config,
            counts,
            current: None,
            others: VecDeque::new(),
            is_known: false,
            last_sequence: 0,
            looked_at: None,
            failing: None,
            vanished: 0,
        };
        files.gather()?;
        // What cannot be ended or pruned now is tried again with the first batch, and told then.
        let _is_pruned = files.prune(0, files.config.max_files).is_ok();
        Ok(files)
    }

    /// Writes whole lines, each with its line feed, at the time `now`. A last line without one is ended when the next
    /// are written, and counted as cut.
    ///
    /// # Errors
    /// When not all lines could be written: those that are not in a file are counted as lost. The next batch is tried
    /// all the same; the failure is counted again only once its reason has changed or something was written.
    pub fn write(&mut self, now: Timestamp, lines: &[u8]) -> Result<(), FilesError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut rest = lines;
        let result = self.write_all(now, &mut rest);
        match &result {
            Ok(()) => self.failing = None,
            Err(error) => {
                self.counts.lost.inc_by(count(rest));
                if self.failing != error.kind() {
                    self.counts.failures.inc();
                }
                self.failing = error.kind();
                // Whatever was wrong, the next batch finds out anew what is there.
                (self.current, self.is_known) = (None, false);
            }
        }
        result
    }

    /// Whether the last batch was not written.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// The file being written; none before the first line and after a failure.
    pub fn path(&self) -> Option<PathBuf> {
        self.current.as_ref().map(|current| current.path.clone())
    }

    /// How many files somebody else deleted so far, as far as it was noticed: that is when the one being written is gone.
    pub fn vanished(&self) -> u64 {
        self.vanished
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.config.directory
    }

    /// `rest` is at any time what is not written yet.
    fn write_all(&mut self, now: Timestamp, rest: &mut &[u8]) -> Result<(), FilesError> {
        self.look(now)?;
        if !self.is_known {
            self.gather()?;
        }
        let max_bytes = self.config.max_file_bytes;
        while !rest.is_empty() {
            let line_bytes = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            if line_bytes as u64 > max_bytes {
                self.counts.lost.inc();
                *rest = after(rest, line_bytes);
                continue;
            }
            let mut current = self.file_for(now, line_bytes as u64)?;
            let room = usize::try_from(max_bytes - current.bytes).unwrap_or(usize::MAX);
            let fitting = fitting(rest, room);
            let result = self.append(&mut current, fitting, rest);
            self.current = Some(current);
            result?;
        }
        Ok(())
    }

    /// Puts what fits to the end of the file, after older files have made room for it.
    fn append(&mut self, current: &mut Current, fitting: &[u8], rest: &mut &[u8]) -> Result<(), FilesError> {
        self.prune(current.bytes + fitting.len() as u64, self.config.max_files - 1)?;
        let (written, result) = current.append(fitting);
        self.counts.bytes_written.inc_by(written as u64);
        let (in_file, _) = fitting.split_at(written);
        let whole =
            if written == fitting.len() { written } else { memrchr(b'\n', in_file).map_or(0, |at| at + 1) };
        *rest = after(rest, whole);
        result.map_err(FilesError::at(&current.path))
    }

    /// The file that takes a line of so many bytes now, its last line ended. It is lent out: whoever succeeds puts it back.
    fn file_for(&mut self, now: Timestamp, line_bytes: u64) -> Result<Current, FilesError> {
        let (rotation, max_bytes) = (self.config.rotate_every, self.config.max_file_bytes);
        let takes = |file: Listed, end_bytes: u64| {
            file.name.period.takes(rotation, now) && file.bytes + end_bytes + line_bytes <= max_bytes
        };
        let Some(mut current) = self.current.take() else {
            return match self.adopt(|file| takes(file, 1))? {
                Some(current) => Ok(current),
                None => self.create(now),
            };
        };
        let is_right = takes(current.listed(), u64::from(current.is_cut));
        self.end_line(&mut current)?;
        if is_right {
            return Ok(current);
        }
        self.others.push_back(current.listed());
        let next = self.create(now)?;
        self.counts.rotations.inc();
        Ok(next)
    }

    /// Goes on with the newest file that is there, if it is right.
    fn adopt(&mut self, is_right: impl Fn(Listed) -> bool) -> Result<Option<Current>, FilesError> {
        let Some(newest) = self.others.back().copied().filter(|file| is_right(*file)) else {
            return Ok(None);
        };
        let path = self.path_of(newest.name);
        match Current::adopt(path.clone(), newest.name) {
            Ok(mut current) => {
                self.end_line(&mut current)?;
                self.others.pop_back();
                Ok(Some(current))
            }
            Err(error) if is_missing(&error) => {
                self.gone()?;
                Ok(None)
            }
            Err(error) => Err(FilesError::at(&path)(error)),
        }
    }

    fn create(&mut self, now: Timestamp) -> Result<Current, FilesError> {
        self.prune(0, self.config.max_files - 1)?;
        let period = Period::around(self.config.rotate_every, now);
        let mut result = self.create_next(period);
        for _ in 1..NAMES_TRIED {
            match &result {
                Err((_, error)) if is_missing(error) => self.gone()?,
                Err((_, error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Ok(_) | Err(_) => break,
            }
            result = self.create_next(period);
        }
        result.map_err(|(path, error)| FilesError::at(&path)(error))
    }

    fn create_next(&mut self, period: Period) -> Result<Current, (PathBuf, io::Error)> {
        let name = FileName { sequence: self.last_sequence + 1, period };
        let path = self.path_of(name);
        let result = Current::create(path.clone(), name);
        let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        if result.as_ref().err().is_none_or(is_taken) {
            self.last_sequence = name.sequence;
        }
        result.map_err(|error| (path, error))
    }

    fn end_line(&mut self, current: &mut Current) -> Result<(), FilesError> {
        if current.end_line().map_err(FilesError::at(&current.path))? {
            self.counts.cut.inc();
            self.counts.bytes_written.inc();
        }
        Ok(())
    }

    /// Looks now and then whether the file is still in its place.
    fn look(&mut self, now: Timestamp) -> Result<(), FilesError> {
        if self.looked_at.is_some_and(|at| now.duration_since(at).abs() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked_at = Some(now);
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.is_in_place().map_err(FilesError::at(&current.path))? {
            return Ok(());
        }
        let gone = current.listed();
        self.current = None;
        self.others.push_back(gone);
        self.gone()
    }

    /// The file that was written, or its directory, is gone.
    fn gone(&mut self) -> Result<(), FilesError> {
        self.counts.vanished.inc();
        let before = self.others.len();
        let gathered = self.gather();
        self.vanished += before.saturating_sub(self.others.len()) as u64;
        gathered
    }

    /// Makes the directory and finds out what is in it; ends the last line of the newest file if that can be done.
    fn gather(&mut self) -> Result<(), FilesError> {
        let directory = &self.config.directory;
        fs::create_dir_all(directory).map_err(FilesError::making(directory))?;
        self.others = list(directory, &self.config.name).map_err(FilesError::at(directory))?.into();
        self.is_known = true;
        let Some(newest) = self.others.back().copied() else { return Ok(()) };
        self.last_sequence = self.last_sequence.max(newest.name.sequence);
        if let Ok(mut current) = Current::adopt(self.path_of(newest.name), newest.name) {
            let _is_ended = self.end_line(&mut current).is_ok();
            self.others.pop_back();
            self.others.push_back(current.listed());
        }
        Ok(())
    }

    /// Deletes the oldest until at most `files` others are left, and they leave room for `bytes` in all.
    fn prune(&mut self, bytes: u64, files: usize) -> Result<(), FilesError> {
        let mut total = bytes + self.others.iter().map(|file| file.bytes).sum::<u64>();
        while total > self.config.max_total_bytes || self.others.len() > files {
            let Some(oldest) = self.others.front().copied() else { break };
            let path = self.path_of(oldest.name);
            match fs::remove_file(&path) {
                Ok(()) => self.counts.pruned.inc(),
                Err(error) if is_missing(&error) => self.vanished += 1,
                Err(error) => return Err(FilesError::at(&path)(error)),
            }
            total -= oldest.bytes;
            self.others.pop_front();
        }
        Ok(())
    }

    fn path_of(&self, name: FileName) -> PathBuf {
        self.config.directory.join(name.of(&self.config.name))
    }
}

/// As many whole lines as there is room for; at least one, for which there is.
fn fitting(lines: &[u8], room: usize) -> &[u8] {
    if lines.len() <= room {
        return lines;
    }
    let (some, _) = lines.split_at(room);
    let (whole, _) = lines.split_at(memrchr(b'\n', some).map_or(room, |at| at + 1));
    whole
}

fn after(lines: &[u8], count: usize) -> &[u8] {
    let (_, rest) = lines.split_at(count);
    rest
}

/// How many lines there are, one without an end among them.
fn count(lines: &[u8]) -> u64 {
    let ended = memchr_iter(b'\n', lines).count() as u64;
    ended + u64::from(lines.last().is_some_and(|last| *last != b'\n'))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
