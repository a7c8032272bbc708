//! Room for the last records on a full disk: a ballast that is given away, and taken back once there is room again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_catalogue::JournalMetrics;
use nkudo_host::disk;
use nkudo_journal::{Ballast, Deed, Disk, JournalError};
use tokio::time::Instant;

/// The name of the file in the state directory.
const FILE_NAME: &str = "journal.ballast";
/// What deletes of hundreds of VMs write, and what a damaged segment needs to be set aside.
const BYTES: u64 = 8 << 20;
/// How often it is tried to take it back.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Whether a full disk has room for what an executor has to write: it gives its reserve away by itself.
pub fn has_reserve(state_dir: &Path) -> bool {
    std::fs::metadata(state_dir.join(FILE_NAME)).is_ok_and(|file| file.len() > 0)
}

/// The ballast of a journal.
#[derive(Debug)]
pub(crate) struct Reserve<D: Disk> {
    ballast: Ballast<D>,
    state_dir: PathBuf,
    /// So much has to be free beside it before it is taken back.
    free_bytes_min: u64,
    /// When it was last tried to take it back: each try may write all of it.
    tried: Option<Instant>,
    metrics: JournalMetrics,
}

impl<D: Disk> Reserve<D> {
    /// The reserve of this state directory; without room there is none for now.
    pub(crate) fn open(
        disk: D,
        state_dir: &Path,
        free_bytes_min: u64,
        metrics: JournalMetrics,
    ) -> Result<Self, JournalError> {
        let made = disk.create_dir_all(state_dir);
        made.map_err(|source| JournalError::Disk {
            deed: Deed::MakeDirectory,
            path: state_dir.to_owned(),
            source,
        })?;
        let ballast = Ballast::open(disk, &state_dir.join(FILE_NAME), BYTES)?;
        let reserve = Self { ballast, state_dir: state_dir.to_owned(), free_bytes_min, tried: None, metrics };
        reserve.show();
        Ok(reserve)
    }

    /// Gives its room away where that was what `failed` for. Whether it is worth to try again.
    pub(crate) fn give(&mut self, failed: &JournalError) -> bool {
        if !failed.is_storage_full() || self.ballast.held_bytes() == 0 {
            return false;
        }
        let given = self.ballast.release();
        match &given {
            Ok(()) => tracing::warn!(
                bytes = BYTES,
                dir = %self.state_dir.display(),
                "the disk is full: the reserve is given to the journal, so that VMs can be deleted"
            ),
            Err(error) => tracing::error!(
                error = error as &dyn std::error::Error,
                "the disk is full, and its reserve cannot be given away"
            ),
        }
        self.show();
        given.is_ok()
    }

    /// Takes its room back, if it was given away and there is enough by now.
    pub(crate) fn take_back(&mut self) {
        let tried_lately = self.tried.is_some_and(|tried| tried.elapsed() < TRY_EVERY);
        if self.ballast.held_bytes() >= BYTES || tried_lately {
            return;
        }
        let wanted = self.free_bytes_min.saturating_add(BYTES);
        if disk::space(&self.state_dir).is_ok_and(|space| space.available_bytes >= wanted) {
            self.tried = Some(Instant::now());
            if let Err(error) = self.ballast.restore() {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the reserve cannot be taken back; trying again"
                );
            }
            self.show();
        }
    }

    fn show(&self) {
        let held = u32::try_from(self.ballast.held_bytes()).unwrap_or(u32::MAX);
        self.metrics.ballast_bytes.set(f64::from(held));
    }
}
