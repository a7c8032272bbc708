//! One input into a tracker, and what it decides, done in its order.

use std::time::Duration;

use nkudo_domain::{Action, ActionId, Execution, Outcome};
use nkudo_journal::SimulatedDisk;
use nkudo_tracker::{Effect, Input, Lost, Phase, Record, Seq, Tracker};

use crate::bug::Bug;
use crate::commands::command_of;
use crate::judge::{CommandEndState, EndState};
use crate::network::FromAgent;
use crate::plan::Part;
use crate::world::{Event, World};

/// The journal starts over once it has grown past this, in bytes: early, so that it often does.
const COMPACT_ABOVE_BYTES: u64 = 12 << 10;
/// Longest sleep of the one timer.
const WAKE_MAX_MS: u64 = 30_000;

impl World<'_> {
    pub(crate) fn step(&mut self, agent: usize, input: Input) {
        let (at_us, bug) = (self.at_us, self.bug);
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let now = edge.now(at_us, bug);
        let Some(run) = edge.run.as_mut() else { return };
        let number = run.number;
        for effect in run.tracker.step(input, now) {
            if self.is_killed_now(agent) {
                return;
            }
            self.perform(agent, effect);
            if self.edges.get(agent).and_then(super::edge::Edge::run_number) != Some(number) {
                return;
            }
        }
        self.compact_if_large(agent);
        self.set_timer(agent);
        self.tell_results(agent);
    }

    /// Counts an effect; true when the agent is killed before it.
    fn is_killed_now(&mut self, agent: usize) -> bool {
        let Some(edge) = self.edges.get_mut(agent) else { return true };
        match edge.killed_after {
            Some((0, part)) => {
                let with_power = std::mem::take(&mut edge.dies_with_power);
                self.edge_dies(agent, part, with_power);
                true
            }
            Some((left, part)) => {
                edge.killed_after = Some((left - 1, part));
                false
            }
            None => false,
        }
    }

    fn perform(&mut self, agent: usize, effect: Effect) {
        match effect {
            Effect::Persist { seq, record } => self.persist(agent, seq, &record),
            Effect::Admitted { ticket, admission } => self.admitted(agent, ticket, admission),
            Effect::Cancelling { .. } | Effect::ReporterChanged { .. } => {}
            Effect::Perform { action_id, attempt, work } => self.deed_begins(agent, action_id, attempt, work),
            Effect::Execute { action_id, command } => self.command_begins(agent, &action_id, &command),
            Effect::Interrupt { action_id } => self.interrupt(agent, &action_id),
            Effect::Watch { vm_id, incarnation, .. } => self.watch(agent, vm_id, incarnation),
            Effect::Observe { vm_id, .. } => self.look(agent, vm_id),
            Effect::Started { execution } => {
                let action_id = execution.action_id.clone();
                self.say(agent, FromAgent::Started { action_id });
            }
            Effect::Ended { action, outcome, execution } => {
                self.ended(agent, &action, &outcome, execution.as_deref());
            }
            Effect::VmChanged { vm_id } => {
                let Some(run) = self.running(agent) else { return };
                let state = run.tracker.vm(vm_id).map(|vm| vm.state);
                self.say(agent, FromAgent::VmChanged(vm_id, state));
            }
            Effect::VmGone { vm_id, .. } => self.say(agent, FromAgent::VmChanged(vm_id, None)),
            Effect::Adopted { vm_id } => self.tell(|| format!("agent {agent} adopts {vm_id}")),
        }
    }

    fn persist(&mut self, agent: usize, seq: Seq, record: &Record) {
        let (bug, at_us) = (self.bug, self.at_us);
        let Some(run) = self.running(agent) else { return };
        let bytes = serde_json::to_vec(record).expect("records are plain data");
        run.journal_bytes += bytes.len() as u64;
        let appended = run.journal.append(&bytes);
        let seq_on_disk = match &appended {
            Ok(_) => seq,
            // What was not written is never durable.
            Err(_) if bug == Some(Bug::IgnoresFailedAppend) => Seq::MAX,
            Err(error) => {
                let why = format!("a record cannot be written: {error}");
                return self.edge_gives_up(agent, &why);
            }
        };
        run.appended = seq;
        run.written.last_is_end = matches!(record, Record::Ended { .. });
        match record {
            Record::Accepted { action, .. } => {
                run.written.accepted.insert(action.action_id.clone(), seq_on_disk);
                self.judge.clock_begins(agent, &action.action_id, at_us);
                self.judge.restart_admitted(agent, &action.action_id);
            }
            Record::Started { execution, .. } => {
                run.written.started.insert(execution.action_id.clone(), seq_on_disk);
                let tracked = run.tracker.action(&execution.action_id);
                let command = tracked.and_then(|tracked| command_of(&tracked.action.request)).cloned();
                self.judge.turn_has_come(agent, &execution.action_id, at_us);
                if let Some(command) = command.filter(|_| bug == Some(Bug::RunsCommandsBeforeIntent)) {
                    self.command_begins(agent, &execution.action_id, &command);
                }
            }
            Record::Ended { action_id, .. } => {
                run.written.ended.insert(action_id.clone(), seq_on_disk);
            }
            Record::Vm(_) | Record::Outbox { .. } | Record::Acknowledged { .. } | Record::Aggregates(_) => {}
        }
        self.sync_soon(agent);
    }

    fn sync_soon(&mut self, agent: usize) {
        let Some(run) = self.running(agent) else { return };
        if !std::mem::replace(&mut run.sync_due, true) {
            let run = run.number;
            let wait_us = self.chance("sync").between(100, 4_000);
            self.after(wait_us, Event::Sync { agent, run });
        }
    }

    /// Makes everything durable that was written.
    pub(crate) fn sync(&mut self, agent: usize) {
        let bug = self.bug;
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let Some(run) = edge.run.as_mut() else { return };
        run.sync_due = false;
        run.syncs += 1;
        let pretends = match bug {
            Some(Bug::AcknowledgesBeforeSync) => run.syncs % 4 != 0,
            Some(Bug::ReleasesLaneBeforeSync) => run.written.last_is_end && run.syncs % 2 != 0,
            _ => false,
        };
        let appended = run.appended;
        if pretends {
            self.step(agent, Input::Persisted(appended));
            return self.sync_soon(agent);
        }
        match run.journal.sync() {
            Ok(_) => {
                run.durable = appended;
                // A failure of that is told at the next start.
                if run.loss_noted_at.is_some_and(|seq| seq <= appended)
                    && run.journal.loss_is_on_record().is_ok()
                {
                    edge.judged = Lost::Nothing;
                }
                self.step(agent, Input::Persisted(appended));
            }
            Err(error) => {
                if bug == Some(Bug::IgnoresFailedSync) {
                    self.step(agent, Input::Persisted(appended));
                }
                self.edge_gives_up(agent, &format!("the journal cannot be synced: {error}"));
            }
        }
    }

    fn compact_if_large(&mut self, agent: usize) {
        let bug = self.bug;
        let Some(run) = self.running(agent) else { return };
        if run.journal_bytes < COMPACT_ABOVE_BYTES || !run.tracker.can_start_over() {
            return;
        }
        let mut records = run.tracker.snapshot();
        if bug == Some(Bug::ForgetsResultsAtCompaction) {
            records.retain(|record| !is_of_an_end(&run.tracker, record));
        }
        let encode = |record: &Record| serde_json::to_vec(record).expect("records are plain data");
        let records: Vec<Vec<u8>> = records.iter().map(encode).collect();
        let kept: u64 = records.iter().map(|record| record.len() as u64).sum();
        run.journal_bytes = kept.min(COMPACT_ABOVE_BYTES / 2);
        let count = records.len();
        // The journal is as it was when this fails; an append that fails as well tells.
        let compacted = run.journal.compact(records);
        self.tell(|| match compacted {
            Ok(_) => format!("agent {agent}: the journal starts over with {count} records"),
            Err(error) => format!("agent {agent}: the journal could not start over: {error}"),
        });
    }

    fn set_timer(&mut self, agent: usize) {
        let (at_us, bug) = (self.at_us, self.bug);
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let now_ms = edge.now(at_us, bug).boottime_ms;
        let Some(run) = edge.run.as_mut() else { return };
        let Some(wake_ms) = run.tracker.next_wake() else { return };
        let wait_us = wake_ms.saturating_sub(now_ms).clamp(1, WAKE_MAX_MS) * 1_000;
        let due_us = at_us + wait_us;
        // One that is set already for then or before wakes it, and sets the next.
        if run.tick_at_us.is_none_or(|at| at <= at_us || at > due_us) {
            run.tick_at_us = Some(due_us);
            let run = run.number;
            self.after(wait_us, Event::Tick { agent, run });
        }
    }

    pub(crate) fn tick(&mut self, agent: usize) {
        self.step(agent, Input::Tick);
    }

    fn ended(&mut self, agent: usize, action: &Action, outcome: &Outcome, execution: Option<&Execution>) {
        let at_us = self.at_us;
        let action_id = &action.action_id;
        let Some(run) = self.running(agent) else { return };
        let end = EndState {
            status: outcome.end(),
            durable: run.is_durable(run.written.ended.get(action_id)),
            timed_out: outcome.error().is_some_and(|error| error.contains("timed out")),
            timeout_ms: millis(action.timeout),
            own_timeout_ms: command_of(&action.request).map(|command| millis(command.timeout)),
            at_us,
        };
        self.judge.ended(agent, action_id, end);
        if command_of(&action.request).is_some() {
            let ran = self.edges.get(agent).map(|edge| edge.host.command(action_id)).unwrap_or_default();
            self.judge.command_ended(agent, action_id, CommandEndState::of(outcome, execution), ran);
        }
        self.tell(|| format!("agent {agent}: {action_id} ended: {outcome:?}"));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a record of a snapshot says that an action has ended, or that it was taken in.
fn is_of_an_end(tracker: &Tracker, record: &Record) -> bool {
    let has_ended = |action_id: &ActionId| {
        tracker.action(action_id).is_none_or(|tracked| matches!(tracked.phase, Phase::Ended { .. }))
    };
    match record {
        Record::Accepted { action, .. } => has_ended(&action.action_id),
        Record::Ended { .. } => true,
        Record::Started { .. }
        | Record::Vm(_)
        | Record::Outbox { .. }
        | Record::Acknowledged { .. }
        | Record::Aggregates(_) => false,
    }
}

/// Lets so many operations of a disk fail, after so many that do not.
pub(crate) fn disk_fails(disk: &SimulatedDisk, after: u64, operations: u64) {
    let first = disk.operations() + after;
    disk.fail(first..first + operations);
}

/// How much of an interrupted deed is done.
pub(crate) const PARTS: [Part; 3] = [Part::Nothing, Part::Half, Part::Whole];
