//! Space on file systems.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

/// The space of one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    pub total_bytes: u64,
    /// What a process without privileges can still write.
    pub available_bytes: u64,
    /// Less than `total_bytes - available_bytes` where some is kept for root.
    pub used_bytes: u64,
}

/// The space of the file system that holds `path`.
///
/// # Errors
/// When there is no such path.
pub fn space(path: &Path) -> io::Result<Space> {
    let system = statvfs(path)?;
    Ok(Space {
        total_bytes: system.f_blocks.saturating_mul(system.f_frsize),
        available_bytes: system.f_bavail.saturating_mul(system.f_frsize),
        used_bytes: system.f_blocks.saturating_sub(system.f_bfree).saturating_mul(system.f_frsize),
    })
}

/// Most entries of a tree that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// What a file, or everything below a directory, takes on the disk, in bytes; what is not there takes none. Links are not
/// followed. Of a tree with very many entries it is less than it is.
///
/// # Errors
/// When the path itself cannot be looked at; what is gone or closed below it is passed over.
pub fn tree_bytes(path: &Path) -> io::Result<u64> {
    let mut looked_at = 0;
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(below(path, &metadata, &mut looked_at)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn below(path: &Path, metadata: &fs::Metadata, looked_at: &mut usize) -> u64 {
    *looked_at += 1;
    // Blocks of stat are of 512 bytes, whatever the file system's are.
    let own = metadata.blocks().saturating_mul(512);
    if !metadata.is_dir() || *looked_at > ENTRIES_MAX {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.fold(own, |sum, entry| match entry.metadata() {
        Ok(metadata) => sum.saturating_add(below(&entry.path(), &metadata, looked_at)),
        Err(_) => sum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_takes_what_is_in_it_and_what_is_not_there_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tree_bytes(&dir.path().join("none")).unwrap(), 0);
        let before = tree_bytes(dir.path()).unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/file"), vec![7; 100_000]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("a/root")).unwrap();
        let grown = tree_bytes(dir.path()).unwrap() - before;
        assert!((100_000..200_000).contains(&grown), "{grown}");
    }
}
