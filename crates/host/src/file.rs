//! Files that somebody else writes.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
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
