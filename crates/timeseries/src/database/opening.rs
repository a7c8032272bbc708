//! From a path to an open database: whose it is, whether it is whole, and how it is set up.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::{Database, failed, named};
use crate::error::SamplesError;

/// In the head of the file, so that a database of something else is told from ours: "nkts".
const APPLICATION_ID: i64 = 0x6e6b_7473;
/// Each takes the database from the version before to its own. What has been released is never changed.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/0001_samples.sql")];
/// Another program may be about to end.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// Statements that are kept compiled.
const STATEMENTS: usize = 16;
/// The first bytes of the file (sqlite.org/fileformat2.html).
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Before the first page is written.
const SETUP_NEW: &str = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL";
/// A rollback journal: pages that are appended are written once, and no second file stays. The cache is in KiB.
const SETUP: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; \
    PRAGMA cache_size = -256; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0";

/// A database that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) database: Database,
    /// There was one that could not be read; it was set aside.
    pub(crate) set_aside: bool,
}

impl Database {
    /// Opens the database at a path, makes one where there is none, and brings it up to date.
    pub(crate) async fn open(path: &Path) -> Result<Opened, SamplesError> {
        match Self::attempt(path).await {
            Ok(database) => Ok(Opened { database, set_aside: false }),
            Err(SamplesError::Damaged { .. }) => {
                set_aside(path).map_err(file_error(path))?;
                Ok(Opened { database: Self::attempt(path).await?, set_aside: true })
            }
            Err(error) => Err(error),
        }
    }

    async fn attempt(path: &Path) -> Result<Self, SamplesError> {
        let fresh = examine(path)?;
        let failed = |deed| failed(path.to_owned(), deed);
        let options = connect_options().filename(path).create_if_missing(true);
        let connected = SqliteConnection::connect_with(&options).await;
        let mut connection = connected.map_err(failed("open"))?;
        if fresh {
            sqlx::raw_sql(SETUP_NEW).execute(&mut connection).await.map_err(failed("be set up"))?;
        }
        // Before anything is changed: a foreign database stays as it is.
        let version = check_identity(path, &mut connection).await?;
        sqlx::raw_sql(SETUP).execute(&mut connection).await.map_err(failed("be set up"))?;
        // Takes the lock that the mode of locking then keeps, and finds out whether anything can be written.
        migrate(&mut connection, version).await.map_err(failed("be brought up to date"))?;
        Ok(Self { path: path.to_owned(), connection, begun: false })
    }
}

/// For any way to open it.
pub(super) fn connect_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|_| "samples-db".to_owned())
        .disable_statement_logging()
}

/// The version of a database that is ours, or new.
pub(super) async fn check_identity(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<i64, SamplesError> {
    let found = identity(connection).await;
    let (application, version, tables) = found.map_err(failed(path.to_owned(), "be read"))?;
    let known = MIGRATIONS.len() as i64;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(SamplesError::Foreign { path: path.to_owned() });
    }
    if version > known {
        return Err(SamplesError::Newer { path: path.to_owned(), found: version, known });
    }
    Ok(version)
}

/// Whether a file begins as every database of SQLite.
pub(super) fn is_database(head: &[u8]) -> bool {
    head == MAGIC
}

/// Whether the file is new. It is made here, so that nobody else can read it at any time.
fn examine(path: &Path) -> Result<bool, SamplesError> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    let mut head = Vec::new();
    opened.and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head)).map_err(file_error(path))?;
    if !head.is_empty() && !is_database(&head) {
        return Err(SamplesError::Foreign { path: path.to_owned() });
    }
    Ok(head.is_empty())
}

async fn identity(connection: &mut SqliteConnection) -> Result<(i64, i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id()), \
         (SELECT user_version FROM pragma_user_version()), (SELECT COUNT(*) FROM sqlite_schema)",
    )
    .fetch_one(connection)
    .await
}

pub(super) async fn migrate(connection: &mut SqliteConnection, version: i64) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN EXCLUSIVE").await?;
    for migration in MIGRATIONS.into_iter().skip(usize::try_from(version).unwrap_or(0)) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
    }
    let identity =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(identity)).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Keeps the last database that was damaged, in place of one before.
fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, named(path, ".damaged"))?;
    match fs::remove_file(named(path, "-journal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> SamplesError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            SamplesError::ReadOnly { path }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SamplesError::Full { path },
        _ => SamplesError::File { path, source },
    }
}
