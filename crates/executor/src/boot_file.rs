//! `journal.boot`: the boot of the host in which the journal was read last, and what that came to while it is not on record.
//!
//! As long as the boot is the same, nothing that was written since can have been lost with the host's memory. What was judged
//! then holds until it is on record, also when the host has booted meanwhile.

use std::path::{Path, PathBuf};

use nkudo_journal::{Disk, JournalError, atomic_replace};
use nkudo_tracker::Lost;

/// The name of the file in the state directory.
const FILE_NAME: &str = "journal.boot";
/// Longer than any of its contents.
const READ_MAX_BYTES: u64 = 256;
/// The second line, by what was judged.
const JUDGED: [(Lost, &str); 2] = [(Lost::Unwritten, "unwritten"), (Lost::Ends, "ends")];

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootFile {
    pub(crate) boot_id: String,
    /// What was lost and is not on record.
    pub(crate) lost: Lost,
}

impl BootFile {
    /// One that cannot be read is of no boot that is known.
    pub(crate) fn read<D: Disk>(disk: &D, state_dir: &Path) -> Self {
        let bytes = disk.read_at(&path(state_dir), 0, READ_MAX_BYTES).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let mut lines = text.lines();
        let boot_id = lines.next().unwrap_or_default().to_owned();
        let judged = lines.next().unwrap_or_default();
        let lost = JUDGED.iter().find(|(_, name)| *name == judged).map_or(Lost::Nothing, |(lost, _)| *lost);
        Self { boot_id, lost }
    }

    /// Writes it durably, where it says something else.
    ///
    /// # Errors
    /// As [`atomic_replace`].
    pub(crate) fn write<D: Disk>(&self, disk: &D, state_dir: &Path) -> Result<(), JournalError> {
        if Self::read(disk, state_dir) == *self {
            return Ok(());
        }
        let judged = JUDGED.iter().find(|(lost, _)| *lost == self.lost).map(|(_, name)| format!("\n{name}"));
        let text = format!("{}{}", self.boot_id, judged.unwrap_or_default());
        atomic_replace(disk, &path(state_dir), text.as_bytes())
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE_NAME)
}
