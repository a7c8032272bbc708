//! What can go wrong with an audit log.

use std::io;
use std::path::{Path, PathBuf};

use nkudo_journal::Deed;
use thiserror::Error;

use crate::fault::Finding;
use crate::key::PublicKey;

/// Why a log did not do what was asked.
#[derive(Debug, Error)]
pub enum AuditError {
    #[error("cannot {deed} {}", path.display())]
    Disk {
        deed: Deed,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the audit log in {} has {bytes} of at most {limit_bytes} bytes: prune what is kept elsewhere, or raise the limit",
        dir.display()
    )]
    Full { dir: PathBuf, bytes: u64, limit_bytes: u64 },
    #[error(
        "{} should have {expected_bytes} bytes and has {found_bytes}: somebody else wrote, cut or removed it. Verify the log",
        path.display()
    )]
    Disturbed { path: PathBuf, expected_bytes: u64, found_bytes: u64 },
    #[error("the audit log in {} takes no more since a write of it failed: open it anew", .0.display())]
    Poisoned(PathBuf),
    #[error(
        "the audit log in {} is signed by the key {found}, not by {given}: put that key back, or move the log elsewhere to \
         begin another",
        dir.display()
    )]
    OtherKey { dir: PathBuf, found: PublicKey, given: PublicKey },
    #[error(
        "the audit log in {} cannot be continued: {finding}. Verify it, and move it elsewhere to begin another",
        dir.display()
    )]
    Damaged { dir: PathBuf, finding: Box<Finding> },
}

impl AuditError {
    /// Whether it failed for want of space, be it of the disk or of the log, so that it may succeed once there is some.
    pub fn is_storage_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        match self {
            AuditError::Full { .. } => true,
            AuditError::Disk { source, .. } => full.contains(&source.kind()),
            AuditError::Disturbed { .. }
            | AuditError::Poisoned(_)
            | AuditError::OtherKey { .. }
            | AuditError::Damaged { .. } => false,
        }
    }

    /// Whether what was to be read is not there: there is no log, or a file of it was pruned meanwhile.
    pub fn is_not_found(&self) -> bool {
        matches!(self, AuditError::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// For `map_err`.
pub(crate) fn failed(deed: Deed, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    move |source| AuditError::Disk { deed, path: path.to_owned(), source }
}
