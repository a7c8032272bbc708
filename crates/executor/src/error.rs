//! Why there is no executor.

use std::path::PathBuf;

/// What ends an executor, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error("cannot open the journal in {}", dir.display())]
    OpenJournal { dir: PathBuf, source: nkudo_journal::JournalError },
    #[error(
        "record {seq} of the journal in {} is not one this version knows; use the version that wrote it, or move the directory away to start without history",
        dir.display()
    )]
    UnknownRecord { dir: PathBuf, seq: u64, source: serde_json::Error },
    #[error("cannot write to the journal")]
    WriteJournal { source: nkudo_journal::JournalError },
    #[error("a record cannot be encoded")]
    Encode { source: serde_json::Error },
    #[error("the journal's writer ended")]
    JournalWriterGone,
    #[error("the vms of provider {provider} cannot be listed")]
    ListVms { provider: nkudo_domain::ProviderKind, source: nkudo_providers::ProviderError },
    #[error("cannot tell this boot of the host from another")]
    BootId { source: std::io::Error },
    #[error("it cannot be noted in which boot of the host the journal was read")]
    BootFile { source: nkudo_journal::JournalError },
    #[error("the journal's reserve cannot be opened")]
    Reserve { source: nkudo_journal::JournalError },
    #[error("a task ended in a panic")]
    TaskPanicked { source: tokio::task::JoinError },
}

/// An error with its causes in one line, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
