//! Whether the books can be read and written: for readiness.

use sqlx::{SqliteConnection, query};

use super::fault::Fault;

const TRIAL: &str = "trial";
/// More than most operations write: SQLite's log may have some room in it when the disk has none.
const TRIAL_BYTES: i64 = 64 * 1024;

pub(super) async fn read(connection: &mut SqliteConnection) -> Result<(), Fault> {
    query("SELECT COUNT(*) FROM notes").fetch_one(connection).await?;
    Ok(())
}

/// Takes room on the disk. What is random takes it where file systems compress, too.
pub(super) async fn write(connection: &mut SqliteConnection) -> Result<(), Fault> {
    query("INSERT OR REPLACE INTO notes (name, value) VALUES ($1, randomblob($2))")
        .bind(TRIAL)
        .bind(TRIAL_BYTES)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes what [`write()`] wrote. In a transaction of its own: what is gone at its end would not be written.
pub(super) async fn tidy(connection: &mut SqliteConnection) -> Result<(), Fault> {
    query("DELETE FROM notes WHERE name = $1").bind(TRIAL).execute(connection).await?;
    Ok(())
}
