//! Removing what is kept elsewhere.

use jiff::Timestamp;
use nkudo_journal::{Deed, Disk};

use crate::error::{AuditError, failed};
use crate::line::timestamp_of;
use crate::lines::{Lines, Piece};
use crate::log::{AuditLog, path};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub files: usize,
    pub bytes: u64,
}

impl<D: Disk> AuditLog<D> {
    /// Removes whole files in which all lines come before this one, never the last file. Before that a checkpoint is made
    /// durable that says with which line the log begins from now on, so that nobody else can remove files unnoticed.
    ///
    /// What a crash cuts off of it the next opening finishes.
    ///
    /// # Errors
    /// Of the disk. Files that could not be removed are removed by the next call or opening.
    pub fn prune(&mut self, before_seq: u64, now: Timestamp) -> Result<Pruned, AuditError> {
        self.check_usable()?;
        let first = self.files.iter().rev().map(|file| file.first).find(|first| *first <= before_seq);
        if let Some(first) = first.filter(|first| *first > self.chain.first()) {
            self.batch.begin(self.chain);
            self.batch.push_statement(first, &self.options, now, &self.key);
            self.write()?;
            self.sync()?;
        }
        self.remove_pruned()
    }

    /// As [`AuditLog::prune`], of files whose lines were all written before this time. The order of the lines says more than
    /// their times do, as a clock can be set back: a line is no older than any before it. So files go up to one that begins
    /// before this time and no earlier than anything before it. Lines from after `now` say nothing.
    ///
    /// # Errors
    /// As [`AuditLog::prune`], and when a file cannot be read.
    pub fn prune_older(&mut self, than: Timestamp, now: Timestamp) -> Result<Pruned, AuditError> {
        self.check_usable()?;
        let mut first = 0;
        let mut newest = Timestamp::MIN;
        'files: for file in &self.files {
            let mut lines = Lines::new(&self.disk, path(&self.dir, file));
            let mut begins = true;
            while let Some(piece) = lines.next()? {
                let at = match piece {
                    Piece::Line(line) => timestamp_of(line).filter(|at| *at <= now),
                    Piece::TooLong | Piece::Cut => None,
                };
                let was_begin = std::mem::take(&mut begins);
                let Some(at) = at else { continue };
                if at > than {
                    break 'files;
                }
                if was_begin && at >= newest {
                    first = file.first;
                }
                newest = newest.max(at);
            }
        }
        self.prune(first, now)
    }

    /// Removes the files before the line with which the log begins, as the newest durable checkpoint says.
    pub(super) fn remove_pruned(&mut self) -> Result<Pruned, AuditError> {
        let mut pruned = Pruned::default();
        let first = self.chain.first();
        while let Some(oldest) = self.files.first().copied().filter(|file| file.first < first) {
            for kept in self.kept.extract_if(.., |kept| kept.first == oldest.first) {
                let path = self.dir.join(&kept.name);
                self.disk.remove(&path).map_err(failed(Deed::Remove, &path))?;
                pruned.bytes += kept.bytes;
            }
            let path = path(&self.dir, &oldest);
            self.disk.remove(&path).map_err(failed(Deed::Remove, &path))?;
            self.files.remove(0);
            // One after the other: what is left after a crash has no gap.
            self.disk.sync_dir(&self.dir).map_err(failed(Deed::Sync, &self.dir))?;
            pruned.files += 1;
            pruned.bytes += oldest.bytes;
            self.metrics.pruned.inc();
        }
        self.show_bytes();
        Ok(pruned)
    }
}
