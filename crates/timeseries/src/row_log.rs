//! The journal of rows that are not in the database yet.
//!
//! It is a [`Journal`] of `nkudo-journal`: a row is one record, so a killed program loses at most the row that it was
//! writing. Whether a row is in the database too is told by its number and not by its place, so that a crash between
//! sealing and emptying the journal doubles nothing, and a journal that was lost hides nothing.

use std::path::{Path, PathBuf};

use nkudo_journal::{Journal, JournalError, Options, RealDisk, Replay};

/// A row of every series with all of their names fits in a record.
const OPTIONS: Options = Options { segment_bytes: 4 << 20, max_record_bytes: 8 << 20 };

/// Rows in a directory.
#[derive(Debug)]
pub(crate) struct RowLog {
    /// Nothing where nothing may be written.
    dir: Option<PathBuf>,
    /// Nothing when its disk failed.
    journal: Option<Journal<RealDisk>>,
    sync_ms: i64,
    synced_at_ms: Option<i64>,
}

impl RowLog {
    pub(crate) fn open(dir: &Path, sync_ms: i64) -> Result<(Self, Replay), JournalError> {
        let (mut journal, replay) = Journal::open(RealDisk, dir, OPTIONS)?;
        // What is lost is counted by whoever opens, and nothing else depends on it.
        journal.loss_is_on_record()?;
        Ok((Self { dir: Some(dir.to_owned()), journal: Some(journal), sync_ms, synced_at_ms: None }, replay))
    }

    /// Takes no row.
    pub(crate) fn none() -> Self {
        Self { dir: None, journal: None, sync_ms: i64::MAX, synced_at_ms: None }
    }

    /// Adds a row. Whether it was written.
    pub(crate) fn append(&mut self, at_ms: i64, payload: &[u8]) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        if let Err(error) = journal.append(payload) {
            if matches!(error, JournalError::Poisoned(_)) {
                self.journal = None;
            }
            return false;
        }
        let since = *self.synced_at_ms.get_or_insert(at_ms);
        // Also when the clock went back.
        if at_ms.saturating_sub(since) >= self.sync_ms || at_ms < since {
            self.synced_at_ms = Some(at_ms);
            return self.sync();
        }
        true
    }

    /// Makes what was written survive a loss of power.
    pub(crate) fn sync(&mut self) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        let synced = journal.sync().is_ok();
        if !synced {
            // The kernel may have dropped what was written; only a new journal is to be believed.
            self.journal = None;
        }
        synced
    }

    /// Replaces all rows by these. Whether it was done; the old ones are there else.
    pub(crate) fn replace(&mut self, rows: impl Iterator<Item = Vec<u8>>) -> bool {
        if self.journal.is_none() {
            let Some(dir) = &self.dir else { return false };
            self.journal = Journal::open(RealDisk, dir, OPTIONS).ok().map(|(journal, _)| journal);
        }
        let Some(journal) = &mut self.journal else { return false };
        match journal.compact(rows) {
            Ok(_) => true,
            Err(JournalError::Poisoned(_)) => {
                self.journal = None;
                false
            }
            Err(_) => false,
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.journal.is_none()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::bytes)
    }
}
