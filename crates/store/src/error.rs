//! Why the store cannot do what was asked.

/// The store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address names no store that is known.
    #[error(
        "`{0}` is not a database address; write it like sqlite:/var/lib/nkudo/nkudo.db or sqlite::memory:"
    )]
    Address(String),
    /// A later version of the program has written it.
    #[error(
        "the database is of a newer version of the control plane (its schema is {found}, this program knows {known}); \
         run that version, or restore a backup"
    )]
    Newer { found: i64, known: i64 },
    #[error("the database cannot be opened")]
    Open { source: sqlx::Error },
    #[error("the database cannot be brought up to date")]
    Migrate { source: sqlx::migrate::MigrateError },
    /// Another program holds it, longer than was waited for.
    #[error("the database is locked by another program; try again when that has ended")]
    Locked,
    #[error("the disk of the database is full; free some space")]
    Full,
    #[error("the database cannot be written; look at the owner and the mode of its file and directory")]
    ReadOnly,
    /// Any other failure of the database.
    #[error("the database failed in {operation}")]
    Failed { operation: &'static str, source: sqlx::Error },
    /// What was read is not what was written.
    #[error("the database holds a {what} that cannot be read: {detail}")]
    Corrupt { what: &'static str, detail: String },
    #[error("the cursor is not one of this list; ask for the first page again")]
    Cursor,
}

impl StoreError {
    /// Whether the next operation is likely to fail as this one did.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Full | Self::ReadOnly | Self::Failed { .. } => true,
            Self::Address(_)
            | Self::Newer { .. }
            | Self::Open { .. }
            | Self::Migrate { .. }
            | Self::Locked
            | Self::Corrupt { .. }
            | Self::Cursor => false,
        }
    }
}
