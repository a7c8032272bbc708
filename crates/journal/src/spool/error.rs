//! What can go wrong with a spool.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::JournalError;

/// Why a spool did not do what was asked.
#[derive(Debug, Error)]
pub enum SpoolError {
    #[error(
        "the spool in {} has no room for a record of {bytes} bytes beside what may not be dropped, within its limit of \
         {limit_bytes} bytes: deliver what waits, or raise the limit",
        dir.display()
    )]
    Full { dir: PathBuf, bytes: usize, limit_bytes: u64 },
    #[error(transparent)]
    Journal(#[from] JournalError),
}
