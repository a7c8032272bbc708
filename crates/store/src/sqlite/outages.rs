//! Outages as agents told them.

use nkudo_domain::{AgentId, Outage, TenantId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, query};

use super::cursor::{before, cut, fetch, timed};
use super::fault::Fault;
use super::row::{number, parsed, signed};
use crate::error::StoreError;
use crate::page::{Listed, Page};
use crate::records::{OUTAGES_MAX, OutageFilter};

/// Separates ledger and number in a cursor. The last one counts.
const SEPARATOR: char = '/';

/// An outage with its place, by which it is listed.
struct Placed {
    ledger_id: String,
    seq: u64,
    outage: Outage,
}

fn record_of(row: &SqliteRow) -> Result<Placed, Fault> {
    Ok(Placed {
        ledger_id: row.try_get("ledger_id")?,
        seq: number(row, "seq")?,
        outage: Outage {
            cause: parsed(row, "cause")?,
            evidence: row.try_get("evidence")?,
            began_at_ms: row.try_get("began_at_ms")?,
            ended_at_ms: row.try_get("ended_at_ms")?,
            duration_ms: number(row, "duration_ms")?,
            by_wall_clock: row.try_get("by_wall_clock")?,
            failures: number(row, "failures")?,
        },
    })
}

pub(super) async fn record(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    agent_id: AgentId,
    ledger_id: &str,
    outages: &[(u64, Outage)],
) -> Result<(), Fault> {
    let agent_id = agent_id.to_string();
    for (seq, outage) in outages {
        query(
            "INSERT INTO outages (tenant_id, agent_id, ledger_id, seq, cause, evidence, began_at_ms,
                 ended_at_ms, duration_ms, by_wall_clock, failures)
             SELECT tenant_id, agent_id, $3, $4, $5, $6, $7, $8, $9, $10, $11
             FROM agents WHERE tenant_id = $1 AND agent_id = $2
             ON CONFLICT (agent_id, ledger_id, seq) DO NOTHING",
        )
        .bind(tenant_id.as_str())
        .bind(&agent_id)
        .bind(ledger_id)
        .bind(signed(*seq))
        .bind(outage.cause.as_str())
        .bind(&outage.evidence)
        .bind(outage.began_at_ms)
        .bind(outage.ended_at_ms)
        .bind(signed(outage.duration_ms))
        .bind(outage.by_wall_clock)
        .bind(i64::from(outage.failures))
        .execute(&mut *connection)
        .await?;
    }
    query(
        "DELETE FROM outages WHERE (agent_id, ledger_id, seq) IN
             (SELECT agent_id, ledger_id, seq FROM outages WHERE tenant_id = $1 AND agent_id = $2
              ORDER BY ended_at_ms DESC, ledger_id DESC, seq DESC LIMIT -1 OFFSET $3)",
    )
    .bind(tenant_id.as_str())
    .bind(&agent_id)
    .bind(i64::from(OUTAGES_MAX))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    agent_id: AgentId,
    filter: &OutageFilter,
    page: &Page,
) -> Result<Listed<Outage>, Fault> {
    let mut find: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new("SELECT * FROM outages WHERE tenant_id = ");
    find.push_bind(tenant_id.as_str()).push(" AND agent_id = ").push_bind(agent_id.to_string());
    if let Some((ended_at_ms, place)) = before(page)? {
        let (ledger_id, seq) = place.rsplit_once(SEPARATOR).ok_or(StoreError::Cursor)?;
        let seq: u64 = seq.parse().map_err(|_| StoreError::Cursor)?;
        find.push(" AND (ended_at_ms, ledger_id, seq) < (").push_bind(ended_at_ms);
        find.push(", ").push_bind(ledger_id.to_owned()).push(", ").push_bind(signed(seq)).push(")");
    }
    if let Some(cause) = filter.cause {
        find.push(" AND cause = ").push_bind(cause.as_str());
    }
    if let Some(since_ms) = filter.since_ms {
        find.push(" AND ended_at_ms >= ").push_bind(since_ms);
    }
    if let Some(until_ms) = filter.until_ms {
        find.push(" AND began_at_ms <= ").push_bind(until_ms);
    }
    find.push(" ORDER BY ended_at_ms DESC, ledger_id DESC, seq DESC LIMIT ").push_bind(fetch(page));
    let rows = find.build().fetch_all(connection).await?;
    let found: Vec<Placed> = rows.iter().map(record_of).collect::<Result<_, Fault>>()?;
    let Listed { items, next_cursor } = cut(found, page, |last| {
        timed(last.outage.ended_at_ms, &format!("{}{SEPARATOR}{}", last.ledger_id, last.seq))
    });
    Ok(Listed { items: items.into_iter().map(|placed| placed.outage).collect(), next_cursor })
}
