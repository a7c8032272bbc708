//! From the journal's bytes to the tracker's records, and what is missing of them.

use std::path::Path;

use nkudo_journal::{Discarded, Disk, FollowedBy, Journal, JournalError, Options, Seq};
use nkudo_supervision::{Operation, Operations};
use nkudo_tracker::{Lost, Record};
use tokio::time::Instant;

use crate::boot_file::BootFile;
use crate::error::ExecutorError;
use crate::state_file;

/// Takes the records of a journal as they are read, so that their bytes are never in memory together.
#[derive(Debug)]
pub struct Decoding<'d> {
    dir: &'d Path,
    records: Result<Vec<Record>, ExecutorError>,
}

impl<'d> Decoding<'d> {
    /// Of the journal in this directory.
    pub fn of(dir: &'d Path) -> Self {
        Self { dir, records: Ok(Vec::new()) }
    }

    /// The next record. After one that is not known no more are taken.
    pub fn take(&mut self, seq: Seq, bytes: &[u8]) {
        let Ok(records) = &mut self.records else { return };
        match serde_json::from_slice(bytes) {
            Ok(record) => records.push(record),
            Err(source) => {
                let (dir, seq) = (self.dir.to_owned(), seq.get());
                self.records = Err(ExecutorError::UnknownRecord { dir, seq, source });
            }
        }
    }

    /// All records, when there are no more.
    ///
    /// # Errors
    /// When one was not known.
    pub fn end(self, discarded: Option<&Discarded>) -> Result<Vec<Record>, ExecutorError> {
        if let Some(discarded) = discarded {
            tracing::error!(
                dir = %self.dir.display(),
                segment = %discarded.segment,
                offset = discarded.offset,
                bytes = discarded.bytes,
                reason = %discarded.reason,
                kept_as = ?discarded.kept,
                "the journal's tail was not readable; it is kept aside"
            );
        }
        self.records
    }
}

/// A journal that was read, to go on with.
pub(crate) struct Recovered<D: Disk> {
    pub(crate) journal: Journal<D>,
    pub(crate) records: Vec<Record>,
    /// Judged once: told at each start until it is on record.
    pub(crate) lost: Lost,
}

impl<D: Disk + Clone> Recovered<D> {
    /// Reads the journal of a state directory, and judges what it lacks.
    pub(crate) fn read(
        disk: &D,
        state_dir: &Path,
        boot_id: &str,
        operations: &Operations,
        make_room: impl FnOnce(&JournalError) -> bool,
    ) -> Result<Self, ExecutorError> {
        let dir = state_dir.join("journal");
        let began = Instant::now();
        let mut decoding = Decoding::of(&dir);
        let take = |seq, bytes: &[u8]| decoding.take(seq, bytes);
        let opened = Journal::open_each(disk.clone(), &dir, Options::default(), take);
        let read = opened.as_ref().map_or(0, |(journal, _)| journal.bytes());
        operations.ended(Operation::FileRead, read, began.elapsed(), opened.is_ok());
        let (journal, discarded) =
            opened.map_err(|source| ExecutorError::OpenJournal { dir: dir.clone(), source })?;
        let before = BootFile::read(disk, state_dir);
        let records = decoding.end(discarded.as_ref());
        let is_behind =
            records.as_ref().is_ok_and(|records| state_file::is_ahead_of(disk, state_dir, records));
        let lost = lost(discarded.as_ref(), is_behind, before.boot_id == boot_id, before.lost);
        let noted = BootFile { boot_id: boot_id.to_owned(), lost };
        match noted.write(disk, state_dir) {
            Err(full) if make_room(&full) => noted.write(disk, state_dir),
            // VMs must be deleted on a full disk; a later damage is then judged as if the host had gone down.
            Err(full) if full.is_storage_full() && lost == Lost::Nothing => Ok(()),
            written => written,
        }
        .map_err(|source| ExecutorError::BootFile { source })?;
        if lost != Lost::Nothing || records.as_ref().is_ok_and(Vec::is_empty) {
            state_file::keep_before_loss(disk, state_dir);
        }
        if is_behind {
            tracing::error!(
                dir = %dir.display(),
                "the journal ends before what the state file tells: records were lost"
            );
        }
        Ok(Self { journal, records: records?, lost })
    }
}

/// What the tracker has to do without. `is_behind` says that an end was told which the records do not have, `before` what was
/// judged of it at an earlier start.
fn lost(discarded: Option<&Discarded>, is_behind: bool, has_stayed_up: bool, before: Lost) -> Lost {
    let now = match discarded {
        None if is_behind => Lost::Ends,
        None => Lost::Nothing,
        // It was judged when more was known.
        Some(discarded) if !discarded.is_news && !is_behind && before != Lost::Nothing => Lost::Nothing,
        Some(discarded) => {
            let was_synced = is_behind || discarded.followed_by == FollowedBy::Segments;
            Lost::judge(discarded.is_cut_off(), was_synced, has_stayed_up)
        }
    };
    before.max(now)
}

#[cfg(test)]
mod tests;
