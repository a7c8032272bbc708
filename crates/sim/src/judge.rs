//! What must be so, and who remembers what was told and done.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nkudo_domain::{ActionId, ActionStatus, Deed, EndStatus, Execution, Outcome};
use nkudo_tracker::{Record, Work};

use crate::host::CommandRun;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Broken {
    /// Which: the same for each way in which it can be broken.
    pub invariant: &'static str,
    pub what: String,
}

/// An action on a host.
type OnHost = (usize, ActionId);

/// What was told and done, over all restarts.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) broken: Option<Broken>,
    /// Who was asked to run what, as the operator said it.
    asked: BTreeMap<ActionId, usize>,
    /// What the operator was told is taken in.
    accepted: BTreeSet<ActionId>,
    /// What was told of the end of an action, by its host.
    ended: BTreeMap<OnHost, EndStatus>,
    /// Commands for which their host had no room.
    refused: BTreeSet<OnHost>,
    /// Whose admission was told to somebody.
    admitted: BTreeSet<OnHost>,
    /// Deeds that a provider ended with a permanent error since the program started.
    permanent: HashSet<(OnHost, Deed)>,
    /// Actions that did something.
    began: BTreeSet<OnHost>,
    /// When a command began last, in the world's microseconds.
    commands_began: BTreeMap<OnHost, u64>,
    /// When an action's time began to run, in the world's microseconds; none once its host has booted anew.
    clock_began: BTreeMap<OnHost, Option<u64>>,
    /// When an action is not to be begun any more, likewise.
    expires: BTreeMap<OnHost, Option<u64>>,
    /// How an action ended in the books.
    booked: BTreeMap<ActionId, ActionStatus>,
    /// What the control plane has heard to be taken in.
    heard_of: BTreeSet<OnHost>,
    /// What a host has lost a record of to a rotten disk.
    lost: BTreeMap<OnHost, Lack>,
    /// Hosts that have lost records.
    lossy: BTreeSet<usize>,
}

impl Judge {
    pub(crate) fn breaks(&mut self, invariant: &'static str, what: String) {
        self.broken.get_or_insert(Broken { invariant, what });
    }

    pub(crate) fn asked(&mut self, agent: usize, action_id: &ActionId) {
        self.asked.insert(action_id.clone(), agent);
    }

    pub(crate) fn accepted(&mut self, action_id: &ActionId) {
        self.accepted.insert(action_id.clone());
    }

    pub(crate) fn all_accepted(&self) -> impl Iterator<Item = &ActionId> {
        self.accepted.iter()
    }

    pub(crate) fn how_many_ended(&self) -> usize {
        self.ended.len()
    }

    /// An action's time begins to run.
    pub(crate) fn clock_begins(&mut self, agent: usize, action_id: &ActionId, at_us: u64) {
        self.clock_began.entry((agent, action_id.clone())).or_insert(Some(at_us));
    }

    /// An action is asked of a host that does not know it, to be begun before so many microseconds of the world.
    pub(crate) fn expires_at(&mut self, agent: usize, action_id: &ActionId, expires_us: u64) {
        self.expires.insert((agent, action_id.clone()), Some(expires_us));
    }

    /// A host begins an action: its intent is written.
    pub(crate) fn turn_has_come(&mut self, agent: usize, action_id: &ActionId, at_us: u64) {
        let Some(Some(expires_us)) = self.expires.get(&(agent, action_id.clone())) else { return };
        // The host's clock counts whole milliseconds.
        if at_us > expires_us + 2_000 {
            let late_ms = (at_us - expires_us) / 1_000;
            let what = format!("the turn of {action_id} on agent {agent} comes {late_ms} ms too late");
            self.breaks("nothing begins when it has expired", what);
        }
    }

    pub(crate) fn admitted(&mut self, agent: usize, action_id: &ActionId, durable: bool) {
        if !durable {
            self.breaks("acknowledged is durable", format!("{action_id} was taken in by agent {agent}"));
        }
        self.admitted.insert((agent, action_id.clone()));
    }

    /// An agent has no room for another command.
    pub(crate) fn refuses(&mut self, agent: usize, action_id: &ActionId) {
        self.refused.insert((agent, action_id.clone()));
    }

    /// A host loses its programs; what they had in memory is gone.
    pub(crate) fn restarted(&mut self, agent: usize, rebooted: bool) {
        self.permanent.retain(|((of, _), _)| *of != agent);
        if rebooted {
            let on_host = self.clock_began.iter_mut().filter(|((of, _), _)| *of == agent);
            on_host.for_each(|(_, began)| *began = None);
            let on_host = self.expires.iter_mut().filter(|((of, _), _)| *of == agent);
            on_host.for_each(|(_, expires)| *expires = None);
        }
    }

    /// The control plane hears that an action was taken in.
    pub(crate) fn hears_of(&mut self, agent: usize, action_id: &ActionId) {
        self.heard_of.insert((agent, action_id.clone()));
    }

    /// A host starts with these records after its disk has rotted. `knows` says that it knows what that may have cost.
    pub(crate) fn loses(&mut self, agent: usize, records: &[Record], knows: bool) {
        self.lossy.insert(agent);
        let (mut accepted, mut started, mut ended) = (HashSet::new(), HashSet::new(), HashSet::new());
        for record in records {
            match record {
                Record::Accepted { action, .. } => drop(accepted.insert(&action.action_id)),
                Record::Started { execution, .. } => drop(started.insert(&execution.action_id)),
                Record::Ended { action_id, .. } => drop(ended.insert(action_id)),
                Record::Vm(_)
                | Record::Outbox { .. }
                | Record::Acknowledged { .. }
                | Record::Aggregates(_) => {}
            }
        }
        let of_it = |(of, _): &&OnHost| *of == agent;
        // Also what was not told before the agent was killed.
        let known = self.admitted.iter().chain(&self.began).chain(&self.heard_of);
        let known = known.chain(self.ended.keys()).chain(self.clock_began.keys());
        let gone: BTreeSet<OnHost> =
            known.filter(of_it).filter(|(_, id)| !accepted.contains(id)).cloned().collect();
        let ends = self.ended.keys().filter(of_it).filter(|(_, id)| !ended.contains(id));
        let ends: Vec<OnHost> = ends.cloned().collect();
        let is_unbegun =
            |id: &ActionId| accepted.contains(id) && !started.contains(id) && !ended.contains(id);
        let begun = self.commands_began.keys().filter(of_it).filter(|(_, id)| is_unbegun(id));
        let begun: Vec<OnHost> = begun.cloned().collect();
        for on_host in begun {
            // Commands are given up whatever was lost.
            self.lost.insert(on_host, Lack::End { known: true });
        }
        for on_host in gone {
            self.clock_began.remove(&on_host);
            let heard_of = self.heard_of.contains(&on_host);
            self.lost.insert(on_host, Lack::Admission { heard_of });
        }
        for on_host in ends {
            self.ended.remove(&on_host);
            if accepted.contains(&on_host.1) {
                let known = knows || self.commands_began.contains_key(&on_host);
                self.lost.insert(on_host, Lack::End { known });
            }
        }
    }

    /// Whether a host's records are not whole, so that it may hold a VM that was deleted.
    pub(crate) fn has_lost(&self, agent: usize) -> bool {
        self.lossy.contains(&agent)
    }

    /// A deed is about to be done.
    pub(crate) fn performs(&mut self, agent: usize, action_id: &ActionId, work: &Work, state: BeginState) {
        let deed = work.deed;
        self.begins(agent, action_id, &format!("{deed:?}"), state);
        if !state.taking_back && self.permanent.contains(&((agent, action_id.clone()), deed)) {
            self.breaks(
                "permanent errors are not retried",
                format!("{deed:?} of {action_id} on agent {agent}"),
            );
        }
    }

    /// A command runs, so many times by now.
    pub(crate) fn runs(&mut self, agent: usize, action_id: &ActionId, times: u32, state: BeginState) {
        let on_host = (agent, action_id.clone());
        if times > 1 && !self.may_run_again(&on_host) {
            let what = format!("{action_id} on agent {agent}, {times} times");
            self.breaks("a command runs at most once", what);
        }
        self.begins(agent, action_id, "the command", state);
        self.commands_began.insert(on_host, state.at_us);
    }

    /// Nobody can know of a run when all that was on record of it is lost.
    fn may_run_again(&self, on_host: &OnHost) -> bool {
        matches!(self.lost.get(on_host), Some(Lack::Admission { heard_of: false }))
    }

    /// The end of a command is told: what is said of its run is held against what there was of it.
    pub(crate) fn command_ended(
        &mut self,
        agent: usize,
        action_id: &ActionId,
        end: CommandEndState,
        ran: CommandRun,
    ) {
        if end.succeeded && !ran.wholly {
            let what = format!("{action_id} on agent {agent}, of which there was {ran:?}");
            self.breaks("what succeeded ran wholly", what);
        }
        if end.unrun && ran.times > 0 && !self.may_run_again(&(agent, action_id.clone())) {
            let what = format!("{action_id} on agent {agent}, of which there was {ran:?}");
            self.breaks("what is told as not run did not run", what);
        }
    }

    /// A restart by policy is taken in.
    pub(crate) fn restart_admitted(&mut self, agent: usize, action_id: &ActionId) {
        let is_restart = action_id.as_str().starts_with("restart:");
        if is_restart && self.began.contains(&(agent, action_id.clone())) {
            let what = format!("{action_id} on agent {agent}");
            self.breaks("no restart has the id of another", what);
        }
    }

    /// Something is about to be done for an action.
    fn begins(&mut self, agent: usize, action_id: &ActionId, deed: &str, state: BeginState) {
        let BeginState { intent_durable, taking_back, timeout_ms, at_us } = state;
        let on_host = (agent, action_id.clone());
        if !intent_durable {
            self.breaks("intent before deed", format!("{deed} of {action_id} on agent {agent}"));
        }
        if let Some(status) = self.ended.get(&on_host) {
            let what = format!("{deed} of {action_id} on agent {agent}, which ended as {status:?}");
            self.breaks("each action once", what);
        }
        let must_not = match self.lost.get(&on_host) {
            // The control plane says so when it asks again.
            Some(Lack::Admission { heard_of }) => *heard_of,
            Some(Lack::End { known }) => *known,
            None => false,
        };
        if must_not && !taking_back {
            let what = format!("{deed} of {action_id} on agent {agent}, which had lost the record of it");
            self.breaks("what was lost is not done again", what);
        }
        if self.asked.get(action_id).is_some_and(|asked| *asked != agent) {
            self.breaks("only who was asked", format!("{action_id} runs on agent {agent}"));
        }
        if !taking_back
            && let Some(Some(began_us)) = self.clock_began.get(&on_host)
            && at_us.saturating_sub(*began_us) > (timeout_ms + 100) * 1_000
        {
            let late_ms = at_us.saturating_sub(*began_us) / 1_000 - timeout_ms;
            let what = format!("{deed} of {action_id} on agent {agent} begins {late_ms} ms too late");
            self.breaks("nothing begins past its deadline", what);
        }
        self.began.insert(on_host);
    }

    pub(crate) fn failed_for_good(&mut self, agent: usize, action_id: &ActionId, deed: Deed) {
        self.permanent.insert(((agent, action_id.clone()), deed));
    }

    /// The end of an action is told.
    pub(crate) fn ended(&mut self, agent: usize, action_id: &ActionId, end: EndState) {
        let EndState { status, durable, timed_out, timeout_ms, own_timeout_ms, at_us } = end;
        let on_host = (agent, action_id.clone());
        if !durable {
            self.breaks("outcome before report", format!("{action_id} on agent {agent}"));
        }
        if let Some(before) = self.ended.insert(on_host.clone(), status)
            && before != status
        {
            let what = format!("{action_id} on agent {agent} ended as {before:?} and as {status:?}");
            self.breaks("an end is told once", what);
        }
        // That of a command counts from its start.
        let own_began_us = self.commands_began.get(&on_host);
        let own_due_us = own_timeout_ms.and_then(|own_ms| Some(own_began_us? + own_ms * 1_000));
        if timed_out
            && let Some(Some(began_us)) = self.clock_began.get(&on_host)
            && at_us + 100_000 < own_due_us.unwrap_or(u64::MAX).min(began_us + timeout_ms * 1_000)
        {
            let after_ms = at_us.saturating_sub(*began_us) / 1_000;
            let what = format!("{action_id} on agent {agent} timed out after {after_ms} of {timeout_ms} ms");
            self.breaks("deadlines are kept", what);
        }
    }

    /// An end that is read from a host's disk: it may have been killed before it told.
    pub(crate) fn reads_end(&mut self, agent: usize, action_id: &ActionId, status: EndStatus) {
        let before = *self.ended.entry((agent, action_id.clone())).or_insert(status);
        if before != status {
            let what =
                format!("{action_id} on agent {agent} ended as {before:?}, and its disk says {status:?}");
            self.breaks("an end is told once", what);
        }
    }

    /// An entry of the books after a change.
    pub(crate) fn books_say(&mut self, action_id: &ActionId, agent: usize, status: ActionStatus) {
        let terminal = match status {
            ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running => return,
            ActionStatus::Success
            | ActionStatus::Failure
            | ActionStatus::Cancelled
            | ActionStatus::Expired => status,
        };
        match self.booked.insert(action_id.clone(), terminal) {
            Some(before) if before != terminal => {
                let what = format!("{action_id} was {before} in the books and is {terminal}");
                self.breaks("what ended stays as it ended", what);
            }
            Some(_) | None => {}
        }
        let on_host = (agent, action_id.clone());
        let told = self.ended.get(&on_host).copied();
        let right = match terminal {
            _ if self.lost.contains_key(&on_host) => true,
            ActionStatus::Success => told == Some(EndStatus::Success),
            // No ask of a plan is one that an agent may refuse, but a command where too many wait.
            ActionStatus::Failure if told.is_none() => self.refused.contains(&on_host),
            ActionStatus::Failure => told == Some(EndStatus::Failure),
            ActionStatus::Cancelled => told.is_none_or(|told| told == EndStatus::Cancelled),
            ActionStatus::Expired => told.is_none_or(|told| told == EndStatus::Expired),
            ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running => true,
        };
        if !right {
            let what = format!("{action_id} is {terminal} in the books, and its host told {told:?}");
            self.breaks("the books say what the hosts did", what);
        }
    }

    /// At the end: what the books say was not run did nothing.
    pub(crate) fn unrun_did_nothing(&mut self, action_id: &ActionId, agent: usize, status: ActionStatus) {
        let on_host = (agent, action_id.clone());
        let on_its_own = matches!(status, ActionStatus::Cancelled | ActionStatus::Expired);
        let unrun = on_its_own || self.refused.contains(&on_host);
        let unrun = unrun && !self.lost.contains_key(&on_host);
        if unrun && self.began.contains(&on_host) && !self.ended.contains_key(&on_host) {
            let what = format!("{action_id} is {status} in the books and was begun by agent {agent}");
            self.breaks("the books say what the hosts did", what);
        }
    }
}

/// What of an action is not on record any more.
#[derive(Debug, Clone, Copy)]
enum Lack {
    /// Whether the control plane had heard of it by then.
    Admission { heard_of: bool },
    /// Whether its host knows that it may have ended: after a loss of power a damage looks like a write that was cut off.
    End { known: bool },
}

/// What is so when a deed or a command begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BeginState {
    pub(crate) intent_durable: bool,
    pub(crate) taking_back: bool,
    pub(crate) timeout_ms: u64,
    pub(crate) at_us: u64,
}

/// What is told of a command's run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandEndState {
    pub(crate) succeeded: bool,
    /// It was refused, cancelled or too late before it was started, or could not be started.
    pub(crate) unrun: bool,
}

impl CommandEndState {
    pub(crate) fn of(outcome: &Outcome, execution: Option<&Execution>) -> Self {
        let is_open = outcome.error().is_some_and(|error| error.starts_with("interrupted, outcome unknown"));
        let has_output = execution.is_some_and(|execution| execution.output.is_some());
        Self { succeeded: outcome.end() == EndStatus::Success, unrun: !has_output && !is_open }
    }
}

/// What is so when an end is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndState {
    pub(crate) status: EndStatus,
    pub(crate) durable: bool,
    pub(crate) timed_out: bool,
    pub(crate) timeout_ms: u64,
    /// Of a command.
    pub(crate) own_timeout_ms: Option<u64>,
    pub(crate) at_us: u64,
}
