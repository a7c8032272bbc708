//! Why an audit log cannot be written now.

use std::io;
use std::path::PathBuf;

use nkudo_audit::{AuditError, KeyError};
use nkudo_journal::JournalError;
use thiserror::Error;

/// What keeps a program from writing its audit log.
#[derive(Debug, Error)]
pub enum ScribeError {
    #[error("another program writes the audit log: {} is locked", .0.display())]
    InUse(PathBuf),
    #[error("the lock of the audit log, {}, cannot be taken", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Log(#[from] AuditError),
    #[error("a note for the audit log cannot be left in {}", path.display())]
    Note { path: PathBuf, source: NoteError },
    #[error("what others left for the audit log in {} cannot be read, and is not in it: give it back its owner", path.display())]
    Notes { path: PathBuf, source: io::Error },
    #[error("the thread that writes the audit log cannot be started")]
    Thread(#[source] io::Error),
}

/// Why a note was not left.
#[derive(Debug, Error)]
pub enum NoteError {
    #[error(transparent)]
    Directory(#[from] io::Error),
    #[error(transparent)]
    Write(#[from] JournalError),
    #[error(transparent)]
    Encode(#[from] serde_json::Error),
}

impl ScribeError {
    /// Whether it is for want of space.
    pub fn is_storage_full(&self) -> bool {
        matches!(self, ScribeError::Log(AuditError::Full { .. })) || self.is_disk_full()
    }

    /// Whether it is for want of space on the disk, and not by the limit of the log.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            ScribeError::Log(error @ AuditError::Disk { .. }) => error.is_storage_full(),
            ScribeError::Key(KeyError::Write(error)) => error.is_storage_full(),
            ScribeError::Lock { source, .. } | ScribeError::Key(KeyError::Disk { source, .. }) => {
                [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&source.kind())
            }
            ScribeError::Log(_)
            | ScribeError::Key(_)
            | ScribeError::InUse(_)
            | ScribeError::Note { .. }
            | ScribeError::Notes { .. }
            | ScribeError::Thread(_) => false,
        }
    }

    /// With its causes in one line, outermost first.
    pub(crate) fn told(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
