//! The end of an action: what is so is taken over, the outcome written, then told, then the lane goes on.

use nkudo_domain::{ActionId, Deed, ExecutionStatus, Lane, Observation, Outcome, VmId};

use crate::actions::Phase;
use crate::config::Now;
use crate::decide::is_restart;
use crate::message::Effect;
use crate::record::{Record, VmChange};
use crate::tracker::{Gated, Tracker};

impl Tracker {
    /// Takes over what was found after the last deed and ends the action.
    pub(crate) fn settle(&mut self, action_id: &ActionId, outcome: Outcome, found: &Observation, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let (Some(vm_id), Some(deed)) = (tracked.action.request.vm_id(), tracked.deed) else { return };
        let gone = *found == Observation::Absent && matches!(deed, Deed::Create | Deed::Delete);
        let change = if gone {
            self.vms.remove(&vm_id).map(|vm| VmChange::Gone { vm_id, vm_name: vm.spec.vm_name.clone() })
        } else {
            self.settle_vm(action_id, vm_id, deed, &outcome, found, now);
            self.watch(vm_id);
            self.vm_change(vm_id)
        };
        self.conclude(action_id, outcome, change, now);
    }

    fn settle_vm(
        &mut self,
        action_id: &ActionId,
        vm_id: VmId,
        deed: Deed,
        outcome: &Outcome,
        found: &Observation,
        now: Now,
    ) {
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        let success = outcome.status() == ExecutionStatus::Success;
        match (deed, found) {
            (Deed::Create, _) if !success => vm.leave_remains(now),
            // It booted and has ended since: that is the end of a running VM.
            (Deed::Create | Deed::Boot | Deed::Resume, Observation::Stopped(Some(_))) if success => {
                vm.take(&Observation::Running, false, now);
                vm.take(found, false, now);
            }
            // A start that came to nothing leaves it stopped or failed, as it was.
            (Deed::Boot, Observation::Stopped(_)) => self.restart_again(action_id, outcome, now),
            _ => vm.take_after(deed, found, now),
        }
        if let Some(vm) = self.vms.get_mut(&vm_id)
            && success
        {
            vm.remains = false;
        }
    }

    /// A restart by policy that failed is wanted still; one that was cancelled is not.
    fn restart_again(&mut self, action_id: &ActionId, outcome: &Outcome, now: Now) {
        let Some(tracked) = self.actions.get(action_id).filter(|_| is_restart(action_id)) else { return };
        let vm = tracked.action.request.vm_id().and_then(|vm_id| self.vms.get_mut(&vm_id));
        let Some(vm) = vm else { return };
        match outcome {
            Outcome::Failure { .. } if !vm.is_alive() => vm.want_restart(now),
            Outcome::Cancelled => {
                vm.drop_restart();
            }
            Outcome::Failure { .. } | Outcome::Success { .. } | Outcome::Expired => {}
        }
    }

    /// Ends an action that never began.
    pub(crate) fn conclude_unstarted(&mut self, action_id: &ActionId, outcome: Outcome, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let vm_id = tracked.action.request.vm_id();
        self.restart_again(action_id, &outcome, now);
        let vm = vm_id.filter(|_| is_restart(action_id)).and_then(|vm_id| self.vm_change(vm_id));
        self.conclude(action_id, outcome, vm, now);
    }

    /// The time by which an action was to begin has passed.
    pub(crate) fn expire(&mut self, action_id: &ActionId, now: Now) {
        let expires = self.actions.get(action_id).is_some_and(|tracked| tracked.start_by().1);
        let late = || Outcome::Failure { error: "timed out before it started".to_owned() };
        let outcome = if expires { Outcome::Expired } else { late() };
        self.conclude_unstarted(action_id, outcome, now);
    }

    /// Writes the outcome of an action.
    pub(crate) fn conclude(
        &mut self,
        action_id: &ActionId,
        outcome: Outcome,
        vm: Option<VmChange>,
        now: Now,
    ) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let at_ms = now.wall_ms;
        let mut execution = tracked.execution.clone().map(Box::new);
        if let Some(execution) = &mut tracked.execution {
            // Nobody sees what a command wrote before its end is durable.
            execution.output = None;
        }
        if let Some(execution) = &mut execution {
            execution.completed_at_ms = Some(at_ms);
            execution.duration_ms = Some(now.monotonic_ms.saturating_sub(tracked.started_monotonic_ms));
            execution.status = outcome.status();
            execution.error = outcome.error().map(str::to_owned);
        }
        let seq = self.outbox.next();
        tracked.result_seq = Some(seq);
        tracked.phase = Phase::Concluding { outcome: outcome.clone(), at_ms, execution: execution.clone() };
        let told = match &vm {
            None => None,
            Some(VmChange::Is(vm)) => Some(Effect::VmChanged { vm_id: vm.spec.vm_id }),
            Some(VmChange::Gone { vm_id, vm_name }) => {
                Some(Effect::VmGone { vm_id: *vm_id, vm_name: vm_name.clone() })
            }
        };
        self.write(Record::Ended {
            action_id: action_id.clone(),
            outcome,
            at_ms,
            execution,
            rolled: false,
            seq,
            vm,
        });
        if let Some(effect) = told {
            self.after_written(Gated::Effect(effect));
        }
        self.after_written(Gated::Conclude(action_id.clone()));
    }

    /// The outcome is durable.
    pub(crate) fn concluded(&mut self, action_id: &ActionId) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Phase::Concluding { outcome, at_ms, execution } = tracked.phase.clone() else { return };
        tracked.phase = Phase::Ended { outcome: outcome.clone(), at_ms };
        tracked.execution = execution.as_deref().cloned();
        let action = Box::new(tracked.action.clone());
        if let Some(execution) = &tracked.execution {
            self.history.add(execution.clone(), self.config.history_max);
        }
        self.keep_output(action_id);
        self.forget_outputs();
        self.ended.push_back(action_id.clone());
        self.forget_restarts(self.config.results_max);
        self.leave_lane(action.request.lane(), action_id);
        self.effects.push(Effect::Ended { action, outcome, execution });
    }

    pub(crate) fn leave_lane(&mut self, of: Lane, action_id: &ActionId) {
        if let Some(lane) = self.lanes.get_mut(&of) {
            lane.retain(|other| other != action_id);
            if lane.is_empty() {
                self.lanes.remove(&of);
            }
        }
    }
}
