//! From what SQLite says to what the control plane is told.

use crate::error::StoreError;

/// Primary result codes of SQLite (sqlite.org/rescode.html).
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const FULL: u32 = 13;

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    pub(super) fn during(self, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(source) => known(&source).unwrap_or(StoreError::Failed { operation, source }),
        }
    }
}

/// A failure to open the database.
pub(super) fn on_open(source: sqlx::Error) -> StoreError {
    known(&source).unwrap_or(StoreError::Open { source })
}

fn known(error: &sqlx::Error) -> Option<StoreError> {
    let sqlx::Error::Database(database) = error else { return None };
    let code: u32 = database.code()?.parse().ok()?;
    // Extended codes carry the primary one in their low byte.
    match code & 0xff {
        BUSY | LOCKED => Some(StoreError::Locked),
        READONLY => Some(StoreError::ReadOnly),
        FULL => Some(StoreError::Full),
        _ => None,
    }
}
