//! The file that is being written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use super::listing::{Identity, Listed};
use super::name::FileName;

/// Who may read a log: its owner and the group.
const MODE: u32 = 0o640;

/// A file that lines are put at the end of.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) name: FileName,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Whether its last line has no end.
    pub(super) is_cut: bool,
    file: File,
    identity: Identity,
}

impl Current {
    /// Makes a file that was not there.
    pub(super) fn create(path: PathBuf, name: FileName) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(MODE).open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self { name, path, bytes: 0, is_cut: false, file, identity: Identity::of(&metadata) })
    }

    /// Goes on with a file that is there.
    pub(super) fn adopt(path: PathBuf, name: FileName) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let metadata = file.metadata()?;
        let bytes = metadata.len();
        let mut last = [b'\n'];
        if bytes > 0 {
            file.read_exact_at(&mut last, bytes - 1)?;
        }
        Ok(Self { name, path, bytes, is_cut: last != *b"\n", file, identity: Identity::of(&metadata) })
    }

    /// Whether the file still stands where it was made. Its length is read anew on the way.
    pub(super) fn is_in_place(&mut self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) => {
                self.bytes = metadata.len();
                Ok(Identity::of(&metadata) == self.identity)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts lines to the end. Tells how many bytes of them are in the file, also when it failed.
    pub(super) fn append(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(some) => {
                    written += some;
                    self.bytes += some as u64;
                    self.is_cut = lines.get(written - 1) != Some(&b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// Ends the last line if it has no end. Says whether it had none.
    pub(super) fn end_line(&mut self) -> io::Result<bool> {
        let was_cut = self.is_cut;
        if was_cut {
            self.append(b"\n").1?;
        }
        Ok(was_cut)
    }

    pub(super) fn listed(&self) -> Listed {
        Listed { name: self.name, bytes: self.bytes, identity: self.identity }
    }
}
