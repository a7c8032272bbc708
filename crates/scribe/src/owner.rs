//! Files that belong to whoever owns the directory they are in, also where root makes them: a command at a service that runs
//! as another user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

use nkudo_host::effective_root;
use nkudo_journal::{Disk, RealDisk, RealFile};

/// Who is to have what we make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The owner of a directory. None where that is us, or we may give nothing away.
    pub(crate) fn of(dir: &Path) -> Option<Owner> {
        let metadata = fs::metadata(dir).ok().filter(|_| effective_root())?;
        let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
        (owner.uid != 0).then_some(owner)
    }

    /// Gives a file or directory away. A link is not followed.
    pub(crate) fn give(self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
    }
}

/// The disk of the host, on which what is made is given away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnersDisk(Option<Owner>);

impl OwnersDisk {
    /// For what is in this directory and below it.
    pub(crate) fn within(dir: &Path) -> OwnersDisk {
        OwnersDisk(Owner::of(dir))
    }

    fn give(self, path: &Path) -> io::Result<()> {
        self.0.map_or(Ok(()), |owner| owner.give(path))
    }
}

impl Disk for OwnersDisk {
    type File = RealFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        RealDisk.length(path)
    }

    fn read_at(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<Vec<u8>> {
        RealDisk.read_at(path, offset, max_bytes)
    }

    fn create_new(&self, path: &Path) -> io::Result<RealFile> {
        let file = RealDisk.create_new(path)?;
        self.give(path)?;
        Ok(file)
    }

    fn open_append(&self, path: &Path) -> io::Result<RealFile> {
        RealDisk.open_append(path)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        RealDisk.truncate(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        RealDisk.create_dir_all(dir)?;
        self.give(dir)
    }
}
