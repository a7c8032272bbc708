//! The database: one connection with a small cache, that gives disk back.
//!
//! What is decided elsewhere is done here, each deed in one transaction. Blocks lie in the order of their chunks, so
//! that new ones are appended and old ones leave whole pages.

mod chunks;
mod opening;
mod reading;
mod spans;
mod state;

use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;

use crate::error::SamplesError;
pub(crate) use chunks::{Block, Bundles, CHUNK_ROWS_MAX, ChunkHead, Merged, NewChunk, Place};
pub(crate) use opening::file_error;
pub(crate) use spans::Level;
pub(crate) use state::{Last, State};

/// The place of a series in a key.
const SERIES_BITS: u32 = 24;
const SERIES_MASK: i64 = (1 << SERIES_BITS) - 1;

/// Primary result codes of SQLite (sqlite.org/rescode.html).
mod code {
    pub(super) const PERM: u32 = 3;
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READONLY: u32 = 8;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANTOPEN: u32 = 14;
    pub(super) const NOTADB: u32 = 26;
}

/// An open database, held exclusively, or by readers only.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    connection: SqliteConnection,
    /// A transaction was begun; a future that was dropped may have left it open.
    begun: bool,
}

impl Database {
    fn failed(&self, deed: &'static str) -> impl FnOnce(sqlx::Error) -> SamplesError {
        failed(self.path.clone(), deed)
    }

    /// Begins a transaction.
    ///
    /// This is not a transaction of sqlx, since SQLite ends one by itself when the disk is full, and sqlx, which counts
    /// them, would take the connection for being inside one ever after.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if self.begun {
            self.roll_back().await;
        }
        self.begun = true;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut self.connection).await.map(drop)
    }

    /// Ends it: what was done stays, or nothing of it.
    async fn end<T>(&mut self, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let kept = match done {
            Ok(value) => sqlx::raw_sql("COMMIT").execute(&mut self.connection).await.map(|_| value),
            Err(error) => Err(error),
        };
        if kept.is_err() {
            self.roll_back().await;
        }
        self.begun = false;
        kept
    }

    /// Fails when SQLite has done it already, which is what is wanted.
    async fn roll_back(&mut self) {
        drop(sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await);
    }

    /// Pages in use and pages to give back, in bytes.
    pub(crate) async fn bytes(&mut self) -> Result<(u64, u64), SamplesError> {
        let pages = sqlx::query_as(
            "SELECT (SELECT page_count FROM pragma_page_count()) * size.page_size, \
             (SELECT freelist_count FROM pragma_freelist_count()) * size.page_size FROM pragma_page_size() AS size",
        );
        let result: Result<(i64, i64), _> = pages.fetch_one(&mut self.connection).await;
        let (all, free) = result.map_err(self.failed("measure itself"))?;
        Ok(((all - free).cast_unsigned(), free.cast_unsigned()))
    }

    /// Gives free pages back to the disk.
    pub(crate) async fn shrink(&mut self) -> Result<(), SamplesError> {
        let shrunk = sqlx::raw_sql("PRAGMA incremental_vacuum").execute(&mut self.connection).await;
        shrunk.map(drop).map_err(self.failed("give disk back"))
    }

    /// Lets go of the file.
    pub(crate) async fn close(self) -> Result<(), SamplesError> {
        let path = self.path;
        sqlx::Connection::close(self.connection).await.map_err(failed(path, "close"))
    }
}

/// From what SQLite says to what the owner is told.
fn failed(path: PathBuf, deed: &'static str) -> impl FnOnce(sqlx::Error) -> SamplesError {
    move |source| match code_of(&source) {
        Some(code::BUSY | code::LOCKED) => SamplesError::InUse { path },
        Some(code::PERM | code::READONLY | code::CANTOPEN) => SamplesError::ReadOnly { path },
        Some(code::FULL) => SamplesError::Full { path },
        Some(code::CORRUPT | code::NOTADB) => SamplesError::Damaged { path },
        Some(_) | None => SamplesError::Database { deed, source },
    }
}

/// A path with more at the end of its name.
fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Extended codes carry the primary one in their low byte.
fn code_of(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(database) = error else { return None };
    Some(database.code()?.parse::<u32>().ok()? & 0xff)
}

/// A list of keys as SQLite reads it with `json_each`.
fn json(keys: impl Iterator<Item = i64>) -> String {
    let mut list = String::from("[");
    for (nth, key) in keys.enumerate() {
        if nth > 0 {
            list.push(',');
        }
        list.push_str(&key.to_string());
    }
    list.push(']');
    list
}
