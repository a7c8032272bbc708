//! Bringing the directory of a journal in order before it is written to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::atomic::remove_if_there;
use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::reading::PIECE_BYTES;
use crate::replay::{Discarded, Scan};

use super::loss;

/// Sets aside what is damaged, so that the journal ends where the damage began, and removes what is superseded. Tells all
/// that was lost and is not on record with the owner. A crash in between leaves what the next repair finishes.
pub(super) fn repair<D: Disk>(
    disk: &D,
    dir: &Path,
    scan: &mut Scan,
) -> Result<Option<Discarded>, JournalError> {
    let Scan { damage, noted, lost, superseded, unfinished, names, segments, .. } = scan;
    let noted = noted.take();
    let told = if let Some(mut damage) = damage.take() {
        // The copy comes first: it is what a full disk may have no room for.
        let tail = match damage.offset {
            0 => None,
            offset => Some(keep_tail(disk, dir, &damage.segment, offset, names)?),
        };
        damage.kept.extend(tail.clone());
        // What a damaged base has superseded may be all that is left of it.
        let asides: Vec<(&String, PathBuf)> =
            lost.iter().chain(superseded.iter()).map(|name| (name, aside(dir, name, names))).collect();
        damage.kept.extend(asides.iter().map(|(_, aside)| aside.clone()));
        let cut_in = damage.segment.clone();
        let told = Discarded::all(noted, Some(damage));
        if let Some(Err(error)) = told.as_ref().map(|told| loss::write(disk, dir, told)) {
            // Each try would leave a copy on a disk that is full already.
            tail.iter().for_each(|tail| drop(remove_if_there(disk, tail)));
            return Err(error);
        }
        for (name, aside) in asides {
            let path = dir.join(name);
            disk.rename(&path, &aside).map_err(Deed::Rename.failed(&path))?;
        }
        disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
        if let Some(cut) = segments.last().filter(|cut| cut.name == cut_in) {
            let path = dir.join(&cut.name);
            disk.truncate(&path, cut.bytes).map_err(Deed::Truncate.failed(&path))?;
        }
        told
    } else {
        if !superseded.is_empty() {
            // The base that supersedes them may have its name in memory only.
            disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
            remove_all(disk, dir, superseded)?;
        }
        noted
    };
    remove_all(disk, dir, unfinished)?;
    Ok(told)
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
        remove_if_there(disk, &dir.join(name))?;
    }
    Ok(())
}
