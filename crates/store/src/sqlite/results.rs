//! Ends of actions as agents report them, each recorded once.

use nkudo_domain::{ActionStatus, AgentId};
use sqlx::{Row as _, SqliteConnection, query};

use super::fault::Fault;
use super::row::{number, signed, to_json};
use super::{actions, executions};
use crate::records::{ActionRecord, Origin, Recorded, Reported, ResultBatch};

/// The last result of this outbox of an agent that is recorded.
pub(super) async fn recorded(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    outbox_id: &str,
) -> Result<u64, Fault> {
    let known = query("SELECT outbox_seq FROM agents WHERE agent_id = $1 AND outbox_id = $2")
        .bind(agent_id.to_string())
        .bind(outbox_id)
        .fetch_optional(connection)
        .await?;
    known.map_or(Ok(0), |row| number(&row, "outbox_seq"))
}

pub(super) async fn record(
    connection: &mut SqliteConnection,
    batch: &ResultBatch,
    now_ms: i64,
) -> Result<Recorded, Fault> {
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
    let (mut ended, mut of_others) = (Vec::new(), Vec::new());
    for result in &batch.results {
        // What was recorded before may be asked for anew, when a backup was put back or its entry was forgotten.
        if result.seq <= recorded && !is_awaited(&mut *connection, batch, result).await? {
            continue;
        }
        match record_one(&mut *connection, batch, result, now_ms).await? {
            Uptake::Ended(record) => ended.push(*record),
            Uptake::OfAnother => of_others.push(result.action.action_id.clone()),
            Uptake::New | Uptake::EndedBefore => {}
        }
        recorded = recorded.max(result.seq);
    }
    query("UPDATE agents SET outbox_id = $1, outbox_seq = $2 WHERE tenant_id = $3 AND agent_id = $4")
        .bind(&batch.outbox_id)
        .bind(signed(recorded))
        .bind(batch.tenant_id.as_str())
        .bind(&agent_id)
        .execute(&mut *connection)
        .await?;
    Ok(Recorded { seq: recorded, ended, of_others })
}

/// What a result came to.
enum Uptake {
    /// The action ended by it.
    Ended(Box<ActionRecord>),
    /// Nobody here had asked for the action.
    New,
    EndedBefore,
    /// The action is of another agent: what is in the books stays.
    OfAnother,
}

async fn record_one(
    connection: &mut SqliteConnection,
    batch: &ResultBatch,
    result: &Reported,
    now_ms: i64,
) -> Result<Uptake, Fault> {
    let action_id = &result.action.action_id;
    let known = actions::one(&mut *connection, &batch.tenant_id, action_id).await?;
    if known.as_ref().is_some_and(|known| known.agent_id != batch.agent_id) {
        return Ok(Uptake::OfAnother);
    }
    if let Some(execution) = &result.execution {
        executions::put(&mut *connection, &batch.tenant_id, execution, now_ms).await?;
    }
    Ok(match known {
        None => {
            actions::insert(connection, &from_host(batch, result), Some(now_ms)).await?;
            Uptake::New
        }
        Some(known) if is_open(known.status) => {
            Uptake::Ended(Box::new(end(connection, batch, result, now_ms).await?))
        }
        Some(_) => Uptake::EndedBefore,
    })
}

/// Whether the books wait for the end of this action.
async fn is_awaited(
    connection: &mut SqliteConnection,
    batch: &ResultBatch,
    result: &Reported,
) -> Result<bool, Fault> {
    let known = actions::one(connection, &batch.tenant_id, &result.action.action_id).await?;
    Ok(known.is_some_and(|known| known.agent_id == batch.agent_id && is_open(known.status)))
}

fn is_open(status: ActionStatus) -> bool {
    matches!(status, ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running)
}

async fn end(
    connection: &mut SqliteConnection,
    batch: &ResultBatch,
    result: &Reported,
    now_ms: i64,
) -> Result<ActionRecord, Fault> {
    let execution = result.execution.as_ref();
    let row = query(
        "UPDATE actions SET status = $1, completed_at_ms = $2, changed = $3, error = $4, retries = $5,
             started_at_ms = COALESCE($6, started_at_ms), duration_ms = $7, recorded_at_ms = $8,
             output = $9
         WHERE tenant_id = $10 AND action_id = $11 RETURNING *",
    )
    .bind(result.status.as_str())
    .bind(result.completed_at_ms)
    .bind(result.changed)
    .bind(&result.error)
    .bind(i64::from(result.retries))
    .bind(execution.map(|execution| execution.started_at_ms))
    .bind(execution.map(|execution| signed(execution.duration_ms)))
    .bind(now_ms)
    .bind(result.output.as_ref().map(|output| to_json("output", output)).transpose()?)
    .bind(batch.tenant_id.as_str())
    .bind(result.action.action_id.as_str())
    .fetch_one(connection)
    .await?;
    actions::record(&row)
}

/// An action that the control plane learns of by its end.
fn from_host(batch: &ResultBatch, result: &Reported) -> ActionRecord {
    let execution = result.execution.as_ref();
    ActionRecord {
        tenant_id: batch.tenant_id.clone(),
        agent_id: batch.agent_id,
        action: result.action.clone(),
        origin: Origin::Host,
        status: result.status.into(),
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
        output: result.output.clone(),
    }
}
