//! The agent's end of its link: dialling, deliveries in, results out.

use nkudo_domain::{ActionId, VmId, VmState};
use nkudo_fleet::{Telling, TheirTime};
use nkudo_tracker::{Admission, Input, Known, Now, Phase, Tracked};

use crate::books::ToldResult;
use crate::bug::Bug;
use crate::network::{Answer, FromAgent, ToAgent};
use crate::world::{Event, World};

/// How often an agent sends a heartbeat.
pub(crate) const HEARTBEAT_MS: u64 = 15_000;
/// How long the control plane may take to say hello, or to answer a heartbeat.
const DEADLINE_US: u64 = 10_000_000;

/// How far a link is.
#[derive(Debug)]
pub(crate) enum Link {
    Down,
    /// The agent has said hello.
    Hello {
        stream: usize,
        asked: Now,
    },
    Open {
        stream: usize,
        telling: Telling,
        sent: u64,
        theirs: TheirTime,
    },
}

/// What comes with a delivered action.
#[derive(Debug, Clone, Copy)]
struct Terms {
    expires_at_ms: i64,
    cancel: bool,
    taken_in: bool,
}

impl Link {
    pub(crate) fn stream(&self) -> Option<usize> {
        match self {
            Self::Down => None,
            Self::Hello { stream, .. } | Self::Open { stream, .. } => Some(*stream),
        }
    }
}

impl World<'_> {
    pub(crate) fn dial(&mut self, agent: usize) {
        let at_us = self.at_us;
        let blocked = self.network.blocked_until_us(agent) > at_us;
        let asked = self.edges.get(agent).map(|edge| edge.clocks.now(at_us)).unwrap_or_default();
        let control_runs = self.control.run.is_some();
        let Some(run) = self.running(agent) else { return };
        if run.link.stream().is_some() {
            return;
        }
        if blocked || !control_runs {
            return self.dial_again(agent, if blocked { DEADLINE_US } else { 1_000 });
        }
        let (number, outbox_id) = (run.number, run.tracker.outbox().id.clone());
        let stream = self.network.open(agent, number, self.control.run.unwrap_or(0));
        if let Some(run) = self.running(agent) {
            run.link = Link::Hello { stream, asked };
        }
        self.say(agent, FromAgent::Hello { outbox_id });
        self.after(DEADLINE_US, Event::HelloDeadline { agent, run: number, stream });
    }

    fn dial_again(&mut self, agent: usize, after_us: u64) {
        let random = self.chance("dial").next();
        let Some(run) = self.running(agent) else { return };
        let wait_us = run.backoff.failed(random) * 1_000;
        let run = run.number;
        self.after(after_us + wait_us, Event::Dial { agent, run });
    }

    pub(crate) fn hello_deadline(&mut self, agent: usize, stream: usize) {
        let waits = self.running(agent).is_some_and(|run| matches!(run.link, Link::Hello { .. }));
        if waits {
            self.link_lost(agent, stream);
        }
    }

    /// The agent learns that its stream is over, or gives it up.
    pub(crate) fn link_lost(&mut self, agent: usize, stream: usize) {
        let bug = self.bug;
        let Some(run) = self.running(agent).filter(|run| run.link.stream() == Some(stream)) else { return };
        let was = std::mem::replace(&mut run.link, Link::Down);
        let mut lost = None;
        if let Link::Open { sent, .. } = was {
            run.backoff.succeeded();
            lost = Some(sent);
        }
        self.tell(|| format!("agent {agent} loses its link"));
        self.link_closed_by_agent(stream, false);
        if let Some(seq) = lost.filter(|_| bug == Some(Bug::CountsSentAsAcknowledged)) {
            self.step(agent, Input::Acknowledged { seq });
        }
        self.dial_again(agent, 0);
    }

    /// The agent's end is closed; the other learns of it behind what was said, unless nothing passes any more.
    pub(crate) fn link_closed_by_agent(&mut self, stream: usize, silently: bool) {
        let at_us = self.at_us;
        let notice_us = self.chance("notice of close").between(1_000, 50_000);
        let silent_us = self.chance("keep-alive").between(5_000_000, 30_000_000);
        let Some(closed) = self.network.stream(stream) else { return };
        let run = closed.control_run;
        let wait_us = if silently || closed.broken {
            closed.broken = true;
            silent_us
        } else {
            closed.up_us.saturating_sub(at_us) + notice_us
        };
        self.after(wait_us, Event::SessionLost { run, stream });
    }

    /// Says something on the link there is.
    pub(crate) fn say(&mut self, agent: usize, message: FromAgent) {
        let at_us = self.at_us;
        let Some(stream) = self.running(agent).and_then(|run| run.link.stream()) else { return };
        let delay_us = self.chance("network").between(200, 40_000);
        let open_us = self.network.blocked_until_us(agent).max(at_us);
        let Some(on) = self.network.stream(stream) else { return };
        on.up_us = on.up_us.max(open_us + delay_us);
        let (run, wait_us) = (on.control_run, on.up_us - at_us);
        self.after(wait_us, Event::ToControl { run, stream, message });
    }

    pub(crate) fn control_says(&mut self, agent: usize, stream: usize, message: ToAgent) {
        let is_open = self.running(agent).is_some_and(|run| run.link.stream() == Some(stream));
        if !is_open || self.network.is_broken(stream) {
            return;
        }
        match message {
            ToAgent::Hello { wall_ms } => self.linked(agent, stream, wall_ms),
            ToAgent::Deliver { action, expires_at_ms, cancel, taken_in } => {
                let taken_in = taken_in && self.bug != Some(Bug::TakesInWhatItLost);
                self.delivered(agent, stream, *action, Terms { expires_at_ms, cancel, taken_in });
            }
            ToAgent::Cancel { action_id } => {
                let known = self.running(agent).and_then(|run| run.tracker.action(&action_id));
                if known.is_some_and(|tracked| !tracked.foreign) {
                    self.tell(|| format!("agent {agent} is to cancel {action_id}"));
                    self.step(agent, Input::Cancel { ticket: 0, action_id });
                }
            }
            ToAgent::Acknowledge { seq } => {
                let Some(run) = self.running(agent) else { return };
                let Link::Open { telling, .. } = &mut run.link else { return };
                if telling.is_ahead(seq) && seq > run.tracker.outbox().last {
                    self.tell(|| format!("agent {agent} hears of a result that it does not know"));
                    self.step(agent, Input::Acknowledged { seq });
                    return self.link_lost(agent, stream);
                }
                if let Some(seq) = telling.acknowledged(seq) {
                    self.step(agent, Input::Acknowledged { seq });
                }
            }
        }
    }

    fn linked(&mut self, agent: usize, stream: usize, theirs_ms: i64) {
        let at_us = self.at_us;
        let now = self.edges.get(agent).map(|edge| edge.clocks.now(at_us)).unwrap_or_default();
        let Some(run) = self.running(agent) else { return };
        let Link::Hello { asked, .. } = run.link else { return };
        let round_trip_ms = now.monotonic_ms - asked.monotonic_ms;
        let theirs = TheirTime::measure(asked.boottime_ms, round_trip_ms, theirs_ms);
        let acknowledged = run.tracker.outbox().acknowledged;
        run.link = Link::Open { stream, telling: Telling::after(acknowledged), sent: acknowledged, theirs };
        let vms = run.tracker.vms().map(|(vm_id, vm)| (vm_id, vm.state)).collect();
        let started: Vec<ActionId> = run
            .tracker
            .actions()
            .filter(|tracked| !tracked.foreign && !tracked.has_ended() && tracked.execution.is_some())
            .map(|tracked| tracked.action.action_id.clone())
            .collect();
        let number = run.number;
        self.tell(|| format!("agent {agent} is linked"));
        self.say(agent, FromAgent::Vms(vms));
        started.into_iter().for_each(|action_id| self.say(agent, FromAgent::Started { action_id }));
        self.tell_results(agent);
        let wait_us = self.chance("heartbeat").below(HEARTBEAT_MS) * 1_000;
        self.after(wait_us, Event::Heartbeat { agent, run: number, stream });
    }

    fn delivered(&mut self, agent: usize, stream: usize, action: nkudo_domain::Action, terms: Terms) {
        let Terms { expires_at_ms, cancel, taken_in } = terms;
        let (at_us, bug) = (self.at_us, self.bug);
        let now = self.edges.get(agent).map(|edge| edge.clocks.now(at_us)).unwrap_or_default();
        let Some(run) = self.running(agent) else { return };
        let Link::Open { theirs, .. } = &run.link else { return };
        let theirs_ms =
            if bug == Some(Bug::ExpiresByOwnClock) { now.wall_ms } else { theirs.at(now.boottime_ms) };
        let action_id = action.action_id.clone();
        if cancel || taken_in || theirs_ms >= expires_at_ms {
            // What this host has begun it goes on with, and tells its result; only what is new is not begun.
            let answer = match run.tracker.knows(&action) {
                Known::No if taken_in => Some(Answer::Refused),
                Known::No if cancel => Some(Answer::Cancelled),
                Known::No => Some(Answer::Expired),
                Known::AsAnother => Some(Answer::Refused),
                Known::Same if cancel => {
                    self.step(agent, Input::Cancel { ticket: 0, action_id: action_id.clone() });
                    Some(Answer::Accepted)
                }
                Known::Same => None,
            };
            if let Some(answer) = answer {
                self.tell(|| format!("agent {agent} says of {action_id}: {answer:?}"));
                return self.say(agent, FromAgent::Received { action_id, answer });
            }
        }
        let mut action = action;
        let left_ms = expires_at_ms.saturating_sub(theirs_ms).max(0).unsigned_abs();
        action.start_within =
            (bug != Some(Bug::ForgetsExpiry)).then_some(std::time::Duration::from_millis(left_ms));
        let Some(run) = self.running(agent) else { return };
        let is_new = run.tracker.knows(&action) == Known::No;
        run.last_ticket += 1;
        let ticket = run.last_ticket;
        run.asked_by.insert(ticket, (action_id, stream));
        if is_new {
            self.judge.expires_at(
                agent,
                &action.action_id,
                at_us.saturating_add(left_ms.saturating_mul(1_000)),
            );
        }
        self.step(agent, Input::Submit { ticket, action: Box::new(action) });
    }

    pub(crate) fn admitted(&mut self, agent: usize, ticket: u64, admission: Admission) {
        let bug = self.bug;
        let Some(run) = self.running(agent) else { return };
        let Some((action_id, stream)) = run.asked_by.remove(&ticket) else { return };
        let durable = run.is_durable(run.written.accepted.get(&action_id));
        let is_here = run.link.stream() == Some(stream);
        let answer = match admission {
            Admission::New | Admission::Repeated => Answer::Accepted,
            Admission::Conflict
            | Admission::AuditFull
            | Admission::AuditBroken
            | Admission::RecordLost
            | Admission::CommandsFull
            | Admission::OutputsFull => Answer::Refused,
            _ if bug == Some(Bug::RefusesWhenBusy) => Answer::Refused,
            Admission::QueueFull | Admission::ResultsFull | Admission::DiskFull | Admission::Stopping => {
                Answer::Busy
            }
        };
        if matches!(admission, Admission::CommandsFull | Admission::OutputsFull) {
            self.judge.refuses(agent, &action_id);
        }
        if answer == Answer::Accepted {
            self.judge.admitted(agent, &action_id, durable);
        }
        self.tell(|| format!("agent {agent} has {action_id}: {admission:?}"));
        if is_here {
            self.say(agent, FromAgent::Received { action_id, answer });
        }
    }

    /// Sends the results that are due, within the window.
    pub(crate) fn tell_results(&mut self, agent: usize) {
        let Some(run) = self.running(agent) else { return };
        let Link::Open { telling, sent, .. } = &mut run.link else { return };
        let mut results = Vec::new();
        while let Some((after, count)) = telling.next() {
            let found: Vec<ToldResult> = run
                .tracker
                .results_after(after)
                .filter_map(|(seq, tracked)| result(seq, tracked))
                .take(count)
                .collect();
            let Some(last) = found.last() else { break };
            *sent = last.seq;
            telling.sent(last.seq);
            results.extend(found);
        }
        results.into_iter().for_each(|result| self.say(agent, FromAgent::Result(Box::new(result))));
    }

    pub(crate) fn heartbeat(&mut self, agent: usize, stream: usize) {
        let at_us = self.at_us;
        let blocked = self.network.blocked_until_us(agent) > at_us;
        let theirs_ms = self.control.clocks.now(at_us).wall_ms;
        let now = self.edges.get(agent).map(|edge| edge.clocks.now(at_us)).unwrap_or_default();
        let control_runs = self.control.run.is_some();
        let Some(run) = self.running(agent) else { return };
        let Link::Open { stream: open, theirs, .. } = &mut run.link else { return };
        if *open != stream {
            return;
        }
        let number = run.number;
        if blocked || !control_runs {
            return self.after(DEADLINE_US, Event::LinkLost { agent, run: number, stream });
        }
        *theirs = TheirTime::measure(now.boottime_ms, 0, theirs_ms);
        self.control.heard(agent, at_us);
        self.after(HEARTBEAT_MS * 1_000, Event::Heartbeat { agent, run: number, stream });
    }
}

fn result(seq: u64, tracked: &Tracked) -> Option<ToldResult> {
    let Phase::Ended { outcome, .. } = &tracked.phase else { return None };
    Some(ToldResult { seq, action: tracked.action.clone(), status: outcome.end().into() })
}

/// How a host's VMs are in the eyes of its agent.
pub(crate) type Standing = std::collections::BTreeMap<VmId, VmState>;
