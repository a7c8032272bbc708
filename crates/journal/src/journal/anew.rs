//! Writing a segment anew when a journal is opened, so that what is given back stays.
//!
//! After a failed sync the kernel may take for clean what never reached the disk: it is read back, a second sync says that
//! all is well, and the next loss of power takes it (Rebello et al., "Can Applications Recover from fsync Failures?",
//! USENIX ATC 2020). A program that starts cannot know whether that happened to the one before. What it writes itself to a
//! file of its own it can make durable and know it.

use std::io;
use std::path::Path;

use crate::atomic::{remove_if_there, unfinished};
use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};

/// What is copied at once, in bytes.
const PIECE_BYTES: u64 = 64 << 10;

/// The segment, to append to. Its new name is durable with the next sync of the directory.
pub(super) fn write_anew<D: Disk>(disk: &D, path: &Path, bytes: u64) -> Result<D::File, JournalError> {
    let unfinished = unfinished(path);
    remove_if_there(disk, &unfinished)?;
    match copy(disk, path, &unfinished, bytes) {
        Ok(file) => {
            disk.rename(&unfinished, path).map_err(Deed::Rename.failed(&unfinished))?;
            Ok(file)
        }
        // On a full disk a journal has to open all the same, or nothing could be deleted there.
        Err(error) if error.is_storage_full() => {
            remove_if_there(disk, &unfinished)?;
            let mut file = disk.open_append(path).map_err(Deed::Append.failed(path))?;
            file.sync().map_err(Deed::Sync.failed(path))?;
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

fn copy<D: Disk>(disk: &D, from: &Path, to: &Path, bytes: u64) -> Result<D::File, JournalError> {
    let mut file = disk.create_new(to).map_err(Deed::Create.failed(to))?;
    let mut at = 0;
    while at < bytes {
        let piece = disk.read_at(from, at, PIECE_BYTES.min(bytes - at)).map_err(Deed::Read.failed(from))?;
        if piece.is_empty() {
            return Err(Deed::Read.failed(from)(io::ErrorKind::UnexpectedEof.into()));
        }
        file.append(&piece).map_err(Deed::Append.failed(to))?;
        at += piece.len() as u64;
    }
    file.sync().map_err(Deed::Sync.failed(to))?;
    Ok(file)
}
