//! Which agents there are, which of them are heard of, and who has a link open. In memory only.

mod heads;
mod questions;
mod signal;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nkudo_domain::{ActionId, AgentId, Presence, SiteId, TenantId};
use nkudo_fleet::{Missed, PresenceOf};
use nkudo_store::AgentStanding;
use tokio::sync::oneshot;

use heads::Heads;
pub(crate) use questions::LogsAnswered;
pub(crate) use signal::{EndOfLink, LinkSignal};

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall_ms: i64,
    pub(crate) monotonic_ms: u64,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self { wall_ms: nkudo_host::clock::wall_ms(), monotonic_ms: nkudo_host::clock::monotonic_ms() }
    }
}

/// Why an agent was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAsked {
    NoLink,
    TooMany,
}

/// The agents of every tenant.
#[derive(Debug)]
pub(crate) struct Roster {
    members: Mutex<HashMap<AgentId, Member>>,
    interval: Duration,
    /// How often an agent was removed.
    removals: AtomicU64,
}

/// Who was in the roster at some time, for [`Roster::reconcile`].
#[derive(Debug)]
pub(crate) struct Known {
    agents: Vec<AgentId>,
    removals: u64,
}

#[derive(Debug)]
struct Member {
    tenant_id: TenantId,
    site_id: SiteId,
    presence: PresenceOf,
    last_seen_ms: Option<i64>,
    /// Heard of since it was last written down.
    unflushed: bool,
    certificate_expires_at_ms: i64,
    skew_ms: Option<i64>,
    health: Option<String>,
    heads: Heads,
    link: Option<Arc<LinkSignal>>,
    /// Why the host has no room for what it was delivered on this link.
    held: Option<String>,
}

/// What is known of an agent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) presence: Presence,
    pub(crate) last_seen_ms: Option<i64>,
    pub(crate) skew_ms: Option<i64>,
    pub(crate) health: Option<String>,
    pub(crate) goodbye: Option<String>,
    pub(crate) certificate_expires_at_ms: i64,
}

/// An agent for the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) agent_id: AgentId,
    pub(crate) site_id: SiteId,
    pub(crate) certificate_expires_at_ms: i64,
    pub(crate) presence: Presence,
    /// Its presence is another than before.
    pub(crate) has_changed: bool,
}

impl Roster {
    /// The fleet as the books have it. Whoever was heard of until this control plane last wrote it down is given time
    /// to come back; whoever was silent before that is offline.
    pub(crate) fn from_books(
        standings: Vec<AgentStanding>,
        flushed_at_ms: Option<i64>,
        interval: Duration,
        now: Now,
    ) -> Self {
        let interval_ms = millis(interval);
        let missed = Missed::default();
        let members = standings.into_iter().map(|standing| {
            let silent_ms = flushed_at_ms
                .zip(standing.last_seen_ms)
                .map(|(flushed, seen)| flushed.saturating_sub(seen).max(0).unsigned_abs());
            let presence = match (standing.goodbye, silent_ms) {
                (Some(reason), _) => PresenceOf::gone(reason),
                (None, Some(silent)) if silent < interval_ms.saturating_mul(missed.offline) => {
                    PresenceOf::expected(now.monotonic_ms, interval_ms, missed)
                }
                (None, _) => PresenceOf::never(),
            };
            let member = Member {
                tenant_id: standing.tenant_id,
                site_id: standing.site_id,
                presence,
                last_seen_ms: standing.last_seen_ms,
                unflushed: false,
                certificate_expires_at_ms: standing.certificate_expires_at_ms,
                skew_ms: None,
                health: None,
                heads: Heads::from_books(standing.audit_head),
                link: None,
                held: None,
            };
            (standing.agent_id, member)
        });
        Self { members: Mutex::new(members.collect()), interval, removals: AtomicU64::new(0) }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<AgentId, Member>> {
        // A panic while it was locked left whole members: each is changed by plain assignments.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// An agent was let in.
    pub(crate) fn enrolled(
        &self,
        agent_id: AgentId,
        tenant_id: TenantId,
        site_id: SiteId,
        certificate_expires_at_ms: i64,
    ) {
        let member = Member::new(tenant_id, site_id, certificate_expires_at_ms);
        self.members().entry(agent_id).or_insert(member);
    }

    pub(crate) fn certificate_renewed(&self, agent_id: AgentId, expires_at_ms: i64) {
        if let Some(member) = self.members().get_mut(&agent_id) {
            member.certificate_expires_at_ms = member.certificate_expires_at_ms.max(expires_at_ms);
        }
    }

    /// A heartbeat came, sent at `sent_at_ms` of the agent's clock.
    pub(crate) fn heartbeat(&self, agent_id: AgentId, sent_at_ms: i64, health: String, now: Now) {
        let interval_ms = millis(self.interval);
        if let Some(member) = self.members().get_mut(&agent_id) {
            member.presence.heartbeat(now.monotonic_ms, interval_ms, Missed::default());
            member.heard(now);
            member.skew_ms = Some(sent_at_ms.saturating_sub(now.wall_ms));
            member.health = Some(health);
        }
    }

    /// An agent has opened its link; an earlier one of the same agent is ended. None when it is not enrolled.
    pub(crate) fn link_opened(
        &self,
        agent_id: AgentId,
        sent_at_ms: i64,
        now: Now,
    ) -> Option<Arc<LinkSignal>> {
        let mut members = self.members();
        let member = members.get_mut(&agent_id)?;
        member.presence.stream_opened(now.monotonic_ms);
        member.heard(now);
        member.skew_ms = Some(sent_at_ms.saturating_sub(now.wall_ms));
        let signal = Arc::new(LinkSignal::default());
        member.held = None;
        if let Some(former) = member.link.replace(Arc::clone(&signal)) {
            former.tell(|mail| mail.end = Some(EndOfLink::Replaced));
        }
        Some(signal)
    }

    /// A session is over. Says whether the agent has no link now: another may have taken its place.
    pub(crate) fn link_closed(&self, agent_id: AgentId, signal: &Arc<LinkSignal>) -> bool {
        let mut members = self.members();
        let Some(member) = members.get_mut(&agent_id).filter(|member| member.has_link(signal)) else {
            return false;
        };
        (member.link, member.held) = (None, None);
        true
    }

    /// An agent's host has no room for what it was delivered on this link, or has it again. Says whether that is new.
    pub(crate) fn held(&self, agent_id: AgentId, signal: &Arc<LinkSignal>, why: Option<&str>) -> bool {
        let mut members = self.members();
        let Some(member) = members.get_mut(&agent_id).filter(|member| member.has_link(signal)) else {
            return false;
        };
        let is_new = member.held.as_deref() != why;
        member.held = why.map(str::to_owned);
        is_new
    }

    /// Why what is queued for an agent does not reach it; none when it is on its way.
    pub(crate) fn holds_up(&self, agent_id: AgentId) -> Option<String> {
        let members = self.members();
        let member = members.get(&agent_id)?;
        if member.link.is_none() {
            return Some("the agent is not connected: it is delivered when it comes back".to_owned());
        }
        if member.presence.state() != Presence::Online {
            return Some("nothing is heard of the agent: it is delivered when it answers".to_owned());
        }
        member.held.as_ref().map(|why| match why.as_str() {
            "" => "the host has no room for it now".to_owned(),
            why => format!("the host has no room for it now: {why}"),
        })
    }

    pub(crate) fn said_goodbye(&self, agent_id: AgentId, reason: String) {
        if let Some(member) = self.members().get_mut(&agent_id) {
            member.presence.said_goodbye(reason);
        }
    }

    /// Actions were asked for: the agent's session looks for them.
    pub(crate) fn wake(&self, agent_id: AgentId) {
        if let Some(link) = self.members().get(&agent_id).and_then(|member| member.link.as_ref()) {
            link.tell(|mail| mail.new_actions = true);
        }
    }

    /// An action that was sent is to be cancelled.
    pub(crate) fn cancel(&self, agent_id: AgentId, action_id: ActionId) {
        if let Some(link) = self.members().get(&agent_id).and_then(|member| member.link.as_ref()) {
            link.tell(|mail| {
                mail.cancels.insert(action_id);
            });
        }
    }

    /// Asks an agent's log, as `GET /v1/logs` is asked.
    pub(crate) fn ask_logs(
        &self,
        agent_id: AgentId,
        parameters: BTreeMap<String, String>,
        oldest_first: bool,
    ) -> Result<oneshot::Receiver<LogsAnswered>, NotAsked> {
        let members = self.members();
        let link = members.get(&agent_id).and_then(|member| member.link.as_ref()).ok_or(NotAsked::NoLink)?;
        link.ask(parameters, oldest_first).ok_or(NotAsked::TooMany)
    }

    /// The agent is no longer enrolled. Answers its site.
    pub(crate) fn remove(&self, agent_id: AgentId) -> Option<SiteId> {
        let member = {
            let mut members = self.members();
            self.removals.fetch_add(1, Ordering::Relaxed);
            members.remove(&agent_id)?
        };
        if let Some(link) = member.link {
            link.tell(|mail| mail.end = Some(EndOfLink::Unenrolled));
        }
        Some(member.site_id)
    }

    /// Everybody, for [`Roster::reconcile`].
    pub(crate) fn known(&self) -> Known {
        let members = self.members();
        let removals = self.removals.load(Ordering::Relaxed);
        Known { agents: members.keys().copied().collect(), removals }
    }

    /// Removes those of `known_before` that the books no longer have, and takes in those that they have and the roster
    /// does not: another program may have changed the books. Whoever was let in after `known_before` was taken stays,
    /// and nobody is taken in when somebody left after it: the books may have been read before. Answers who was removed.
    pub(crate) fn reconcile(
        &self,
        known_before: &Known,
        standings: Vec<AgentStanding>,
    ) -> Vec<(AgentId, SiteId)> {
        let in_books: HashSet<AgentId> = standings.iter().map(|standing| standing.agent_id).collect();
        {
            let mut members = self.members();
            let nobody_left = self.removals.load(Ordering::Relaxed) == known_before.removals;
            for standing in standings.into_iter().filter(|_| nobody_left) {
                let AgentStanding {
                    agent_id, tenant_id, site_id, certificate_expires_at_ms, audit_head, ..
                } = standing;
                let new = || Member {
                    heads: Heads::from_books(audit_head),
                    ..Member::new(tenant_id, site_id, certificate_expires_at_ms)
                };
                members.entry(agent_id).or_insert_with(new);
            }
        }
        let gone = known_before.agents.iter().filter(|agent_id| !in_books.contains(agent_id));
        gone.filter_map(|agent_id| Some((*agent_id, self.remove(*agent_id)?))).collect()
    }

    pub(crate) fn standing(&self, agent_id: AgentId) -> Option<Standing> {
        let members = self.members();
        let member = members.get(&agent_id)?;
        Some(Standing {
            presence: member.presence.state(),
            last_seen_ms: member.last_seen_ms,
            skew_ms: member.skew_ms,
            health: member.health.clone(),
            goodbye: member.presence.goodbye().map(str::to_owned),
            certificate_expires_at_ms: member.certificate_expires_at_ms,
        })
    }

    /// Time has passed. Answers everybody.
    pub(crate) fn tick(&self, now: Now) -> Vec<Counted> {
        let interval_ms = millis(self.interval);
        let mut members = self.members();
        let listed = members.iter_mut().map(|(agent_id, member)| {
            let before = member.presence.state();
            member.presence.tick(now.monotonic_ms, interval_ms, Missed::default());
            let after = member.presence.state();
            if before != after {
                tracing::info!(
                    %agent_id, tenant_id = %member.tenant_id, from = before.as_str(), to = after.as_str(),
                    "an agent misses heartbeats"
                );
            }
            Counted {
                agent_id: *agent_id,
                site_id: member.site_id.clone(),
                certificate_expires_at_ms: member.certificate_expires_at_ms,
                presence: after,
                has_changed: before != after,
            }
        });
        listed.collect()
    }

    /// Who was heard of since the last time, and when.
    pub(crate) fn take_seen(&self) -> Vec<(AgentId, i64)> {
        let mut members = self.members();
        let seen = members.iter_mut().filter_map(|(agent_id, member)| {
            let seen_ms = member.last_seen_ms.filter(|_| member.unflushed)?;
            member.unflushed = false;
            Some((*agent_id, seen_ms))
        });
        seen.collect()
    }

    /// What [`Roster::take_seen`] answered could not be written down.
    pub(crate) fn seen_not_flushed(&self, seen: &[(AgentId, i64)]) {
        let mut members = self.members();
        for (agent_id, _) in seen {
            if let Some(member) = members.get_mut(agent_id) {
                member.unflushed = true;
            }
        }
    }
}

impl Member {
    /// One that was never heard of.
    fn new(tenant_id: TenantId, site_id: SiteId, certificate_expires_at_ms: i64) -> Self {
        Self {
            tenant_id,
            site_id,
            presence: PresenceOf::never(),
            last_seen_ms: None,
            unflushed: false,
            certificate_expires_at_ms,
            skew_ms: None,
            health: None,
            heads: Heads::default(),
            link: None,
            held: None,
        }
    }

    fn has_link(&self, signal: &Arc<LinkSignal>) -> bool {
        self.link.as_ref().is_some_and(|link| Arc::ptr_eq(link, signal))
    }

    fn heard(&mut self, now: Now) {
        self.last_seen_ms = Some(now.wall_ms);
        self.unflushed = true;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
