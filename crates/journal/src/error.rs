//! What can go wrong with a journal.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::format::VERSION;

/// Why a journal did not do what was asked.
#[derive(Debug, Error)]
pub enum JournalError {
    #[error("cannot {deed} {}", path.display())]
    Disk {
        deed: Deed,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} has journal format {found}, this program reads up to format {VERSION}: run the newer program that \
         wrote it, or start with another directory",
        segment.display()
    )]
    NewerFormat { segment: PathBuf, found: u16 },
    #[error("a record of {bytes} bytes is over the limit of {limit_bytes}")]
    TooLong { bytes: usize, limit_bytes: u32 },
    #[error("the journal in {} takes no more since a write to its disk failed: open it anew", .0.display())]
    Poisoned(PathBuf),
}

/// What was being done with a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    MakeDirectory,
    List,
    Read,
    Create,
    Append,
    Sync,
    Truncate,
    Rename,
    Remove,
}

impl JournalError {
    /// Whether it failed for want of space, so that it may succeed once there is some.
    pub fn is_storage_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, JournalError::Disk { source, .. } if full.contains(&source.kind()))
    }
}

impl Deed {
    /// For `map_err`.
    pub(crate) fn failed(self, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        move |source| JournalError::Disk { deed: self, path: path.to_owned(), source }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::MakeDirectory => "make the directory",
            Deed::List => "list",
            Deed::Read => "read",
            Deed::Create => "create",
            Deed::Append => "append to",
            Deed::Sync => "sync",
            Deed::Truncate => "truncate",
            Deed::Rename => "rename",
            Deed::Remove => "remove",
        })
    }
}
