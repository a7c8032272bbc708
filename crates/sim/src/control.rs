//! The control plane's program: a session for each link. What must survive it is in the books.

use std::collections::BTreeMap;

use nkudo_domain::{ActionId, ActionStatus, Presence};
use nkudo_fleet::{Dispatch, Fetch, Missed, OVERTAKING_LOOK, PresenceOf, overtaking};

use crate::bug::Bug;
use crate::clocks::Clocks;
use crate::link::HEARTBEAT_MS;
use crate::network::{Answer, FromAgent, ToAgent};
use crate::world::{Event, World};

/// How often it looks for what has expired, and for who was not heard of.
const HOUSEKEEPING_US: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Control {
    /// The number of the run; none while it is down.
    pub(crate) run: Option<u64>,
    runs: u64,
    pub(crate) clocks: Clocks,
    pub(crate) sessions: BTreeMap<usize, Session>,
    presence: BTreeMap<usize, PresenceOf>,
    /// After so many more steps it is killed.
    pub(crate) killed_after: Option<u64>,
}

/// One open link.
#[derive(Debug)]
pub(crate) struct Session {
    stream: usize,
    pub(crate) dispatch: Dispatch,
    outbox_id: String,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            run: None,
            runs: 0,
            clocks: Clocks::new(0),
            sessions: BTreeMap::new(),
            presence: BTreeMap::new(),
            killed_after: None,
        }
    }

    fn now_ms(&self, at_us: u64) -> u64 {
        self.clocks.now(at_us).monotonic_ms
    }

    pub(crate) fn heard(&mut self, agent: usize, at_us: u64) {
        let now_ms = self.now_ms(at_us);
        let presence = self.presence.entry(agent).or_insert_with(PresenceOf::never);
        presence.heartbeat(now_ms, HEARTBEAT_MS, Missed::default());
    }

    pub(crate) fn is_online(&self, agent: usize) -> bool {
        self.presence.get(&agent).is_some_and(|presence| presence.state() == Presence::Online)
    }
}

impl World<'_> {
    pub(crate) fn control_starts(&mut self) {
        if self.control.run.is_some() {
            return;
        }
        self.control.runs += 1;
        let run = self.control.runs;
        self.control.run = Some(run);
        self.control.clocks.started(self.at_us);
        self.restarts += u64::from(run > 1);
        self.control.presence = (0..self.plan.agents)
            .map(|agent| (agent, PresenceOf::expected(0, HEARTBEAT_MS, Missed::default())))
            .collect();
        self.tell(|| "the control plane starts".to_owned());
        self.after(HOUSEKEEPING_US, Event::Housekeeping { run });
    }

    pub(crate) fn control_dies(&mut self) {
        let Some(_run) = self.control.run.take() else { return };
        self.control.killed_after = None;
        let sessions = std::mem::take(&mut self.control.sessions);
        for (agent, session) in sessions {
            let wait_us = self.chance("notice of close").between(1_000, 50_000);
            let Some(stream) = self.network.stream(session.stream) else { continue };
            let down_us = stream.down_us;
            let run = stream.agent_run;
            let wait_us = wait_us + down_us.saturating_sub(self.at_us);
            self.after(wait_us, Event::LinkLost { agent, run, stream: session.stream });
        }
        self.tell(|| "the control plane is killed".to_owned());
        let wait_us = self.chance("control start").between(100_000, 8_000_000);
        self.after(wait_us, Event::ControlStarts);
    }

    /// Counts a step; false when the control plane is killed before it.
    pub(crate) fn control_goes_on(&mut self) -> bool {
        match self.control.killed_after {
            Some(0) => {
                self.control_dies();
                false
            }
            Some(left) => {
                self.control.killed_after = Some(left - 1);
                true
            }
            None => self.control.run.is_some(),
        }
    }

    pub(crate) fn housekeeping(&mut self, run: u64) {
        if self.control.run != Some(run) {
            return;
        }
        let now = self.control.clocks.now(self.at_us);
        self.books.expire(now.wall_ms);
        let ids: Vec<ActionId> = self.books.entries.keys().cloned().collect();
        ids.iter().for_each(|action_id| self.books_changed(action_id));
        for presence in self.control.presence.values_mut() {
            presence.tick(now.monotonic_ms, HEARTBEAT_MS, Missed::default());
        }
        self.after(HOUSEKEEPING_US, Event::Housekeeping { run });
    }

    pub(crate) fn session_lost(&mut self, run: u64, stream: usize) {
        if self.control.run == Some(run) {
            self.control.sessions.retain(|_, session| session.stream != stream);
        }
    }

    /// Says something on the link there is.
    pub(crate) fn order(&mut self, agent: usize, message: ToAgent) {
        let at_us = self.at_us;
        let Some(stream) = self.control.sessions.get(&agent).map(|session| session.stream) else { return };
        let delay_us = self.chance("network").between(200, 40_000);
        let open_us = self.network.blocked_until_us(agent).max(at_us);
        let Some(on) = self.network.stream(stream) else { return };
        on.down_us = on.down_us.max(open_us + delay_us);
        let (run, wait_us) = (on.agent_run, on.down_us - at_us);
        self.after(wait_us, Event::ToAgent { agent, run, stream, message });
    }

    pub(crate) fn agent_says(&mut self, run: u64, stream: usize, message: FromAgent) {
        if self.control.run != Some(run) || self.network.is_broken(stream) || !self.control_goes_on() {
            return;
        }
        let Some(agent) = self.network.stream(stream).map(|stream| stream.agent) else { return };
        if let FromAgent::Hello { outbox_id } = message {
            return self.session_opens(agent, stream, outbox_id);
        }
        // A link that was replaced meanwhile has nothing more to say.
        if self.control.sessions.get(&agent).is_none_or(|session| session.stream != stream) {
            return;
        }
        match message {
            FromAgent::Hello { .. } => {}
            FromAgent::Received { action_id, answer } => self.received(agent, &action_id, answer),
            FromAgent::Started { action_id } => {
                self.books.mark_started(agent, &action_id);
                self.books_changed(&action_id);
            }
            FromAgent::Result(result) => self.result(agent, &result),
            FromAgent::Vms(vms) => drop(self.books.vms.insert(agent, vms)),
            FromAgent::VmChanged(vm_id, state) => {
                let vms = self.books.vms.entry(agent).or_default();
                match state {
                    Some(state) => drop(vms.insert(vm_id, state)),
                    None => drop(vms.remove(&vm_id)),
                }
            }
        }
        self.fetch(agent);
    }

    fn session_opens(&mut self, agent: usize, stream: usize, outbox_id: String) {
        let mut dispatch = Dispatch::opened();
        if self.bug == Some(Bug::ForgetsUndelivered) {
            let sent = self.books.open_actions(agent, 0, usize::MAX).into_iter().filter(|entry| entry.sent);
            sent.for_each(|entry| dispatch.skipped(entry.ordinal));
        }
        self.control.sessions.insert(agent, Session { stream, dispatch, outbox_id });
        let now = self.control.clocks.now(self.at_us);
        if let Some(presence) = self.control.presence.get_mut(&agent) {
            presence.stream_opened(now.monotonic_ms);
        }
        self.order(agent, ToAgent::Hello { wall_ms: now.wall_ms });
        self.fetch(agent);
    }

    fn received(&mut self, agent: usize, action_id: &ActionId, answer: Answer) {
        let now = self.control.clocks.now(self.at_us);
        let Some(session) = self.control.sessions.get_mut(&agent) else { return };
        if answer == Answer::Busy {
            session.dispatch.busy(action_id, now.monotonic_ms);
            return;
        }
        session.dispatch.answered(action_id);
        if self.bug == Some(Bug::SendsBeforeMarking) {
            self.books.mark_sent(action_id);
        }
        if answer == Answer::Expired {
            self.judge_expiry(agent, action_id, now.wall_ms);
        }
        match answer {
            Answer::Accepted => {
                self.books.mark_delivered(agent, action_id);
                self.judge.hears_of(agent, action_id);
            }
            Answer::Refused => self.books.end_unrun(agent, action_id, ActionStatus::Failure),
            Answer::Expired => self.books.end_unrun(agent, action_id, ActionStatus::Expired),
            Answer::Cancelled => self.books.end_unrun(agent, action_id, ActionStatus::Cancelled),
            Answer::Busy => {}
        }
        self.books_changed(action_id);
    }

    fn result(&mut self, agent: usize, result: &crate::books::ToldResult) {
        let Some(session) = self.control.sessions.get(&agent) else { return };
        let outbox_id = session.outbox_id.clone();
        if self.bug == Some(Bug::AcknowledgesBeforeBooks) {
            self.order(agent, ToAgent::Acknowledge { seq: result.seq });
            if !self.control_goes_on() {
                return;
            }
        }
        let seq = self.books.record(agent, &outbox_id, result);
        self.books_changed(&result.action.action_id);
        if self.control_goes_on() {
            self.order(agent, ToAgent::Acknowledge { seq });
        }
    }

    /// Puts what the books hold for an agent onto its way, within the window.
    pub(crate) fn fetch(&mut self, agent: usize) {
        let bug = self.bug;
        loop {
            let now = self.control.clocks.now(self.at_us);
            let Some(session) = self.control.sessions.get_mut(&agent) else { return };
            let Some(fetch) = session.dispatch.fetch(now.monotonic_ms) else { break };
            let (after, limit) = match fetch {
                Fetch::After { ordinal, limit } => (ordinal, limit),
                Fetch::Again { ordinal } => (ordinal.saturating_sub(1), 1),
                Fetch::Deletes { after, .. } => (after, OVERTAKING_LOOK),
            };
            let whose =
                if bug == Some(Bug::DeliversToAnother) { (agent + 1) % self.plan.agents } else { agent };
            let mut found = self.books.open_actions(whose, after, limit);
            match fetch {
                Fetch::After { .. } if found.len() < limit => session.dispatch.drained(),
                Fetch::Again { ordinal } if found.first().is_none_or(|first| first.ordinal != ordinal) => {
                    session.dispatch.skipped(ordinal);
                    continue;
                }
                Fetch::After { .. } | Fetch::Again { .. } => {}
                Fetch::Deletes { room, .. } => {
                    session.dispatch.deletes_fetched();
                    let queued = found.iter().filter(|entry| entry.status == ActionStatus::Queued);
                    let overtaking = overtaking(queued.map(|entry| (entry.ordinal, &entry.action)));
                    found.retain(|entry| {
                        let is_new = !session.dispatch.is_on_its_way(&entry.action.action_id);
                        is_new && overtaking.contains(&entry.ordinal)
                    });
                    found.truncate(room);
                }
            }
            for entry in found {
                let action_id = entry.action.action_id.clone();
                let too_late = !entry.sent && entry.expires_at_ms <= now.wall_ms;
                let marked =
                    !too_late && (bug == Some(Bug::SendsBeforeMarking) || self.books.mark_sent(&action_id));
                if !self.control_goes_on() {
                    return;
                }
                let Some(session) = self.control.sessions.get_mut(&agent) else { return };
                if !marked {
                    session.dispatch.skipped(entry.ordinal);
                    continue;
                }
                session.dispatch.sent(entry.ordinal, action_id.clone());
                self.tell(|| format!("the control plane sends {action_id} to agent {agent}"));
                let (expires_at_ms, cancel) = (entry.expires_at_ms, entry.cancel_asked);
                let taken_in = matches!(entry.status, ActionStatus::Delivered | ActionStatus::Running);
                let action = Box::new(entry.action);
                self.order(agent, ToAgent::Deliver { action, expires_at_ms, cancel, taken_in });
            }
        }
        let (Some(run), Some(session)) = (self.control.run, self.control.sessions.get(&agent)) else {
            return;
        };
        if let Some(wake_ms) = session.dispatch.next_wake_ms() {
            let wait_ms = wake_ms.saturating_sub(self.control.now_ms(self.at_us));
            self.after(wait_ms.max(1) * 1_000, Event::SessionWakes { run, agent });
        }
    }
}
