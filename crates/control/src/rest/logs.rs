//! Logs: the control plane's own, and those of agents, asked over their links.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use nkudo_api::Problem;
use nkudo_api::time::WallTime;
use nkudo_api::view::List;
use nkudo_domain::{AgentId, Role, TenantId};
use nkudo_host::clock;
use nkudo_logbook::{BookError, Question};
use nkudo_rpc::message::LogLines;
use serde_json::value::RawValue;

use super::actions::no_agent;
use super::answer::{self, Answered, Refused};
use super::routes::Call;
use super::service::Port;
use crate::control::Control;
use crate::roster::NotAsked;

/// How long an agent may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How often an agent is asked for new lines by whoever follows its log.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How long an agent whose log is followed may be away.
const AWAY_MAX: Duration = Duration::from_secs(60);

pub(super) async fn list(call: Call) -> Answered {
    let agent_id: Option<AgentId> = call.params.get("agent_id")?;
    let mut parameters = call.params.all().clone();
    parameters.remove("agent_id");
    let question =
        Question::read(&parameters, clock::wall_ms()).map_err(|faults| Refused(Problem::invalid(faults)))?;
    match agent_id {
        Some(agent_id) => of_agent(call, agent_id, question).await,
        None => own(call, question).await,
    }
}

/// The control plane's own log is of all tenants: it is for whoever runs it, which a key alone does not show.
async fn own(call: Call, question: Question) -> Answered {
    let principal = call.principal()?;
    if call.port != Port::Plain || principal.tenant_id != TenantId::default() {
        let detail = "the control plane's own log is of all tenants; it is read on its host, at its http_listen address, \
             with an admin key of the tenant `default`. Name an agent with agent_id to read that one's";
        return Err(Refused::new(StatusCode::FORBIDDEN, detail));
    }
    principal.may(Role::Admin)?;
    let off = "the control plane writes no log files: logs.enabled is false in its configuration";
    let book = call.control.logs.as_ref().ok_or_else(|| Refused::not_found(off))?;
    if question.follow {
        return Ok(events(&call.control, book.follow(question.query).await?.lines()));
    }
    answer::json(StatusCode::OK, &book.page(question.query).await?)
}

/// A host that is enrolled anew tells nothing of what it did before: it bounds each answer by where its log ended at the
/// enrolment, and its lines are shown from that time on, as of an agent that an earlier version enrolled.
async fn of_agent(call: Call, agent_id: AgentId, mut question: Question) -> Answered {
    let known = call.control.store.agent(&call.principal()?.tenant_id, agent_id).await?;
    let known = known.filter(|record| record.unenrolled_at_ms.is_none());
    let enrolled_at_ms = known.ok_or_else(|| no_agent(agent_id))?.enrolled_at_ms;
    // By the clock of the host, which its lines are of.
    let skew_ms = call.control.roster.standing(agent_id).and_then(|standing| standing.skew_ms).unwrap_or(0);
    let since = Timestamp::from_millisecond(enrolled_at_ms.saturating_add(skew_ms)).unwrap_or(Timestamp::MAX);
    let since = question.query.since.map_or(since, |asked| asked.max(since));
    if let Some(until) = question.query.until.filter(|until| *until <= since) {
        let detail = format!(
            "{until:.3} is before the agent was enrolled, or before `since`: nothing is shown of that time"
        );
        return Err(Refused::invalid("until", detail));
    }
    question.query.since = Some(since);
    let remote = Remote { control: Arc::clone(&call.control), agent_id };
    if question.follow {
        let follower = Follower::begin(remote, question).await?;
        return Ok(events(&call.control, follower.lines()));
    }
    let LogLines { lines, next, end: _ } = remote.ask(question.parameters(), false).await?;
    let items: Vec<Box<RawValue>> =
        lines.into_iter().filter_map(|line| RawValue::from_string(line).ok()).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: next })
}

/// Each line as an event named `log`, until the stream ends or the control plane does.
fn events(control: &Control, lines: impl Stream<Item = String> + Send + 'static) -> axum::response::Response {
    let one_line = |line: String| line.replace(['\r', '\n'], " ");
    let events =
        lines.map(move |line| Ok::<_, Infallible>(Event::default().event("log").data(one_line(line))));
    let until_the_end = events.take_until(control.shutdown.clone().cancelled_owned());
    Sse::new(until_the_end).keep_alive(KeepAlive::default()).into_response()
}

/// The log of an agent.
struct Remote {
    control: Arc<Control>,
    agent_id: AgentId,
}

impl Remote {
    async fn ask(
        &self,
        parameters: BTreeMap<String, String>,
        oldest_first: bool,
    ) -> Result<LogLines, Refused> {
        let agent_id = self.agent_id;
        let asked = self.control.roster.ask_logs(agent_id, parameters, oldest_first);
        let answer = asked.map_err(|why| match why {
            NotAsked::NoLink => {
                let seen = self.control.roster.standing(agent_id).and_then(|standing| standing.last_seen_ms);
                let seen = seen.map_or_else(|| "never".to_owned(), |at_ms| WallTime(at_ms).to_string());
                let detail = format!(
                    "agent {agent_id} is not connected (last seen: {seen}); on its host edge-agent logs shows its log"
                );
                Refused::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            NotAsked::TooMany => {
                let detail = format!("too many ask the log of agent {agent_id}; ask again in a moment");
                Refused::new(StatusCode::TOO_MANY_REQUESTS, detail)
            }
        })?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(Ok(mut answer))) => {
                // What an agent sends that is no JSON is no line of a log.
                answer.lines.retain(|line| serde_json::from_str::<&RawValue>(line).is_ok());
                Ok(answer)
            }
            Ok(Ok(Err(sentence))) => {
                Err(Refused::new(StatusCode::BAD_GATEWAY, format!("agent {agent_id}: {sentence}")))
            }
            Ok(Err(_link_closed)) => {
                let detail = format!("agent {agent_id} lost its link before it answered; ask again");
                Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, detail))
            }
            Err(_late) => {
                let detail = format!(
                    "agent {agent_id} did not answer within {} s; one of an earlier version does not know the question",
                    ANSWER_DEADLINE.as_secs()
                );
                Err(Refused::new(StatusCode::GATEWAY_TIMEOUT, detail))
            }
        }
    }
}

/// New lines of an agent's log: it is asked again and again.
struct Follower {
    remote: Remote,
    /// Without limit, cursor and follow.
    parameters: BTreeMap<String, String>,
    /// Where its log was read up to.
    end: String,
    /// Lines to be told before it is asked again.
    lines: VecDeque<String>,
    /// Whether there may be more at once.
    is_behind: bool,
}

impl Follower {
    async fn begin(remote: Remote, question: Question) -> Result<Self, Refused> {
        let wanted = question.query.limit;
        let mut parameters = question.parameters();
        parameters.remove("follow");
        parameters.insert("limit".to_owned(), wanted.max(1).to_string());
        let LogLines { lines, next: _, end } = remote.ask(parameters.clone(), false).await?;
        parameters.remove("limit");
        let lines = lines.into_iter().take(wanted).rev().collect();
        Ok(Self { remote, parameters, end, lines, is_behind: false })
    }

    fn lines(self) -> impl Stream<Item = String> + Send {
        stream::unfold(self, |mut follower| async {
            let line = follower.next().await?;
            Some((line, follower))
        })
    }

    /// The next line; none once the agent was away for too long.
    async fn next(&mut self) -> Option<String> {
        let mut heard_at = Instant::now();
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if !self.is_behind {
                tokio::time::sleep(FOLLOW_EVERY).await;
            }
            self.is_behind = false;
            let mut parameters = self.parameters.clone();
            parameters.insert("cursor".to_owned(), self.end.clone());
            match self.remote.ask(parameters, true).await {
                Ok(LogLines { lines, next, end }) => {
                    heard_at = Instant::now();
                    self.is_behind = next.is_some();
                    self.end = next.unwrap_or(end);
                    self.lines = lines.into();
                }
                Err(_) if heard_at.elapsed() < AWAY_MAX => {}
                Err(Refused(problem)) => {
                    let (agent_id, reason) = (self.remote.agent_id, problem.detail);
                    tracing::info!(%agent_id, reason, "a log is followed no longer");
                    return None;
                }
            }
        }
    }
}

impl From<BookError> for Refused {
    fn from(error: BookError) -> Self {
        match error.query() {
            Some(query) => Self::invalid(query.parameter(), query.to_string()),
            None => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}
