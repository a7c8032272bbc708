//! Actions: asked for, sent, ended.

use nkudo_domain::{ActionId, ActionStatus, ActionType, AgentId, EndStatus, Outcome, TenantId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, query};

use super::cursor::{before, cut, fetch, timed};
use super::fault::Fault;
use super::row::{corrupt, json, maybe_json, maybe_number, number, parsed, signed, to_json, vm_id_text};
use crate::page::{Listed, Page};
use crate::records::{ActionFilter, ActionRecord, Asked, Cancelled, Counts, Origin};

/// What is said of an action that nobody will report on.
const OUTCOME_UNKNOWN: &str =
    "the agent was unenrolled while the action was on its way or running; its outcome is unknown";

// An action is found by its tenant and id, for which there is an index of all of them; the agent's own index has open ones
// only, and walks all of those.
const MARK_SENT: &str = "UPDATE actions SET sent_at_ms = COALESCE(sent_at_ms, $1)
    WHERE tenant_id = (SELECT tenant_id FROM agents WHERE agent_id = $2) AND action_id = $3 AND agent_id = $2
        AND status IN ('queued', 'delivered', 'running')";
const MARK_DELIVERED: &str = "UPDATE actions SET status = 'delivered'
    WHERE tenant_id = (SELECT tenant_id FROM agents WHERE agent_id = $1) AND action_id = $2 AND agent_id = $1
        AND status = 'queued'";
const MARK_STARTED: &str =
    "UPDATE actions SET status = 'running', started_at_ms = COALESCE(started_at_ms, $1)
    WHERE tenant_id = (SELECT tenant_id FROM agents WHERE agent_id = $2) AND action_id = $3 AND agent_id = $2
        AND status IN ('queued', 'delivered') AND sent_at_ms IS NOT NULL";
const END_UNRUN: &str =
    "UPDATE actions SET status = $1, error = $2, completed_at_ms = $3, recorded_at_ms = $3
    WHERE tenant_id = (SELECT tenant_id FROM agents WHERE agent_id = $4) AND action_id = $5 AND agent_id = $4
        AND status IN ('queued', 'delivered', 'running') RETURNING *";

pub(super) fn record(row: &SqliteRow) -> Result<ActionRecord, Fault> {
    let origin = match row.try_get("origin")? {
        "fleet" => Origin::Fleet,
        "host" => Origin::Host,
        other => return Err(corrupt("origin", &other)),
    };
    Ok(ActionRecord {
        tenant_id: parsed(row, "tenant_id")?,
        agent_id: parsed(row, "agent_id")?,
        action: json(row, "body")?,
        origin,
        status: parsed(row, "status")?,
        created_at_ms: row.try_get("created_at_ms")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
        sent_at_ms: row.try_get("sent_at_ms")?,
        cancel_asked: row.try_get("cancel_asked")?,
        started_at_ms: row.try_get("started_at_ms")?,
        completed_at_ms: row.try_get("completed_at_ms")?,
        duration_ms: maybe_number(row, "duration_ms")?,
        changed: row.try_get("changed")?,
        error: row.try_get("error")?,
        retries: number(row, "retries")?,
        output: maybe_json(row, "output")?,
    })
}

/// `recorded_at_ms` of one that has ended.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    record: &ActionRecord,
    recorded_at_ms: Option<i64>,
) -> Result<(), Fault> {
    let action = &record.action;
    let origin = match record.origin {
        Origin::Fleet => "fleet",
        Origin::Host => "host",
    };
    query(
        "INSERT INTO actions (tenant_id, action_id, agent_id, action_type, vm_id, body, origin, status, created_at_ms,
             expires_at_ms, sent_at_ms, cancel_asked, started_at_ms, completed_at_ms, duration_ms, changed, error,
             retries, recorded_at_ms, output)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(record.tenant_id.as_str())
    .bind(action.action_id.as_str())
    .bind(record.agent_id.to_string())
    .bind(action.request.action_type().as_str())
    .bind(vm_id_text(action.request.vm_id()))
    .bind(to_json("action", action)?)
    .bind(origin)
    .bind(record.status.as_str())
    .bind(record.created_at_ms)
    .bind(record.expires_at_ms)
    .bind(record.sent_at_ms)
    .bind(record.cancel_asked)
    .bind(record.started_at_ms)
    .bind(record.completed_at_ms)
    .bind(record.duration_ms.map(signed))
    .bind(record.changed)
    .bind(&record.error)
    .bind(i64::from(record.retries))
    .bind(recorded_at_ms)
    .bind(record.output.as_ref().map(|output| to_json("output", output)).transpose()?)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn ask(
    connection: &mut SqliteConnection,
    wanted: &ActionRecord,
    open_max: u32,
) -> Result<Asked, Fault> {
    if let Some(known) = one(&mut *connection, &wanted.tenant_id, &wanted.action.action_id).await? {
        let same = known.agent_id == wanted.agent_id && known.action.asks_the_same(&wanted.action);
        return Ok(if same { Asked::Repeated(Box::new(known)) } else { Asked::Conflict });
    }
    let agent_id = wanted.agent_id.to_string();
    let agent =
        query("SELECT 1 FROM agents WHERE tenant_id = $1 AND agent_id = $2 AND unenrolled_at_ms IS NULL")
            .bind(wanted.tenant_id.as_str())
            .bind(&agent_id)
            .fetch_optional(&mut *connection)
            .await?;
    if agent.is_none() {
        return Ok(Asked::NoAgent);
    }
    let open = query(
        "SELECT COUNT(*) AS open FROM actions WHERE agent_id = $1 AND status IN ('queued', 'delivered', 'running')",
    )
    .bind(&agent_id)
    .fetch_one(&mut *connection)
    .await?;
    if open.try_get::<i64, _>("open")? >= i64::from(open_max) {
        return Ok(Asked::QueueFull);
    }
    if wanted.action.request.action_type() == ActionType::Create
        && let Some(other) = vm_elsewhere(&mut *connection, wanted).await?
    {
        return Ok(Asked::VmElsewhere(other));
    }
    insert(connection, wanted, None).await?;
    Ok(Asked::New)
}

/// Another agent of the tenant that has the VM which is to be made, or was asked to make it.
async fn vm_elsewhere(
    connection: &mut SqliteConnection,
    wanted: &ActionRecord,
) -> Result<Option<AgentId>, Fault> {
    let other = query(
        "SELECT agent_id FROM vms WHERE tenant_id = $1 AND vm_id = $2 AND agent_id <> $3
         UNION ALL SELECT agent_id FROM actions WHERE tenant_id = $1 AND vm_id = $2 AND agent_id <> $3
             AND action_type = $4 AND status IN ('queued', 'delivered', 'running')
         LIMIT 1",
    )
    .bind(wanted.tenant_id.as_str())
    .bind(vm_id_text(wanted.action.request.vm_id()))
    .bind(wanted.agent_id.to_string())
    .bind(ActionType::Create.as_str())
    .fetch_optional(connection)
    .await?;
    other.as_ref().map(|row| parsed(row, "agent_id")).transpose()
}

pub(super) async fn one(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    action_id: &ActionId,
) -> Result<Option<ActionRecord>, Fault> {
    let row = query("SELECT * FROM actions WHERE tenant_id = $1 AND action_id = $2")
        .bind(tenant_id.as_str())
        .bind(action_id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    filter: &ActionFilter,
    page: &Page,
) -> Result<Listed<ActionRecord>, Fault> {
    let mut find: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new("SELECT * FROM actions WHERE tenant_id = ");
    find.push_bind(tenant_id.as_str());
    if let Some((created_at_ms, action_id)) = before(page)? {
        find.push(" AND (created_at_ms, action_id) < (").push_bind(created_at_ms);
        find.push(", ").push_bind(action_id).push(")");
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
        find.push(" AND created_at_ms >= ").push_bind(since_ms);
    }
    if let Some(until_ms) = filter.until_ms {
        find.push(" AND created_at_ms <= ").push_bind(until_ms);
    }
    find.push(" ORDER BY created_at_ms DESC, action_id DESC LIMIT ").push_bind(fetch(page));
    let rows = find.build().fetch_all(connection).await?;
    let actions: Vec<ActionRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(actions, page, |last| timed(last.created_at_ms, last.action.action_id.as_str())))
}

pub(super) async fn open(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, ActionRecord)>, Fault> {
    let rows = query(
        "SELECT * FROM actions WHERE agent_id = $1 AND status IN ('queued', 'delivered', 'running') AND ordinal > $2
         ORDER BY ordinal LIMIT $3",
    )
    .bind(agent_id.to_string())
    .bind(signed(after))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((number(row, "ordinal")?, record(row)?))).collect()
}

pub(super) async fn mark_sent(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    action_ids: &[ActionId],
    now_ms: i64,
) -> Result<Vec<ActionId>, Fault> {
    let agent_id = agent_id.to_string();
    let mut marked = Vec::with_capacity(action_ids.len());
    for action_id in action_ids {
        let done = query(MARK_SENT)
            .bind(now_ms)
            .bind(&agent_id)
            .bind(action_id.as_str())
            .execute(&mut *connection)
            .await?;
        if done.rows_affected() > 0 {
            marked.push(action_id.clone());
        }
    }
    Ok(marked)
}

pub(super) async fn mark_delivered(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    action_ids: &[ActionId],
) -> Result<(), Fault> {
    let agent_id = agent_id.to_string();
    for action_id in action_ids {
        query(MARK_DELIVERED).bind(&agent_id).bind(action_id.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn mark_started(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    started: &[(ActionId, i64)],
) -> Result<(), Fault> {
    let agent_id = agent_id.to_string();
    for (action_id, started_at_ms) in started {
        query(MARK_STARTED)
            .bind(started_at_ms)
            .bind(&agent_id)
            .bind(action_id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn end_unrun(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    action_id: &ActionId,
    status: EndStatus,
    error: Option<&str>,
    now_ms: i64,
) -> Result<Option<ActionRecord>, Fault> {
    let ended = query(END_UNRUN)
        .bind(status.as_str())
        .bind(error)
        .bind(now_ms)
        .bind(agent_id.to_string())
        .bind(action_id.as_str())
        .fetch_optional(connection)
        .await?;
    ended.as_ref().map(record).transpose()
}

/// Ends what an agent that leaves has not ended, and answers it.
pub(super) async fn end_all(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    now_ms: i64,
) -> Result<Vec<ActionRecord>, Fault> {
    let ended = query(
        "UPDATE actions SET completed_at_ms = $1, recorded_at_ms = $1,
             status = CASE WHEN sent_at_ms IS NULL THEN 'cancelled' ELSE 'failure' END,
             error = CASE WHEN sent_at_ms IS NULL THEN NULL ELSE $2 END
         WHERE agent_id = $3 AND status IN ('queued', 'delivered', 'running') RETURNING *",
    )
    .bind(now_ms)
    .bind(OUTCOME_UNKNOWN)
    .bind(agent_id.to_string())
    .fetch_all(connection)
    .await?;
    ended.iter().map(record).collect()
}

pub(super) async fn cancel(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    action_id: &ActionId,
    now_ms: i64,
) -> Result<Cancelled, Fault> {
    let Some(known) = one(&mut *connection, tenant_id, action_id).await? else {
        return Ok(Cancelled::Unknown);
    };
    match known.status {
        ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running => {}
        ActionStatus::Success | ActionStatus::Failure | ActionStatus::Cancelled | ActionStatus::Expired => {
            return Ok(Cancelled::AlreadyEnded);
        }
    }
    if known.sent_at_ms.is_none() {
        query(
            "UPDATE actions SET status = 'cancelled', cancel_asked = TRUE, completed_at_ms = $1, recorded_at_ms = $1
             WHERE tenant_id = $2 AND action_id = $3",
        )
        .bind(now_ms)
        .bind(tenant_id.as_str())
        .bind(action_id.as_str())
        .execute(connection)
        .await?;
        return Ok(Cancelled::Done);
    }
    if known.cancel_asked {
        return Ok(Cancelled::AskedBefore(known.agent_id));
    }
    query("UPDATE actions SET cancel_asked = TRUE WHERE tenant_id = $1 AND action_id = $2")
        .bind(tenant_id.as_str())
        .bind(action_id.as_str())
        .execute(connection)
        .await?;
    Ok(Cancelled::Asked(known.agent_id))
}

/// Whether [`expire`] has something to do.
pub(super) async fn due_to_expire(connection: &mut SqliteConnection, now_ms: i64) -> Result<bool, Fault> {
    let due = query(
        "SELECT 1 FROM actions WHERE status = 'queued' AND sent_at_ms IS NULL AND expires_at_ms <= $1 LIMIT 1",
    )
    .bind(now_ms)
    .fetch_optional(connection)
    .await?;
    Ok(due.is_some())
}

pub(super) async fn expire(
    connection: &mut SqliteConnection,
    now_ms: i64,
) -> Result<Vec<ActionRecord>, Fault> {
    let rows = query(
        "UPDATE actions SET status = 'expired', completed_at_ms = $1, recorded_at_ms = $1, error = $2
         WHERE status = 'queued' AND sent_at_ms IS NULL AND expires_at_ms <= $1 RETURNING *",
    )
    .bind(now_ms)
    .bind(Outcome::Expired.error())
    .fetch_all(connection)
    .await?;
    rows.iter().map(record).collect()
}

pub(super) async fn counts(connection: &mut SqliteConnection) -> Result<Counts, Fault> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM agents WHERE unenrolled_at_ms IS NULL) AS agents,
                (SELECT COUNT(*) FROM actions WHERE status IN ('queued', 'delivered', 'running')) AS open_actions",
    )
    .fetch_one(connection)
    .await?;
    Ok(Counts { agents: number(&row, "agents")?, open_actions: number(&row, "open_actions")? })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

    use super::super::opening::MIGRATIONS;
    use super::*;

    #[tokio::test]
    async fn what_agents_tell_is_found_by_an_index_of_all_actions() {
        let mut books = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (_, _, sql) in MIGRATIONS {
            sqlx::raw_sql(sql).execute(&mut books).await.unwrap();
        }
        for statement in [MARK_SENT, MARK_DELIVERED, MARK_STARTED, END_UNRUN] {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let plan = query(AssertSqlSafe(explain)).fetch_all(&mut books).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
            let found = "SEARCH actions USING INDEX sqlite_autoindex_actions_1 (tenant_id=? AND action_id=?)";
            assert!(steps.iter().any(|step| step == found), "{statement}: {steps:?}");
            assert!(steps.iter().all(|step| !step.contains("SCAN actions")), "{statement}: {steps:?}");
        }
    }
}
