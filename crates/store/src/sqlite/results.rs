//! Ends of actions as agents report them, each recorded once.

use nkudo_domain::ActionStatus;
use sqlx::{Row as _, SqliteConnection, query};

use super::fault::Fault;
use super::row::{number, signed};
use super::{actions, executions};
use crate::records::{ActionRecord, Origin, Reported, ResultBatch};

pub(super) async fn record(
    connection: &mut SqliteConnection,
    batch: &ResultBatch,
) -> Result<(u64, Vec<ActionRecord>), Fault> {
    let agent_id = batch.agent_id.to_string();
    let known = query("SELECT outbox_id, outbox_seq FROM agents WHERE tenant_id = $1 AND agent_id = $2")
        .bind(batch.tenant_id.as_str())
        .bind(&agent_id)
        .fetch_optional(&mut *connection)
        .await?;
    let mut recorded: u64 = match &known {
        Some(row) if row.try_get::<&str, _>("outbox_id")? == batch.outbox_id => number(row, "outbox_seq")?,
        Some(_) | None => 0,
    };
    let mut ended = Vec::new();
    for result in &batch.results {
        if result.seq <= recorded {
            continue;
        }
        ended.extend(record_one(&mut *connection, batch, result).await?);
        recorded = result.seq;
    }
    query("UPDATE agents SET outbox_id = $1, outbox_seq = $2 WHERE tenant_id = $3 AND agent_id = $4")
        .bind(&batch.outbox_id)
        .bind(signed(recorded))
        .bind(batch.tenant_id.as_str())
        .bind(&agent_id)
        .execute(&mut *connection)
        .await?;
    Ok((recorded, ended))
}

/// Answers the action when it ended by this.
async fn record_one(
    connection: &mut SqliteConnection,
    batch: &ResultBatch,
    result: &Reported,
) -> Result<Option<ActionRecord>, Fault> {
    if let Some(execution) = &result.execution {
        executions::put(&mut *connection, &batch.tenant_id, execution).await?;
    }
    let action_id = &result.action.action_id;
    match actions::one(&mut *connection, &batch.tenant_id, action_id).await? {
        None => {
            actions::insert(connection, &from_host(batch, result)).await?;
            Ok(None)
        }
        Some(known) if known.agent_id == batch.agent_id && is_open(known.status) => {
            end(&mut *connection, batch, result).await?;
            actions::one(connection, &batch.tenant_id, action_id).await
        }
        // It ended before, or the id is that of an action of another host: what is in the books stays.
        Some(_) => Ok(None),
    }
}

fn is_open(status: ActionStatus) -> bool {
    matches!(status, ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running)
}

async fn end(connection: &mut SqliteConnection, batch: &ResultBatch, result: &Reported) -> Result<(), Fault> {
    let execution = result.execution.as_ref();
    query(
        "UPDATE actions SET status = $1, completed_at_ms = $2, changed = $3, error = $4, retries = $5,
             started_at_ms = COALESCE($6, started_at_ms), duration_ms = $7
         WHERE tenant_id = $8 AND action_id = $9",
    )
    .bind(result.status.as_str())
    .bind(result.completed_at_ms)
    .bind(result.changed)
    .bind(&result.error)
    .bind(i64::from(result.retries))
    .bind(execution.map(|execution| execution.started_at_ms))
    .bind(execution.map(|execution| signed(execution.duration_ms)))
    .bind(batch.tenant_id.as_str())
    .bind(result.action.action_id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// An action that the control plane learns of by its end.
fn from_host(batch: &ResultBatch, result: &Reported) -> ActionRecord {
    let execution = result.execution.as_ref();
    ActionRecord {
        tenant_id: batch.tenant_id.clone(),
        agent_id: batch.agent_id,
        action: result.action.clone(),
        origin: Origin::Host,
        status: result.status,
        created_at_ms: result.created_at_ms,
        expires_at_ms: result.created_at_ms,
        sent_at_ms: None,
        cancel_asked: false,
        started_at_ms: execution.map(|execution| execution.started_at_ms),
        completed_at_ms: Some(result.completed_at_ms),
        duration_ms: execution.map(|execution| execution.duration_ms),
        changed: result.changed,
        error: result.error.clone(),
        retries: result.retries,
    }
}
