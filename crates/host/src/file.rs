//! Files that somebody else writes, and files that nobody else reads.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// What open(2) says of a link that is not to be followed, and of a socket.
const ELOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();
const ENXIO: i32 = rustix::io::Errno::NXIO.raw_os_error();

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

/// What a plain file of at most `max_bytes` holds. A link is not followed and a pipe is not waited for: they are refused,
/// as a directory that others may write to can hold anything.
///
/// # Errors
/// `InvalidInput` for what is no plain file, `FileTooLarge` for what is longer, else as open(2) and read(2).
pub fn read_plain(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let odd = || io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file");
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let file = match file {
        Err(error) if matches!(error.raw_os_error(), Some(ELOOP | ENXIO)) => return Err(odd()),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(odd());
    }
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= max_bytes) {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has over {max_bytes} bytes")))
    }
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

    #[tokio::test]
    async fn only_a_plain_file_within_its_bound_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), "1234").unwrap();
        std::os::unix::fs::symlink("plain", at("link")).unwrap();
        crate::fifo::make(&at("pipe")).unwrap();
        let _socket = crate::unix::bind(&at("socket")).unwrap();
        fs::create_dir(at("directory")).unwrap();
        let check = |name: &str, max_bytes, expected: Result<&[u8], io::ErrorKind>| {
            let read = read_plain(&at(name), max_bytes).map_err(|error| error.kind());
            assert_eq!(read.as_deref().map_err(|kind| *kind), expected, "{name}");
        };
        check("plain", 4, Ok(b"1234"));
        check("plain", 3, Err(io::ErrorKind::FileTooLarge));
        for odd in ["link", "pipe", "socket", "directory"] {
            check(odd, 4, Err(io::ErrorKind::InvalidInput));
        }
        check("none", 4, Err(io::ErrorKind::NotFound));
    }
}
