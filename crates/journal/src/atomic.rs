//! Replacing a whole file.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};

/// Replaces the content of a file, durably when this returns. A crash at any point leaves the old content or the
/// new, whole. The new content is in `<path>.new` until then; two may not replace one file at the same time.
///
/// # Errors
/// Names what failed; the old content is there then, unless it is the last step, the sync of the directory.
pub fn atomic_replace<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let unfinished = unfinished(path);
    remove_if_there(disk, &unfinished)?;
    let mut file = disk.create_new(&unfinished).map_err(Deed::Create.failed(&unfinished))?;
    file.append(bytes).map_err(Deed::Append.failed(&unfinished))?;
    file.sync().map_err(Deed::Sync.failed(&unfinished))?;
    disk.rename(&unfinished, path).map_err(Deed::Rename.failed(&unfinished))?;
    let dir = path.parent().unwrap_or(path);
    disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))
}

/// The name of a file while it is being written.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

pub(crate) fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> Result<(), JournalError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Deed::Remove.failed(path)),
    }
}
