//! Why the store did not do what was asked.

use std::path::PathBuf;

use nkudo_journal::JournalError;
use thiserror::Error;

/// Opening, tending or closing failed.
#[derive(Debug, Error)]
pub enum SamplesError {
    #[error("{}: there can be no samples here: give another directory, or make this one writable", path.display())]
    ReadOnly { path: PathBuf },
    /// Another program has the database open.
    #[error("{} is in use by another program: stop that, or ask it", path.display())]
    InUse { path: PathBuf },
    #[error(
        "{} is of a newer version of this program (its format is {found}, this one knows {known}): run that version, or \
         move the file away to begin anew", path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{} is no database of samples: give another directory, or move the file away to begin anew", path.display()
    )]
    Foreign { path: PathBuf },
    /// Deleted or replaced from outside while it was in use.
    #[error("{} was deleted or replaced while it was in use; what was in it is lost", path.display())]
    Gone { path: PathBuf },
    /// Samples stay in memory, within their bound.
    #[error("the disk of {} is full: free some space; until then the oldest samples are dropped", path.display())]
    Full { path: PathBuf },
    /// Seen while it was in use; the next opening sets it aside.
    #[error("{} is damaged: restart, and it is set aside and begun anew", path.display())]
    Damaged { path: PathBuf },
    /// Seen by one who only reads.
    #[error(
        "{} is damaged and was left as it is: the program that records there sets it aside when it starts, and begins \
         anew", path.display()
    )]
    DamagedAsFound { path: PathBuf },
    #[error("{} may not be read by this user: run as one who may", path.display())]
    Unreadable { path: PathBuf },
    #[error(
        "{} was left half written, and no copy of it could be made to read it: let TMPDIR name a directory with room for \
         one, or start the program that records there", path.display()
    )]
    NoCopy {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the database of samples failed to {deed}")]
    Database {
        deed: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the journal of samples failed")]
    Journal(#[from] JournalError),
}

/// A query was not answered.
#[derive(Debug, Error)]
pub enum QueryError {
    #[error("the range from {from_ms} to {to_ms} is empty: `from` has to be before `to`")]
    EmptyRange { from_ms: i64, to_ms: i64 },
    #[error("a step of {step_ms} ms is none: give at least 1")]
    Step { step_ms: i64 },
    #[error("a quantile of {q} is none: give a number from 0 to 1")]
    Quantile { q: f64 },
    #[error("the query reads {found} series, at most {limit} are allowed: add labels to narrow it down")]
    TooManySeries { found: usize, limit: usize },
    #[error(
        "the answer has over {limit} points: ask for a longer step, a shorter range, or fewer series by their labels"
    )]
    TooManyPoints { limit: usize },
    #[error(transparent)]
    Samples(#[from] SamplesError),
}
