//! `agents`.

use nkudo_api::time::{WallTime, moment, no_moment};
use nkudo_api::view::fleet::AgentView;
use nkudo_api::view::outage::OutageView;
use nkudo_terminal::print::{self, or_dash};
use nkudo_terminal::{Failure, Output, outages};
use serde_json::json;

use crate::cli::{AgentCommand, Agents};
use crate::list::{self, Row};
use crate::query::Query;
use crate::session::Session;

const PATH: &str = "/v1/agents";

pub(crate) async fn run(session: &Session, agents: Agents) -> Result<(), Failure> {
    let filter = match agents.command {
        None => agents.filter,
        Some(AgentCommand::List(filter)) => filter,
        Some(AgentCommand::Show { agent_id }) => {
            let agent = session.get(&Query::new(PATH).segment(&agent_id)).await?;
            return list::one::<AgentRow>(session.output, &agent);
        }
        Some(AgentCommand::Outages { agent_id, cause, since, listing }) => {
            let since = since.map(|since| time("--since", &since)).transpose()?;
            let query = Query::new(PATH).segment(&agent_id).segment(&"outages");
            let query = query.with("cause", cause.as_ref()).with("since", since.as_ref());
            return list::run::<OutageRow>(session, &query, &listing).await;
        }
        Some(AgentCommand::Unenroll { agent_id }) => {
            let answer = session.post(&Query::new("/v1/unenroll"), &json!({ "agent_id": agent_id })).await?;
            return match session.output {
                Output::Json => print::json(&answer),
                Output::Text => print::line(&format!("agent {agent_id} is out of the fleet")),
            };
        }
    };
    let query = Query::new(PATH).with("site_id", filter.site.as_ref());
    list::run::<AgentRow>(session, &query, &filter.listing).await
}

/// A point in time as people write it.
fn time(flag: &str, text: &str) -> Result<WallTime, Failure> {
    let at_ms = moment(text, nkudo_host::clock::wall_ms());
    at_ms.map(WallTime).ok_or_else(|| Failure::Refused(format!("{flag}: {}", no_moment(text))))
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct OutageRow(OutageView);

impl Row for OutageRow {
    const HEADINGS: &'static [&'static str] = &outages::HEADINGS;
    const NONE: &'static str = "no outages";

    fn cells(&self) -> Vec<String> {
        outages::cells(&self.0)
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct AgentRow(AgentView);

impl Row for AgentRow {
    const HEADINGS: &'static [&'static str] =
        &["agent id", "hostname", "site", "presence", "health", "last seen", "certificate until", "version"];
    const NONE: &'static str = "no agents";

    fn cells(&self) -> Vec<String> {
        let Self(agent) = self;
        vec![
            agent.agent_id.to_string(),
            agent.hostname.clone(),
            agent.site_id.to_string(),
            agent.presence.to_string(),
            or_dash(agent.health.as_deref()),
            or_dash(agent.last_seen),
            agent.certificate_expires_at.to_string(),
            agent.version.clone(),
        ]
    }
}
