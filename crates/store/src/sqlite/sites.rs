//! Tenants and sites.

use nkudo_domain::{SiteId, TenantId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, query};

use super::cursor::{after, cut, fetch};
use super::fault::Fault;
use super::row::parsed;
use crate::page::{Listed, Page};
use crate::records::{SiteDeleted, SiteRecord};

fn record(row: &SqliteRow) -> Result<SiteRecord, Fault> {
    Ok(SiteRecord { site_id: parsed(row, "site_id")?, created_at_ms: row.try_get("created_at_ms")? })
}

pub(super) async fn create_tenant(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    now_ms: i64,
) -> Result<bool, Fault> {
    let made = query("INSERT INTO tenants (tenant_id, created_at_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(tenant_id.as_str())
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(made.rows_affected() > 0)
}

pub(super) async fn delete_tenant(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
) -> Result<bool, Fault> {
    let deleted = query("DELETE FROM tenants WHERE tenant_id = $1")
        .bind(tenant_id.as_str())
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

pub(super) async fn create(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    site_id: &SiteId,
    now_ms: i64,
) -> Result<SiteRecord, Fault> {
    query("INSERT INTO sites (tenant_id, site_id, created_at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(tenant_id.as_str())
        .bind(site_id.as_str())
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
    let there = query("SELECT site_id, created_at_ms FROM sites WHERE tenant_id = $1 AND site_id = $2")
        .bind(tenant_id.as_str())
        .bind(site_id.as_str())
        .fetch_one(connection)
        .await?;
    record(&there)
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    page: &Page,
) -> Result<Listed<SiteRecord>, Fault> {
    let rows = query(
        "SELECT site_id, created_at_ms FROM sites WHERE tenant_id = $1 AND site_id > $2 ORDER BY site_id LIMIT $3",
    )
    .bind(tenant_id.as_str())
    .bind(after(page)?)
    .bind(fetch(page))
    .fetch_all(connection)
    .await?;
    let sites: Vec<SiteRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(sites, page, |site| site.site_id.to_string()))
}

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    site_id: &SiteId,
    now_ms: i64,
) -> Result<SiteDeleted, Fault> {
    let there = query("SELECT 1 FROM sites WHERE tenant_id = $1 AND site_id = $2")
        .bind(tenant_id.as_str())
        .bind(site_id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if there.is_none() {
        return Ok(SiteDeleted::Absent);
    }
    let deleted = query(
        "DELETE FROM sites WHERE tenant_id = $1 AND site_id = $2
         AND NOT EXISTS (SELECT 1 FROM agents WHERE tenant_id = $1 AND site_id = $2 AND unenrolled_at_ms IS NULL)
         AND NOT EXISTS (SELECT 1 FROM enrolment_tokens
             WHERE tenant_id = $1 AND site_id = $2 AND uses_left > 0 AND expires_at_ms > $3)",
    )
    .bind(tenant_id.as_str())
    .bind(site_id.as_str())
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(if deleted.rows_affected() > 0 { SiteDeleted::Done } else { SiteDeleted::InUse })
}
