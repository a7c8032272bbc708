//! One open link: what its agent says goes into the books, what the books hold for it goes out.
//!
//! The session is the stream that the agent reads: it is polled by the connection and ends with it, so it needs no
//! task of its own. An agent that does not read stops its session, and nothing else.

mod spans;
mod uptake;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{ReadyChunks, unfold};
use nkudo_domain::{ActionId, ActionStatus};
use nkudo_fleet::{Dispatch, Fetch, OVERTAKING_LOOK, overtaking};
use nkudo_pki::Peer;
use nkudo_rpc::message::{AgentHello, Delivery, FromAgent, ServerHello, ToAgent};
use nkudo_rpc::{FromAgentStream, Heard, RpcError, RpcErrorKind, ToAgentStream};
use nkudo_store::ActionRecord;
use tracing::{Instrument as _, Span};

use super::identity::checked;
use super::store_failed;
use crate::control::Control;
use crate::roster::{EndOfLink, LinkSignal, Now};
use spans::Deliveries;
use uptake::Pieces;

/// How long an agent may take to say hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// Messages that are taken up together, so that one transaction records many results.
const BATCH_MAX: usize = 256;
/// How long a session sleeps at most before it looks at its certificate.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// When an agent is to dial again after this control plane has ended.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The stream of an agent that has shown its certificate.
pub(super) fn serve(control: Arc<Control>, peer: Peer, messages: FromAgentStream) -> ToAgentStream {
    let session = Session {
        control,
        peer,
        messages: messages.ready_chunks(BATCH_MAX),
        open: None,
        outgoing: VecDeque::new(),
        over: false,
    };
    Box::pin(unfold(session, |mut session| async move {
        let said = Box::pin(session.next()).await?;
        Some((said, session))
    }))
}

struct Session {
    control: Arc<Control>,
    peer: Peer,
    messages: ReadyChunks<FromAgentStream>,
    /// From the hello on.
    open: Option<Open>,
    outgoing: VecDeque<ToAgent>,
    over: bool,
}

struct Open {
    signal: Arc<LinkSignal>,
    dispatch: Dispatch,
    deliveries: Deliveries,
    outbox_id: String,
    /// The pieces of a report of all VMs whose last one has not come.
    pieces: Option<Pieces>,
}

/// What comes next in a session.
enum Turn {
    Messages(Option<Vec<Result<Heard<FromAgent>, RpcError>>>),
    Signal,
    Time,
    Shutdown,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            let agent_id = self.peer.identity.agent_id;
            if self.control.roster.link_closed(agent_id, &open.signal) {
                self.control.holds_up_changed(agent_id);
            }
            self.control.metrics.links.dec();
            tracing::info!(agent_id = %self.peer.identity.agent_id, "link closed");
        }
    }
}

impl Session {
    /// What is said next; none when the session is over.
    async fn next(&mut self) -> Option<Result<ToAgent, RpcError>> {
        if self.over {
            return None;
        }
        let said = if self.open.is_some() { self.go_on().await } else { self.hello().await };
        match said {
            Ok(Some(message)) => Some(Ok(message)),
            Ok(None) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = true;
                tracing::warn!(agent_id = %self.peer.identity.agent_id, reason = %error, "link ended");
                Some(Err(error))
            }
        }
    }

    async fn hello(&mut self) -> Result<Option<ToAgent>, RpcError> {
        let late = |_| {
            let sentence = format!("no hello came within {} s", HELLO_DEADLINE.as_secs());
            RpcError::new(RpcErrorKind::Deadline, sentence)
        };
        let first = tokio::time::timeout(HELLO_DEADLINE, self.messages.next()).await.map_err(late)?;
        let Some(first) = first else { return Ok(None) };
        let mut messages = first.into_iter();
        let hello = match messages.next() {
            Some(Ok(Ok(FromAgent::Hello(hello)))) => hello,
            Some(Ok(Err(error))) => return Err(error.into()),
            Some(Err(error)) => return Err(error),
            Some(Ok(Ok(_))) | None => {
                return Err(RpcError::new(RpcErrorKind::Invalid, "a link begins with a hello"));
            }
        };
        let AgentHello { facts, sent_at_ms, outbox_id } = hello;
        let agent_id = self.peer.identity.agent_id;
        let now = Now::read();
        let facts = checked(facts)?;
        let version = facts.version.clone();
        let recorded = self.control.store.record_facts(agent_id, &facts, now.wall_ms).await;
        recorded.map_err(|error| store_failed(&error))?;
        let recorded = self.control.store.results_recorded(agent_id, &outbox_id).await;
        let results_recorded = Some(recorded.map_err(|error| store_failed(&error))?);
        let signal = self.control.roster.link_opened(agent_id, sent_at_ms, now);
        let signal = signal.ok_or_else(super::unenrolled)?;
        self.open = Some(Open {
            signal,
            dispatch: Dispatch::opened(),
            deliveries: Deliveries::default(),
            outbox_id,
            pieces: None,
        });
        self.control.holds_up_changed(agent_id);
        self.control.metrics.links.inc();
        tracing::info!(%agent_id, version, "link opened");
        let rest: Vec<_> = messages.collect();
        self.take_up(rest).await?;
        Ok(Some(ToAgent::Hello(ServerHello {
            version: self.control.version.to_owned(),
            server_time_ms: now.wall_ms,
            heartbeat_interval: self.control.roster.interval(),
            results_recorded,
        })))
    }

    async fn go_on(&mut self) -> Result<Option<ToAgent>, RpcError> {
        loop {
            if let Some(message) = self.outgoing.pop_front() {
                return Ok(Some(message));
            }
            if self.peer.expires_at_ms <= nkudo_host::clock::wall_ms() {
                let sentence = "the certificate has expired while the link was open; renew it";
                return Err(RpcError::new(RpcErrorKind::Unauthenticated, sentence));
            }
            self.read_mail()?;
            if self.fetch().await? || !self.outgoing.is_empty() {
                continue;
            }
            match self.turn().await {
                Turn::Messages(Some(messages)) => {
                    // A link that was replaced meanwhile has nothing more to say.
                    self.read_mail()?;
                    self.take_up(messages).await?;
                }
                Turn::Messages(None) => return Ok(None),
                Turn::Signal | Turn::Time => {}
                Turn::Shutdown => {
                    self.over = true;
                    return Ok(Some(ToAgent::Closing { retry_after: RETRY_AFTER }));
                }
            }
        }
    }

    /// Waits for whatever comes first. Every branch is cancel safe: messages stay in their stream, signals in theirs.
    async fn turn(&mut self) -> Turn {
        let Some(open) = &self.open else { return Turn::Messages(None) };
        let now_ms = nkudo_host::clock::monotonic_ms();
        let wait =
            open.dispatch.next_wake_ms().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        tokio::select! {
            messages = self.messages.next() => Turn::Messages(messages),
            () = open.signal.notified() => Turn::Signal,
            () = tokio::time::sleep(wait.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL)) => Turn::Time,
            () = self.control.shutdown.cancelled() => Turn::Shutdown,
        }
    }

    /// Takes up what the rest of the control plane wants of this session.
    fn read_mail(&mut self) -> Result<(), RpcError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let mail = open.signal.take();
        match mail.end {
            Some(EndOfLink::Replaced) => {
                let sentence = "the agent has opened another link; is it running twice?";
                return Err(RpcError::new(RpcErrorKind::Unavailable, sentence));
            }
            Some(EndOfLink::Unenrolled) => return Err(super::unenrolled()),
            None => {}
        }
        if mail.new_actions {
            open.dispatch.wake();
        }
        self.outgoing.extend(mail.questions.into_iter().map(ToAgent::AskLogs));
        self.outgoing.extend(mail.cancels.into_iter().map(|action_id| ToAgent::Cancel { action_id }));
        Ok(())
    }

    /// Puts what the books hold for this agent onto its way, within the window. False when there was nothing to ask the
    /// books for.
    async fn fetch(&mut self) -> Result<bool, RpcError> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let agent_id = self.peer.identity.agent_id;
        let now = Now::read();
        let Some(fetch) = open.dispatch.fetch(now.monotonic_ms) else { return Ok(false) };
        let (after, limit) = match fetch {
            Fetch::After { ordinal, limit } => (ordinal, limit),
            Fetch::Again { ordinal } => (ordinal.saturating_sub(1), 1),
            Fetch::Deletes { after, .. } => (after, OVERTAKING_LOOK),
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let store = &self.control.store;
        let mut found =
            store.open_actions(agent_id, after, limit).await.map_err(|error| store_failed(&error))?;
        match fetch {
            Fetch::After { .. } if found.len() < limit as usize => open.dispatch.drained(),
            Fetch::Again { ordinal } if found.first().is_none_or(|(first, _)| *first != ordinal) => {
                // It has ended meanwhile; the one that was found is fetched in its turn.
                open.dispatch.skipped(ordinal);
                return Ok(true);
            }
            Fetch::After { .. } | Fetch::Again { .. } => {}
            Fetch::Deletes { room, .. } => {
                open.dispatch.deletes_fetched();
                let queued = found.iter().filter(|(_, record)| record.status == ActionStatus::Queued);
                let overtaking = overtaking(queued.map(|(ordinal, record)| (*ordinal, &record.action)));
                found.retain(|(ordinal, record)| {
                    let is_new = !open.dispatch.is_on_its_way(&record.action.action_id);
                    is_new && overtaking.contains(ordinal)
                });
                found.truncate(room);
            }
        }
        // What was never sent and is too late is left to the books' own expiry.
        let (late, mut due): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(_, record)| too_late(record, now.wall_ms));
        late.iter().for_each(|(ordinal, _)| open.dispatch.skipped(*ordinal));
        let spans: Vec<Span> = due
            .iter_mut()
            .map(|(_, record)| open.deliveries.begin(&mut record.action, &self.peer.identity))
            .collect();
        let ids: Vec<ActionId> = due.iter().map(|(_, record)| record.action.action_id.clone()).collect();
        let marked = match spans.first() {
            None => Vec::new(),
            // One transaction for all of them; it shows in the trace of the first.
            Some(first) => {
                let marked = store.mark_sent(agent_id, &ids, now.wall_ms).instrument(first.clone()).await;
                marked.map_err(|error| store_failed(&error))?
            }
        };
        for ((ordinal, record), span) in due.into_iter().zip(spans) {
            let action_id = record.action.action_id.clone();
            if !marked.contains(&action_id) {
                open.deliveries.drop_unsent(&action_id);
                open.dispatch.skipped(ordinal);
                continue;
            }
            open.dispatch.sent(ordinal, action_id.clone());
            span.in_scope(|| tracing::debug!(%agent_id, "action sent"));
            self.outgoing.push_back(ToAgent::Deliver(Box::new(Delivery {
                action_id,
                action: Ok(record.action),
                expires_at_ms: record.expires_at_ms,
                cancel: record.cancel_asked,
                taken_in: matches!(record.status, ActionStatus::Delivered | ActionStatus::Running),
            })));
        }
        Ok(true)
    }
}

fn too_late(record: &ActionRecord, now_ms: i64) -> bool {
    record.sent_at_ms.is_none() && record.expires_at_ms <= now_ms
}

#[cfg(test)]
mod tests;
