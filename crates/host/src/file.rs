//! Files that somebody else writes, and files that nobody else reads.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Keeps a file that another process writes within a bound: when it is longer than `max_bytes`, its last
/// `max_bytes` go to `keep_path`, in place of what was there, and the file is cut to nothing. Tells whether it did.
///
/// The writer must have opened the file with `O_APPEND`, or it goes on at its old offset and leaves a hole. What it
/// writes between the last read and the cut is lost; these are a few microseconds. A missing file is within bounds.
///
/// # Errors
/// When either file cannot be read or written; `path` is not cut then.
pub fn rotate_copy_truncate(path: &Path, keep_path: &Path, max_bytes: u64) -> io::Result<bool> {
    let mut file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    if length <= max_bytes {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(length - max_bytes))?;
    let unfinished = unfinished(keep_path);
    let mut copy = File::create(&unfinished)?;
    io::copy(&mut file, &mut copy)?;
    fs::rename(&unfinished, keep_path)?;
    // Renaming took its time: what was written meanwhile is still to be had.
    io::copy(&mut file, &mut copy)?;
    file.set_len(0)?;
    Ok(true)
}

/// The copy has another name until it is whole, so a crash leaves the older one.
fn unfinished(keep_path: &Path) -> PathBuf {
    let mut name = keep_path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Replaces the content of a file that only its owner may read (mode 0600), durably when this returns. A crash leaves
/// the old content or the new, whole; at no moment can somebody else read it.
///
/// # Errors
/// When the file cannot be written; the old content is there then, unless it is the sync of the directory that failed.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_dir(path.parent().unwrap_or(path))
}

/// Makes what was made, renamed or removed in a directory durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "old and readable").unwrap();
        fs::write(unfinished(&path), "left by a crash").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!unfinished(&path).exists());
        assert!(write_private(&dir.path().join("none/key"), b"x").is_err());
    }
}
