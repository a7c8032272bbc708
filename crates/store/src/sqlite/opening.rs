//! From an address to open connections, the schema brought up to date.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::fault::on_open;
use crate::error::StoreError;

/// Every migration, by its version. A file that has been released is never changed.
pub(super) const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "books", include_str!("../../migrations/sqlite/0001_books.sql")),
    (2, "retention", include_str!("../../migrations/sqlite/0002_retention.sql")),
    (3, "outages", include_str!("../../migrations/sqlite/0003_outages.sql")),
    (4, "audit_heads", include_str!("../../migrations/sqlite/0004_audit_heads.sql")),
    (5, "outputs", include_str!("../../migrations/sqlite/0005_outputs.sql")),
];
/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a connection of ours may be waited for.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a lock of another program is waited for.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection that writes and those that read.
pub(super) async fn pools(
    address: &str,
    busy_timeout: Duration,
) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let unknown = || StoreError::Address(shown(address));
    let rest = address.strip_prefix("sqlite:").filter(|rest| !rest.is_empty()).ok_or_else(unknown)?;
    let in_memory = rest == ":memory:";
    let options = SqliteConnectOptions::from_str(address).map_err(|_| unknown())?;
    if !in_memory && !address.contains("mode=ro") {
        private_file(options.get_filename())?;
    }
    let options = options.foreign_keys(true).busy_timeout(busy_timeout).synchronous(SqliteSynchronous::Full);
    let options = if in_memory || address.contains("mode=ro") {
        options
    } else {
        options.journal_mode(SqliteJournalMode::Wal)
    };
    let pool = |connections| {
        // A database in memory lives as long as its one connection.
        SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_DEADLINE)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let writer = if in_memory {
        pool(1)
    } else {
        pool(1).after_release(|connection, _| Box::pin(can_begin(connection)))
    };
    let writer = writer.connect_with(options.clone()).await.map_err(on_open)?;
    migrate(&writer).await?;
    let reader = if in_memory {
        writer.clone()
    } else {
        pool(READERS_MAX).connect_with(options).await.map_err(on_open)?
    };
    Ok((writer, reader))
}

/// Whether a connection has no transaction and so can begin one; any other is closed.
///
/// SQLite ends a transaction by itself when a disk is full or fails, then refuses to commit it or to roll it back, and
/// the driver goes on counting it.
async fn can_begin(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be under way: what was dropped is rolled back without being waited for.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// The address without what may be a secret in it.
fn shown(address: &str) -> String {
    let scheme = address.split_once("://").map(|(scheme, _)| format!("{scheme}://…"));
    scheme.filter(|_| address.contains('@')).unwrap_or_else(|| address.chars().take(256).collect())
}

/// Makes the file before SQLite does, so that nobody else can read it at any time.
fn private_file(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    match opened {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Err(StoreError::Full),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Err(StoreError::ReadOnly)
            }
            _ => Err(StoreError::Open { source: sqlx::Error::Io(error) }),
        },
    }
}

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    migrate_to(pool, i64::MAX).await
}

async fn migrate_to(pool: &SqlitePool, last: i64) -> Result<(), StoreError> {
    let migrations =
        MIGRATIONS.iter().filter(|(version, _, _)| *version <= last).map(|(version, name, sql)| {
            let sql = sqlx::SqlSafeStr::into_sql_str(*sql);
            Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
        });
    let known = MIGRATIONS.iter().map(|(version, _, _)| *version).max().unwrap_or(0);
    let migrator = Migrator { migrations: Cow::Owned(migrations.collect()), ..Migrator::DEFAULT };
    migrator.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _) => {
            StoreError::Newer { found, known }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => on_open(error),
        source => StoreError::Migrate { source },
    })
}

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_with_a_transaction_that_sqlite_has_ended_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", dir.path().join("books.db").display());
        let (writer, _reader) = pools(&address, BUSY_TIMEOUT).await.unwrap();
        for _ in 0..3 {
            // It holds for the connection alone; what the database has is the least.
            writer.execute("PRAGMA max_page_count = 1").await.unwrap();
            let mut dropped = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let large = "INSERT INTO notes (name, value) VALUES ('large', randomblob(1000000))";
            let full = dropped.execute(large).await.unwrap_err();
            assert!(matches!(on_open(full), StoreError::Full));
        }
        writer.begin_with("BEGIN IMMEDIATE").await.unwrap().commit().await.unwrap();
    }
}
