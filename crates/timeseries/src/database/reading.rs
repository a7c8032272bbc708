//! From a path to a database that is only read: nothing beside or in the file changes.
//!
//! SQLite's `mode=ro` is right as long as nothing is to be repaired. It takes the shared lock, which any number of readers
//! hold at once and a writer respects, and needs no more than permission to read. `immutable=1` takes no lock and looks for no
//! rollback journal, so that it would show what a killed program left half done, or what another one is just writing.
//!
//! What a killed program left half done has to be rolled back, which changes the file. That is done to a copy in a
//! directory of its own, for its owner only. There is no WAL to be read: the store uses a rollback journal.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::opening::{check_identity, connect_options, is_database, migrate};
use super::{Database, failed, named};
use crate::error::SamplesError;

/// A database that is read, with the copy that it is of, if it is one.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) database: Database,
    pub(crate) copy: Option<TempDir>,
}

impl Database {
    /// Opens the database at a path to read it as it is now: nobody writes to it meanwhile. Where there is none it is empty.
    pub(crate) async fn open_stored(path: &Path) -> Result<Stored, SamplesError> {
        match head(path)? {
            Head::Absent => {
                let mut database = connect(path, connect_options().filename(":memory:")).await?;
                migrate(&mut database.connection, 0).await.map_err(database.failed("be made"))?;
                return Ok(Stored { database, copy: None });
            }
            Head::Other => return Err(SamplesError::Foreign { path: path.to_owned() }),
            Head::Database => {}
        }
        match hold(connect(path, connect_options().filename(path).read_only(true)).await?).await {
            Ok(database) => Ok(Stored { database, copy: None }),
            // SQLite says so where there is something to roll back.
            Err(SamplesError::ReadOnly { .. }) if is_cut_off(path) => {
                let copy = copied(path)?;
                let database = connect(path, connect_options().filename(copy.path().join(COPY))).await?;
                Ok(Stored { database: hold(database).await?, copy: Some(copy) })
            }
            Err(error) => Err(error),
        }
    }
}

/// The name of the copy.
const COPY: &str = "copy.db";

/// What a file begins with.
enum Head {
    /// There is no file, or nothing in it.
    Absent,
    Database,
    Other,
}

fn head(path: &Path) -> Result<Head, SamplesError> {
    let mut head = Vec::new();
    match File::open(path).and_then(|file| file.take(16).read_to_end(&mut head)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::Absent),
        read => read.map_err(read_error(path))?,
    };
    Ok(match head.as_slice() {
        [] => Head::Absent,
        head if is_database(head) => Head::Database,
        _ => Head::Other,
    })
}

async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Database, SamplesError> {
    let connected = SqliteConnection::connect_with(&options).await;
    let connection = connected.map_err(failed(path.to_owned(), "open"))?;
    Ok(Database { path: path.to_owned(), connection, begun: false })
}

/// Begins to read, which keeps writers away until the end.
async fn hold(mut database: Database) -> Result<Database, SamplesError> {
    let begun = sqlx::raw_sql("BEGIN").execute(&mut database.connection).await;
    begun.map_err(database.failed("be read"))?;
    check_identity(&database.path, &mut database.connection).await?;
    Ok(database)
}

/// Whether a transaction was begun and is neither done nor rolled back.
fn is_cut_off(path: &Path) -> bool {
    fs::metadata(named(path, "-journal")).is_ok_and(|journal| journal.len() > 0)
}

/// A copy of a database with what is to be rolled back in it.
fn copied(path: &Path) -> Result<TempDir, SamplesError> {
    let private = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir();
    let dir = private.map_err(|source| SamplesError::NoCopy { path: path.to_owned(), source })?;
    let to = dir.path().join(COPY);
    let pairs = [(path.to_owned(), to.clone()), (named(path, "-journal"), named(&to, "-journal"))];
    let before = pairs.each_ref().map(|(from, _)| as_of(from));
    for (from, to) in &pairs {
        let mut source = File::open(from).map_err(read_error(from))?;
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        let written = made.and_then(|mut target| io::copy(&mut source, &mut target));
        written.map_err(|source| SamplesError::NoCopy { path: path.to_owned(), source })?;
    }
    // A program that began meanwhile repairs it, and the copy may be of both.
    match pairs.each_ref().map(|(from, _)| as_of(from)) == before {
        true => Ok(dir),
        false => Err(SamplesError::InUse { path: path.to_owned() }),
    }
}

/// What changes when a file is written to.
fn as_of(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> SamplesError {
    let path: PathBuf = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied => SamplesError::Unreadable { path },
        _ => SamplesError::File { path, source },
    }
}
