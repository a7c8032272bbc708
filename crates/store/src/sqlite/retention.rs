//! What is too old to be kept.

use sqlx::{SqliteConnection, query};

use super::fault::Fault;
use crate::records::Forgotten;

const ACTIONS: &str = "DELETE FROM actions WHERE ordinal IN
    (SELECT ordinal FROM actions WHERE recorded_at_ms < $1 ORDER BY recorded_at_ms LIMIT $2)";
const EXECUTIONS: &str = "DELETE FROM executions WHERE rowid IN
    (SELECT rowid FROM executions WHERE recorded_at_ms < $1 ORDER BY recorded_at_ms LIMIT $2)";
// The last certificate of an agent stays with it: it says since when the agent cannot call.
const CERTIFICATES: &str = "DELETE FROM certificates WHERE serial IN
    (SELECT old.serial FROM certificates old WHERE old.expires_at_ms < $1
         AND EXISTS (SELECT 1 FROM certificates later
             WHERE later.agent_id = old.agent_id AND later.expires_at_ms > old.expires_at_ms)
     ORDER BY old.expires_at_ms LIMIT $2)";
const TOKENS: &str = "DELETE FROM enrolment_tokens WHERE token_id IN
    (SELECT token_id FROM enrolment_tokens WHERE expires_at_ms < $1 ORDER BY expires_at_ms LIMIT $2)";
const AGENTS: &str = "DELETE FROM agents WHERE agent_id IN
    (SELECT agent_id FROM agents WHERE unenrolled_at_ms < $1 ORDER BY unenrolled_at_ms LIMIT $2)";

/// Whether [`forget_before`] has something to do.
pub(super) async fn due(connection: &mut SqliteConnection, before_ms: i64) -> Result<bool, Fault> {
    let due = query(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM actions WHERE recorded_at_ms < $1)
             OR EXISTS (SELECT 1 FROM executions WHERE recorded_at_ms < $1)
             OR EXISTS (SELECT 1 FROM certificates WHERE expires_at_ms < $1)
             OR EXISTS (SELECT 1 FROM enrolment_tokens WHERE expires_at_ms < $1)
             OR EXISTS (SELECT 1 FROM agents WHERE unenrolled_at_ms < $1)",
    )
    .bind(before_ms)
    .fetch_optional(connection)
    .await?;
    Ok(due.is_some())
}

pub(super) async fn forget_before(
    connection: &mut SqliteConnection,
    before_ms: i64,
    limit: u32,
) -> Result<Forgotten, Fault> {
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
