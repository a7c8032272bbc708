//! API keys.

use nkudo_domain::TenantId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, query};

use super::cursor::{after, cut, fetch};
use super::fault::Fault;
use super::row::{digest, parsed};
use crate::page::{Listed, Page};
use crate::records::KeyRecord;

fn record(row: &SqliteRow) -> Result<KeyRecord, Fault> {
    Ok(KeyRecord {
        key_id: row.try_get("key_id")?,
        tenant_id: parsed(row, "tenant_id")?,
        role: parsed(row, "role")?,
        secret_digest: digest(row, "secret_digest")?,
        created_at_ms: row.try_get("created_at_ms")?,
    })
}

pub(super) async fn insert(connection: &mut SqliteConnection, key: &KeyRecord) -> Result<(), Fault> {
    query(
        "INSERT INTO api_keys (key_id, tenant_id, role, secret_digest, created_at_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&key.key_id)
    .bind(key.tenant_id.as_str())
    .bind(key.role.as_str())
    .bind(key.secret_digest.as_slice())
    .bind(key.created_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn one(connection: &mut SqliteConnection, key_id: &str) -> Result<Option<KeyRecord>, Fault> {
    let row =
        query("SELECT * FROM api_keys WHERE key_id = $1").bind(key_id).fetch_optional(connection).await?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    page: &Page,
) -> Result<Listed<KeyRecord>, Fault> {
    let rows = query("SELECT * FROM api_keys WHERE tenant_id = $1 AND key_id > $2 ORDER BY key_id LIMIT $3")
        .bind(tenant_id.as_str())
        .bind(after(page)?)
        .bind(fetch(page))
        .fetch_all(connection)
        .await?;
    let keys: Vec<KeyRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(keys, page, |key| key.key_id.clone()))
}

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    key_id: &str,
) -> Result<bool, Fault> {
    let deleted = query("DELETE FROM api_keys WHERE tenant_id = $1 AND key_id = $2")
        .bind(tenant_id.as_str())
        .bind(key_id)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}
