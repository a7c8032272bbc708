//! Records into state, and state into the records that give it back.

use std::collections::HashSet;

use nkudo_domain::{ActionId, Execution, ExecutionStatus, Outcome};

use crate::actions::{Phase, Tracked};
use crate::outbox::Outbox;
use crate::record::{Record, VmChange};
use crate::tracker::Tracker;

impl Tracker {
    /// Takes over one record.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Accepted { action, admitted, foreign } => {
                let action_id = action.action_id.clone();
                self.enqueue(*action, admitted);
                if let Some(tracked) = self.actions.get_mut(&action_id) {
                    tracked.foreign = foreign;
                }
            }
            Record::Started { execution, vm } => {
                if let Some(tracked) = self.actions.get_mut(&execution.action_id) {
                    tracked.phase = Phase::Running { interrupted: None };
                    tracked.execution = Some(*execution);
                    tracked.has_started = true;
                }
                self.apply_vm(vm);
            }
            Record::Ended { action_id, outcome, at_ms, execution, rolled, seq, vm } => {
                if let Some(tracked) = self.actions.get_mut(&action_id) {
                    let seq = self.outbox.replayed(seq);
                    tracked.phase = Phase::Ended { outcome, at_ms };
                    tracked.execution = execution.as_deref().cloned();
                    tracked.result_seq = Some(seq);
                    let lane = tracked.action.request.lane();
                    self.ended.push_back(action_id.clone());
                    self.keep_output(&action_id);
                    self.leave_lane(lane, &action_id);
                    self.forget_restarts(self.config.results_max);
                }
                if let Some(execution) = execution.filter(|_| !rolled) {
                    self.history.add(*execution, self.config.history_max);
                }
                self.apply_vm(vm);
            }
            Record::Outbox { id, last, acknowledged, reporter } => {
                if let Some(reporter) = reporter.filter(|new| self.outbox.reporter != Some(*new)) {
                    self.change_reporter(reporter);
                }
                let (last, reporter) = (self.outbox.last.max(last), self.outbox.reporter);
                self.outbox = Outbox { id, last, acknowledged, reporter };
            }
            Record::Acknowledged { seq } => {
                self.outbox.acknowledged = self.outbox.acknowledged.max(seq);
            }
            Record::Vm(change) => self.apply_vm(Some(change)),
            Record::Aggregates(aggregates) => self.history.rolled = aggregates.into_iter().collect(),
        }
    }

    fn apply_vm(&mut self, change: Option<VmChange>) {
        match change {
            Some(VmChange::Is(vm)) => {
                self.vms.insert(vm.spec.vm_id, *vm);
            }
            Some(VmChange::Gone { vm_id, .. }) => {
                self.vms.remove(&vm_id);
            }
            None => {}
        }
    }

    /// The records that give this state back, for a journal that starts over with them. Only while
    /// [`Tracker::can_start_over`] says so does that lose nothing.
    pub fn snapshot(&self) -> Vec<Record> {
        let rolled = self.history.rolled.iter().map(|(action_type, rolled)| (*action_type, rolled.clone()));
        let mut records = vec![self.outbox_record(), Record::Aggregates(rolled.collect())];
        let forgotten = |execution: &&Execution| !self.actions.contains_key(&execution.action_id);
        records.extend(self.history.executions.iter().filter(forgotten).map(ended_and_forgotten));
        let kept: HashSet<&ActionId> =
            self.history.executions.iter().map(|execution| &execution.action_id).collect();
        for tracked in self.ended.iter().filter_map(|action_id| self.actions.get(action_id)) {
            records.push(accepted(tracked));
            if let Phase::Ended { outcome, at_ms } = &tracked.phase {
                records.push(Record::Ended {
                    action_id: tracked.action.action_id.clone(),
                    outcome: outcome.clone(),
                    at_ms: *at_ms,
                    execution: tracked.execution.clone().map(Box::new),
                    rolled: !kept.contains(&tracked.action.action_id),
                    seq: tracked.result_seq.unwrap_or(0),
                    vm: None,
                });
            }
        }
        let mut live: Vec<&Tracked> = self.live().collect();
        live.sort_by_key(|tracked| tracked.ordinal);
        for tracked in live {
            records.push(accepted(tracked));
            if let Some(execution) = tracked.execution.clone() {
                records.push(Record::Started { execution: Box::new(execution), vm: None });
            }
        }
        records.extend(self.vms.values().map(|vm| Record::Vm(VmChange::Is(vm.durable()))));
        records
    }
}

fn accepted(tracked: &Tracked) -> Record {
    Record::Accepted {
        action: Box::new(tracked.action.clone()),
        admitted: tracked.admitted,
        foreign: tracked.foreign,
    }
}

/// An execution of the history whose action's result is no longer kept.
fn ended_and_forgotten(execution: &Execution) -> Record {
    let outcome = match execution.status {
        ExecutionStatus::Success | ExecutionStatus::Running => Outcome::Success { changed: true },
        ExecutionStatus::Failure => Outcome::Failure { error: execution.error.clone().unwrap_or_default() },
        ExecutionStatus::Cancelled => Outcome::Cancelled,
    };
    Record::Ended {
        action_id: execution.action_id.clone(),
        outcome,
        at_ms: execution.completed_at_ms.unwrap_or(execution.started_at_ms),
        execution: Some(Box::new(execution.clone())),
        rolled: false,
        seq: 0,
        vm: None,
    }
}
