//! Enrolment tokens.

use nkudo_domain::TenantId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, query};

use super::cursor::{after, cut, fetch};
use super::fault::Fault;
use super::row::{digest, number, parsed};
use crate::page::{Listed, Page};
use crate::records::{Refusal, TokenRecord};

fn record(row: &SqliteRow) -> Result<TokenRecord, Fault> {
    Ok(TokenRecord {
        token_id: row.try_get("token_id")?,
        tenant_id: parsed(row, "tenant_id")?,
        site_id: parsed(row, "site_id")?,
        secret_digest: digest(row, "secret_digest")?,
        uses: number(row, "uses")?,
        uses_left: number(row, "uses_left")?,
        created_at_ms: row.try_get("created_at_ms")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
    })
}

pub(super) async fn insert(connection: &mut SqliteConnection, token: &TokenRecord) -> Result<(), Fault> {
    query(
        "INSERT INTO enrolment_tokens
         (token_id, tenant_id, site_id, secret_digest, uses, uses_left, created_at_ms, expires_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&token.token_id)
    .bind(token.tenant_id.as_str())
    .bind(token.site_id.as_str())
    .bind(token.secret_digest.as_slice())
    .bind(i64::from(token.uses))
    .bind(i64::from(token.uses_left))
    .bind(token.created_at_ms)
    .bind(token.expires_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn one(
    connection: &mut SqliteConnection,
    token_id: &str,
) -> Result<Option<TokenRecord>, Fault> {
    let row =
        query("SELECT * FROM enrolment_tokens WHERE token_id = $1").bind(token_id).fetch_optional(connection);
    row.await?.as_ref().map(record).transpose()
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    page: &Page,
) -> Result<Listed<TokenRecord>, Fault> {
    let rows = query(
        "SELECT * FROM enrolment_tokens WHERE tenant_id = $1 AND token_id > $2 ORDER BY token_id LIMIT $3",
    )
    .bind(tenant_id.as_str())
    .bind(after(page)?)
    .bind(fetch(page))
    .fetch_all(connection)
    .await?;
    let tokens: Vec<TokenRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(tokens, page, |token| token.token_id.clone()))
}

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    token_id: &str,
) -> Result<bool, Fault> {
    let deleted = query("DELETE FROM enrolment_tokens WHERE tenant_id = $1 AND token_id = $2")
        .bind(tenant_id.as_str())
        .bind(token_id)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Takes one use of a token that is good, and answers it; else why it is not.
pub(super) async fn take_use(
    connection: &mut SqliteConnection,
    token_id: &str,
    now_ms: i64,
) -> Result<Result<TokenRecord, Refusal>, Fault> {
    let Some(token) = one(&mut *connection, token_id).await? else { return Ok(Err(Refusal::Unknown)) };
    if token.expires_at_ms <= now_ms {
        return Ok(Err(Refusal::Expired));
    }
    let taken =
        query("UPDATE enrolment_tokens SET uses_left = uses_left - 1 WHERE token_id = $1 AND uses_left > 0")
            .bind(token_id)
            .execute(connection)
            .await?;
    Ok(if taken.rows_affected() > 0 { Ok(token) } else { Err(Refusal::Used) })
}
