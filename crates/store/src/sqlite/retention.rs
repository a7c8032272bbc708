//! What is too old to be kept.

use sqlx::{SqliteConnection, query};

use super::fault::Fault;
use crate::records::Forgotten;

// What a former version of the control plane has ended is dated as if it had ended now.
const DATE_ACTIONS: &str = "UPDATE actions SET recorded_at_ms = $1 WHERE ordinal IN
    (SELECT ordinal FROM actions
     WHERE recorded_at_ms IS NULL AND status NOT IN ('queued', 'delivered', 'running') LIMIT $2)";
const DATE_EXECUTIONS: &str = "UPDATE executions SET recorded_at_ms = $1 WHERE (agent_id, action_id) IN
    (SELECT agent_id, action_id FROM executions WHERE recorded_at_ms IS NULL LIMIT $2)";

const ACTIONS: &str = "DELETE FROM actions WHERE ordinal IN
    (SELECT ordinal FROM actions WHERE recorded_at_ms < $1 ORDER BY recorded_at_ms LIMIT $2)";
const EXECUTIONS: &str = "DELETE FROM executions WHERE (agent_id, action_id) IN
    (SELECT agent_id, action_id FROM executions WHERE recorded_at_ms < $1 ORDER BY recorded_at_ms LIMIT $2)";
// The last certificate of an agent stays with it: it says since when the agent cannot call.
const CERTIFICATES: &str = "DELETE FROM certificates WHERE serial IN
    (SELECT serial FROM certificates WHERE superseded AND expires_at_ms < $1 ORDER BY expires_at_ms LIMIT $2)";
const TOKENS: &str = "DELETE FROM enrolment_tokens WHERE token_id IN
    (SELECT token_id FROM enrolment_tokens WHERE expires_at_ms < $1 ORDER BY expires_at_ms LIMIT $2)";
const AGENTS: &str = "DELETE FROM agents WHERE agent_id IN
    (SELECT agent_id FROM agents WHERE unenrolled_at_ms < $1 ORDER BY unenrolled_at_ms LIMIT $2)";

const DUE: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM actions WHERE recorded_at_ms < $1)
        OR EXISTS (SELECT 1 FROM actions
            WHERE recorded_at_ms IS NULL AND status NOT IN ('queued', 'delivered', 'running'))
        OR EXISTS (SELECT 1 FROM executions WHERE recorded_at_ms < $1)
        OR EXISTS (SELECT 1 FROM executions WHERE recorded_at_ms IS NULL)
        OR EXISTS (SELECT 1 FROM certificates WHERE superseded AND expires_at_ms < $1)
        OR EXISTS (SELECT 1 FROM enrolment_tokens WHERE expires_at_ms < $1)
        OR EXISTS (SELECT 1 FROM agents WHERE unenrolled_at_ms < $1)";

/// Whether [`forget`] has something to do.
pub(super) async fn due(connection: &mut SqliteConnection, before_ms: i64) -> Result<bool, Fault> {
    Ok(query(DUE).bind(before_ms).fetch_optional(connection).await?.is_some())
}

pub(super) async fn forget(
    connection: &mut SqliteConnection,
    before_ms: i64,
    now_ms: i64,
    limit: u32,
) -> Result<Forgotten, Fault> {
    for statement in [DATE_ACTIONS, DATE_EXECUTIONS] {
        query(statement).bind(now_ms).bind(i64::from(limit)).execute(&mut *connection).await?;
    }
    let mut forgotten = Forgotten::default();
    for (statement, count) in [
        (ACTIONS, &mut forgotten.actions),
        (EXECUTIONS, &mut forgotten.executions),
        (CERTIFICATES, &mut forgotten.certificates),
        (TOKENS, &mut forgotten.tokens),
        (AGENTS, &mut forgotten.agents),
    ] {
        let deleted = query(statement).bind(before_ms).bind(i64::from(limit)).execute(&mut *connection);
        *count = deleted.await?.rows_affected();
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Row as _};

    use super::super::opening::MIGRATIONS;
    use super::*;

    #[tokio::test]
    async fn what_is_old_is_found_by_an_index() {
        let mut books = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (_, _, sql) in MIGRATIONS {
            sqlx::raw_sql(sql).execute(&mut books).await.unwrap();
        }
        let all = [DATE_ACTIONS, DATE_EXECUTIONS, ACTIONS, EXECUTIONS, CERTIFICATES, TOKENS, AGENTS, DUE];
        for statement in all {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let plan = query(AssertSqlSafe(explain)).fetch_all(&mut books).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
            // A scan of a partial index that holds only what is looked for is no walk.
            let walks = |step: &String| {
                step.starts_with("SCAN") && !step.contains("_undated") && !step.contains("CONSTANT ROW")
            };
            assert!(!steps.iter().any(walks), "{statement}: {steps:?}");
        }
    }
}
