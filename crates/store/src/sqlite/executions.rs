//! Executions as agents reported them.

use nkudo_domain::{ResourceUsage, TenantId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, query};

use super::cursor::{before, cut, fetch, timed};
use super::fault::Fault;
use super::row::{maybe_parsed, maybe_vm_id, number, parsed, signed, vm_id_text};
use crate::error::StoreError;
use crate::page::{Listed, Page};
use crate::records::{ExecutionFilter, ExecutionRecord};

/// Separates the two ids of a cursor; neither has it.
const SEPARATOR: char = '/';

fn record(row: &SqliteRow) -> Result<ExecutionRecord, Fault> {
    Ok(ExecutionRecord {
        agent_id: parsed(row, "agent_id")?,
        action_id: parsed(row, "action_id")?,
        action_type: parsed(row, "action_type")?,
        vm_id: maybe_vm_id(row)?,
        status: parsed(row, "status")?,
        started_at_ms: row.try_get("started_at_ms")?,
        completed_at_ms: row.try_get("completed_at_ms")?,
        duration_ms: number(row, "duration_ms")?,
        error: row.try_get("error")?,
        retries: number(row, "retries")?,
        usage: ResourceUsage {
            cpu_percent: row.try_get("cpu_percent")?,
            memory_bytes: number(row, "memory_bytes")?,
        },
        trace_id: maybe_parsed(row, "trace_id")?,
    })
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    execution: &ExecutionRecord,
    now_ms: i64,
) -> Result<(), Fault> {
    query(
        "INSERT INTO executions (tenant_id, agent_id, action_id, action_type, vm_id, status, started_at_ms,
             completed_at_ms, duration_ms, error, retries, cpu_percent, memory_bytes, trace_id, recorded_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (agent_id, action_id) DO NOTHING",
    )
    .bind(tenant_id.as_str())
    .bind(execution.agent_id.to_string())
    .bind(execution.action_id.as_str())
    .bind(execution.action_type.as_str())
    .bind(vm_id_text(execution.vm_id))
    .bind(execution.status.as_str())
    .bind(execution.started_at_ms)
    .bind(execution.completed_at_ms)
    .bind(signed(execution.duration_ms))
    .bind(&execution.error)
    .bind(i64::from(execution.retries))
    .bind(execution.usage.cpu_percent)
    .bind(signed(execution.usage.memory_bytes))
    .bind(execution.trace_id.map(|id| id.to_string()))
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    filter: &ExecutionFilter,
    page: &Page,
) -> Result<Listed<ExecutionRecord>, Fault> {
    let mut find: QueryBuilder<sqlx::Sqlite> =
        QueryBuilder::new("SELECT * FROM executions WHERE tenant_id = ");
    find.push_bind(tenant_id.as_str());
    if let Some((started_at_ms, ids)) = before(page)? {
        let (action_id, agent_id) = ids.split_once(SEPARATOR).ok_or(StoreError::Cursor)?;
        find.push(" AND (started_at_ms, action_id, agent_id) < (").push_bind(started_at_ms);
        find.push(", ").push_bind(action_id.to_owned()).push(", ").push_bind(agent_id.to_owned()).push(")");
    }
    if let Some(agent_id) = filter.agent_id {
        find.push(" AND agent_id = ").push_bind(agent_id.to_string());
    }
    if let Some(status) = filter.status {
        find.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(action_type) = filter.action_type {
        find.push(" AND action_type = ").push_bind(action_type.as_str());
    }
    if let Some(vm_id) = filter.vm_id {
        find.push(" AND vm_id = ").push_bind(vm_id.to_string());
    }
    if let Some(since_ms) = filter.since_ms {
        find.push(" AND started_at_ms >= ").push_bind(since_ms);
    }
    if let Some(until_ms) = filter.until_ms {
        find.push(" AND started_at_ms <= ").push_bind(until_ms);
    }
    find.push(" ORDER BY started_at_ms DESC, action_id DESC, agent_id DESC LIMIT ").push_bind(fetch(page));
    let rows = find.build().fetch_all(connection).await?;
    let executions: Vec<ExecutionRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(executions, page, |last| {
        timed(last.started_at_ms, &format!("{}{SEPARATOR}{}", last.action_id, last.agent_id))
    }))
}
