//! Bringing the directory of a journal in order before it is written to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::atomic::remove_if_there;
use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::reading::PIECE_BYTES;
use crate::replay::Scan;

/// Sets aside what is damaged, so that the journal ends where the damage began, and removes what is superseded.
/// A crash in between leaves what the next repair finishes.
pub(super) fn repair<D: Disk>(disk: &D, dir: &Path, scan: &mut Scan) -> Result<(), JournalError> {
    let Scan { damage, lost, superseded, unfinished, names, segments, .. } = scan;
    if let Some(damage) = damage {
        if damage.offset > 0 {
            let tail = keep_tail(disk, dir, &damage.segment, damage.offset, names)?;
            damage.kept.push(tail);
        }
        // What a damaged base has superseded may be all that is left of it.
        for name in lost.iter().chain(superseded.iter()) {
            damage.kept.push(rename_aside(disk, dir, name, names)?);
        }
        disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
        if let Some(cut) = segments.last().filter(|cut| cut.name == damage.segment) {
            let path = dir.join(&cut.name);
            disk.truncate(&path, cut.bytes).map_err(Deed::Truncate.failed(&path))?;
        }
    } else if !superseded.is_empty() {
        // The base that supersedes them may have its name in memory only.
        disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
        remove_all(disk, dir, superseded)?;
    }
    remove_all(disk, dir, unfinished)
}

/// Copies what comes after `offset`; the segment itself is cut when the copy is safe.
fn keep_tail<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
    offset: u64,
    names: &mut BTreeSet<String>,
) -> Result<PathBuf, JournalError> {
    let (path, aside) = (dir.join(name), aside(dir, name, names));
    let mut copy = disk.create_new(&aside).map_err(Deed::Create.failed(&aside))?;
    if let Err(error) = copy_tail(disk, &path, offset, &mut copy, &aside) {
        // Each try would leave a piece on a disk that is full already.
        drop(remove_if_there(disk, &aside));
        return Err(error);
    }
    Ok(aside)
}

fn copy_tail<D: Disk>(
    disk: &D,
    path: &Path,
    mut offset: u64,
    copy: &mut D::File,
    aside: &Path,
) -> Result<(), JournalError> {
    loop {
        let piece = disk.read_at(path, offset, PIECE_BYTES).map_err(Deed::Read.failed(path))?;
        if piece.is_empty() {
            return copy.sync().map_err(Deed::Sync.failed(aside));
        }
        copy.append(&piece).map_err(Deed::Append.failed(aside))?;
        offset += piece.len() as u64;
    }
}

fn rename_aside<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
    names: &mut BTreeSet<String>,
) -> Result<PathBuf, JournalError> {
    let (path, aside) = (dir.join(name), aside(dir, name, names));
    disk.rename(&path, &aside).map_err(Deed::Rename.failed(&path))?;
    Ok(aside)
}

/// A name that is free, and taken from now on.
fn aside(dir: &Path, name: &str, names: &mut BTreeSet<String>) -> PathBuf {
    let free = (1_u64..)
        .map(|number| format!("{name}.corrupt-{number}"))
        .find(|aside| names.insert(aside.clone()))
        .expect("a directory has fewer files than there are numbers");
    dir.join(free)
}

fn remove_all<D: Disk>(disk: &D, dir: &Path, names: &[String]) -> Result<(), JournalError> {
    for name in names {
        let path = dir.join(name);
        disk.remove(&path).map_err(Deed::Remove.failed(&path))?;
    }
    Ok(())
}
