//! Room that is kept for the moment when there is none.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::random::Random;

/// The ballast is written in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// A file that takes room on a disk until it is needed: [`Ballast::release`] gives the room away, so that on a full disk
/// a few records can still be written, and [`Ballast::restore`] takes it again once something was freed.
///
/// ```
/// use std::path::Path;
///
/// use nkudo_journal::{Ballast, Disk as _, Journal, JournalError, Options, SimulatedDisk};
///
/// # fn main() -> Result<(), JournalError> {
/// let disk = SimulatedDisk::new();
/// let (mut journal, _) = Journal::open(disk.clone(), Path::new("/state/journal"), Options::default())?;
/// let mut ballast = Ballast::open(disk.clone(), Path::new("/state/ballast"), 4096)?;
///
/// disk.set_capacity(disk.used_bytes());
/// let refused = journal.append(b"intent").expect_err("no room");
/// assert!(refused.is_storage_full());
/// ballast.release()?;
/// journal.append(b"intent")?;
/// journal.sync()?;
/// assert!(ballast.restore().expect_err("no room yet").is_storage_full());
/// # Ok(())
/// # }
/// ```
///
/// It is filled with noise and not with zeros: a file system that compresses, or leaves holes where zeros are, would keep
/// no room for them.
///
/// **Invariant:** a restoring that fails takes nothing: it never eats the last room that others could use.
#[derive(Debug)]
pub struct Ballast<D: Disk> {
    disk: D,
    path: PathBuf,
    bytes: u64,
    held_bytes: u64,
}

impl<D: Disk> Ballast<D> {
    /// The ballast in a file, which shall hold so many bytes. Without the file it is made and filled; one that is there is
    /// taken as it is, and cut when it holds more. For want of room it holds nothing, which [`Ballast::held_bytes`] tells
    /// and is no error. Its directory is there.
    ///
    /// # Errors
    /// When the disk fails in another way.
    pub fn open(disk: D, path: &Path, bytes: u64) -> Result<Ballast<D>, JournalError> {
        let held_bytes = match disk.length(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            length => Some(length.map_err(Deed::Read.failed(path))?),
        };
        let mut ballast =
            Ballast { disk, path: path.to_owned(), bytes, held_bytes: held_bytes.unwrap_or_default() };
        if held_bytes.is_none() {
            match ballast.make() {
                Err(error) if !error.is_storage_full() => return Err(error),
                Ok(()) | Err(_) => {}
            }
        } else if ballast.held_bytes > bytes {
            ballast.cut(bytes)?;
        }
        Ok(ballast)
    }

    /// Gives its room to whoever writes next. Nothing happens when it was given away before.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub fn release(&mut self) -> Result<(), JournalError> {
        if self.held_bytes == 0 { Ok(()) } else { self.cut(0) }
    }

    /// Takes its room again, if it has less than it shall. That there is enough for others beside it is for the caller to
    /// see to.
    ///
    /// # Errors
    /// It holds what it held before then; for want of room [`JournalError::is_storage_full`] says so.
    pub fn restore(&mut self) -> Result<(), JournalError> {
        if self.held_bytes >= self.bytes {
            return Ok(());
        }
        let before = self.held_bytes;
        let file = match self.disk.open_append(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.make(),
            opened => opened.map_err(Deed::Append.failed(&self.path))?,
        };
        self.fill(file).or_else(|failed| self.cut(before).and(Err(failed)))
    }

    /// The room that can be released now.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    fn make(&mut self) -> Result<(), JournalError> {
        self.held_bytes = 0;
        let file = self.disk.create_new(&self.path).map_err(Deed::Create.failed(&self.path))?;
        self.fill(file).or_else(|failed| self.cut(0).and(Err(failed)))?;
        let dir = self.path.parent().unwrap_or(&self.path);
        self.disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))
    }

    fn fill(&mut self, mut file: D::File) -> Result<(), JournalError> {
        // Each piece is other noise, or a file system that shares equal blocks would keep one.
        let mut noise = Random::new(self.held_bytes);
        let mut left = self.bytes - self.held_bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let mut piece: Vec<u8> =
                (0..length.div_ceil(8)).flat_map(|_| noise.next().to_le_bytes()).collect();
            piece.truncate(length);
            file.append(&piece).map_err(Deed::Append.failed(&self.path))?;
            left -= length as u64;
        }
        file.sync().map_err(Deed::Sync.failed(&self.path))?;
        self.held_bytes = self.bytes;
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.disk.truncate(&self.path, bytes).map_err(Deed::Truncate.failed(&self.path))?;
        self.held_bytes = bytes;
        Ok(())
    }
}
