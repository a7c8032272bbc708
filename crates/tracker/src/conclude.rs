//! The end of an action: written, then told, then the lane goes on.

use nkudo_domain::{ActionId, Outcome, VmId};

use crate::actions::Phase;
use crate::config::Now;
use crate::message::Effect;
use crate::record::{Record, VmChange};
use crate::tracker::{Gated, Tracker};

impl Tracker {
    /// Writes the outcome of an action that began.
    pub(crate) fn conclude(
        &mut self,
        action_id: &ActionId,
        outcome: Outcome,
        vm: Option<VmChange>,
        now: Now,
    ) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let started_ms = tracked.started_monotonic_ms;
        if let Some(execution) = &mut tracked.execution {
            execution.completed_at_ms = Some(now.wall_ms);
            execution.duration_ms = Some(now.monotonic_ms.saturating_sub(started_ms));
            execution.status = outcome.status();
            execution.error = outcome.error().map(str::to_owned);
        }
        tracked.phase = Phase::Concluding { outcome: outcome.clone() };
        let vm_id = tracked.action.request.vm_id();
        let execution = tracked.execution.clone().map(Box::new);
        let told = match &vm {
            None => None,
            Some(VmChange::Is(_)) => Some(Effect::VmChanged { vm_id }),
            Some(VmChange::Gone { vm_id, vm_name }) => {
                Some(Effect::VmGone { vm_id: *vm_id, vm_name: vm_name.clone() })
            }
        };
        self.write(Record::Ended {
            action_id: action_id.clone(),
            outcome,
            at_ms: now.wall_ms,
            execution,
            vm,
        });
        if let Some(effect) = told {
            self.after_written(Gated::Effect(effect));
        }
        self.after_written(Gated::Conclude(action_id.clone()));
    }

    /// Ends an action that never began.
    pub(crate) fn conclude_unstarted(&mut self, action_id: &ActionId, outcome: Outcome, now: Now) {
        self.conclude(action_id, outcome, None, now);
    }

    /// The outcome is durable.
    pub(crate) fn concluded(&mut self, action_id: &ActionId, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Phase::Concluding { outcome } = &tracked.phase else { return };
        let outcome = outcome.clone();
        tracked.phase = Phase::Ended { outcome: outcome.clone(), at_ms: now.wall_ms };
        let action = Box::new(tracked.action.clone());
        let execution = tracked.execution.clone();
        let vm_id = action.request.vm_id();
        if let Some(execution) = &execution {
            self.history.add(execution.clone(), self.config.history_max);
        }
        self.ended.push_back(action_id.clone());
        self.leave_lane(vm_id, action_id);
        self.effects.push(Effect::Ended { action, outcome, execution: execution.map(Box::new) });
    }

    pub(crate) fn leave_lane(&mut self, vm_id: VmId, action_id: &ActionId) {
        if let Some(lane) = self.lanes.get_mut(&vm_id) {
            lane.retain(|other| other != action_id);
            if lane.is_empty() {
                self.lanes.remove(&vm_id);
            }
        }
    }
}
