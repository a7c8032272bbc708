//! `actions`.

use std::time::Duration;

use nkudo_api::view::{Accepted, ActionView};
use nkudo_domain::{ActionId, ActionStatus};
use nkudo_terminal::print::{self, or_dash};
use nkudo_terminal::{Failure, Output};
use serde_json::json;

use crate::cli::{ActionCommand, ActionFilter, Actions};
use crate::follow::{patience, to_end};
use crate::list::{self, Row, unexpected};
use crate::query::Query;
use crate::session::Session;
use crate::submit;

const PATH: &str = "/v1/actions";

pub(crate) async fn run(session: &Session, actions: Actions) -> Result<(), Failure> {
    match actions.command {
        None => all(session, actions.filter).await,
        Some(ActionCommand::List(filter)) => all(session, filter).await,
        Some(ActionCommand::Show { action_id }) => {
            let action = session.get(&Query::new(PATH).segment(&action_id)).await?;
            list::one::<ActionRow>(session.output, &action)
        }
        Some(ActionCommand::Cancel { action_id, wait }) => cancel(session, &action_id, wait).await,
        Some(ActionCommand::Wait { action_id, timeout_seconds }) => {
            let patience = timeout_seconds.map_or_else(|| patience(None), Duration::from_secs);
            ends(session, &action_id, patience, ActionStatus::Success).await
        }
        Some(ActionCommand::Submit { agent, file, waiting }) => {
            submit::run(session, agent, submit::actions(&file)?, &waiting).await
        }
    }
}

async fn all(session: &Session, filter: ActionFilter) -> Result<(), Failure> {
    let ActionFilter { status, of, listing } = filter;
    let query = of.narrow(Query::new(PATH).with("status", status.as_ref()));
    list::run::<ActionRow>(session, &query, &listing).await
}

async fn cancel(session: &Session, action_id: &ActionId, wait: bool) -> Result<(), Failure> {
    let answer = session.post(&Query::new(PATH).segment(action_id).segment(&"cancel"), &json!({})).await?;
    if wait {
        return ends(session, action_id, patience(None), ActionStatus::Cancelled).await;
    }
    match session.output {
        Output::Json => print::json(&answer),
        Output::Text => {
            let Accepted { action_id } = serde_json::from_value(answer).map_err(unexpected)?;
            print::line(&format!("action {action_id} is being cancelled"))
        }
    }
}

/// Waits for an action's end, which is fine when it is the one that is wanted.
async fn ends(
    session: &Session,
    action_id: &ActionId,
    patience: Duration,
    wanted: ActionStatus,
) -> Result<(), Failure> {
    let ended = to_end(session, action_id, None, patience).await?;
    ended.print(session.output)?;
    if ended.status() == wanted { Ok(()) } else { Err(Failure::NotFine) }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct ActionRow(ActionView);

impl Row for ActionRow {
    const HEADINGS: &'static [&'static str] =
        &["action id", "created", "action", "status", "duration", "retries", "agent id", "vm id", "reason"];
    const NONE: &'static str = "no actions";

    fn cells(&self) -> Vec<String> {
        let Self(action) = self;
        vec![
            action.action_id.to_string(),
            action.created_at.to_string(),
            action.action_type.to_string(),
            action.status.to_string(),
            or_dash(action.duration_ms.map(|ms| format!("{ms} ms"))),
            action.retries.to_string(),
            or_dash(action.agent_id.as_deref()),
            or_dash(action.vm_id),
            or_dash(action.error.as_deref().or(action.waiting_for.as_deref())),
        ]
    }
}
