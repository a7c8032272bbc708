//! Locks on files that children inherit.
//!
//! They are flock(2) locks, which belong to the open file description: every copy of the descriptor, in whatever
//! process, holds the lock, and the last one closed lets it go. No process can forget to let go by dying.
//!
//! While another thread starts a process, that process has a copy of all our descriptors until it runs its own
//! program; so a lock that was just dropped may be held for some microseconds more.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The most of a note that is read back.
const NOTE_BYTES: u64 = 4096;

/// An open file with a lock on it. Dropping it closes our copy of the descriptor.
#[derive(Debug)]
pub struct LockedFile {
    file: File,
}

impl LockedFile {
    /// Takes the lock for us alone, making the file (mode 0600) when there is none; none when anybody holds it.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<LockedFile>> {
        try_lock(open_or_create(path)?, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock together with others who share it, making the file (mode 0600) when there is none; none when
    /// somebody holds it alone.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub fn try_shared(path: &Path) -> io::Result<Option<LockedFile>> {
        let file = match open_or_create(path) {
            // A reader without the right to write may share all the same.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                File::open(path)?
            }
            opened => opened?,
        };
        try_lock(file, FlockOperation::NonBlockingLockShared)
    }

    /// The file itself, still locked: for a child's standard input.
    pub fn into_file(self) -> File {
        self.file
    }

    /// A second descriptor of the same lock.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn try_clone_file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Replaces the content of the file, to tell others who holds it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_note(&self, note: &str) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(note.as_bytes())
    }
}

/// Whether somebody, or another handle of our own, holds the file's lock alone. A missing file is held by nobody.
///
/// It tries to share the lock for a moment, so [`LockedFile::try_exclusive`] of somebody else at that very moment
/// finds it taken; who must have the lock tries more than once.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn is_held(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => Ok(try_lock(file, FlockOperation::NonBlockingLockShared)?.is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the holder wrote with [`LockedFile::write_note`], at most 4 KiB of it.
///
/// # Errors
/// When the file cannot be read.
pub fn read_note(path: &Path) -> io::Result<String> {
    let mut note = Vec::new();
    File::open(path)?.take(NOTE_BYTES).read_to_end(&mut note)?;
    Ok(String::from_utf8_lossy(&note).into_owned())
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn try_lock(file: File, operation: FlockOperation) -> io::Result<Option<LockedFile>> {
    match flock(&file, operation) {
        Ok(()) => Ok(Some(LockedFile { file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
