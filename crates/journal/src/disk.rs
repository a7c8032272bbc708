//! What is asked of a disk, so that a simulated one can stand in.

use std::io;
use std::path::Path;

mod real;
mod simulated;

pub use real::{RealDisk, RealFile};
pub use simulated::{Flipped, SimulatedDisk, SimulatedFile};

/// Files in directories. What was done is durable only after the sync that its method names.
pub trait Disk: Send + Sync + 'static {
    type File: DiskFile;

    /// The names in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// How long a file is, in bytes.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// At most `max_bytes` from `offset` on; fewer only at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<Vec<u8>>;

    /// A new empty file, for our user alone; `AlreadyExists` when there is one. Durable after `sync_dir`.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;

    /// A file that is there, to append to.
    fn open_append(&self, path: &Path) -> io::Result<Self::File>;

    /// Cuts a file. Durable after the file's own sync.
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// Gives a file another name, in the same directory, in place of what had it. Durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names are in a directory.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a directory with those above it, durably; nothing when it is there.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + 'static {
    /// Writes all at the end. On failure, any part of it may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content durable.
    fn sync(&mut self) -> io::Result<()>;
}
