//! Beginning an action: what it comes to is decided, its intent written, and its deed begun once that is durable.

use std::sync::Arc;

use nkudo_domain::{
    ActionId, ActionType, Deed, Execution, ExecutionStatus, Observation, Outcome, Request, ResourceUsage,
};

use crate::actions::{Phase, Tracked};
use crate::config::Now;
use crate::decide::Decision;
use crate::message::Effect;
use crate::record::{Record, VmChange};
use crate::tracker::{Gated, Tracker};
use crate::vms::Vm;

impl Tracker {
    /// Starts the execution of an action whose turn it is, if that is not too late.
    pub(crate) fn begin(&mut self, action_id: &ActionId, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        if tracked.start_by().0 <= now.boottime_ms {
            return self.expire(action_id, now);
        }
        let request = tracked.action.request.clone();
        let decision = self.decide(&request);
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        tracked.started_monotonic_ms = now.monotonic_ms;
        tracked.execution = Some(new_execution(tracked, now));
        match decision {
            Decision::End(outcome) => {
                let vm = self.leave_stopped(&request);
                self.conclude(action_id, outcome, vm, now);
            }
            Decision::Make(provider) => {
                if let Request::Create(create) = request {
                    let mut vm = Vm::new(Arc::new(create.spec), provider, now);
                    if let Some(before) = self.vms.get(&vm.spec.vm_id) {
                        (vm.incarnation, vm.remains) = (before.incarnation, before.remains);
                    }
                    self.vms.insert(vm.spec.vm_id, vm);
                }
                self.intend(action_id, Deed::Create);
            }
            Decision::Perform(deed) => self.intend(action_id, deed),
            Decision::Execute => self.intend_command(action_id),
        }
    }

    /// A stop of a VM that is stopped changes nothing but what its restart policy was about to do.
    fn leave_stopped(&mut self, request: &Request) -> Option<VmChange> {
        let vm_id = request.vm_id()?;
        let vm = self.vms.get_mut(&vm_id)?;
        let dropped = request.action_type() == ActionType::Stop && vm.drop_restart();
        if dropped { self.vm_change(vm_id) } else { None }
    }

    /// Writes the intent; the deed is done once that is durable.
    fn intend(&mut self, action_id: &ActionId, deed: Deed) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Some(vm_id) = tracked.action.request.vm_id() else { return };
        tracked.phase = Phase::Intending;
        tracked.has_started = true;
        tracked.deed = Some(deed);
        let Some(execution) = tracked.execution.clone().map(Box::new) else { return };
        if let Some(vm) = self.vms.get_mut(&vm_id) {
            // Whatever is asked for now stands above the restart policy.
            vm.drop_restart();
            if matches!(deed, Deed::Create | Deed::Boot) {
                vm.incarnation += 1;
                vm.watched = false;
            }
        }
        let vm = self.vm_change(vm_id);
        self.write(Record::Started { execution: execution.clone(), vm });
        self.after_written(Gated::Effect(Effect::Started { execution }));
        self.after_written(Gated::Effect(Effect::VmChanged { vm_id }));
        self.after_written(Gated::Begin(action_id.clone()));
    }

    /// The intent is durable.
    pub(crate) fn begin_deed(&mut self, action_id: &ActionId, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let Some(vm_id) = tracked.action.request.vm_id() else { return self.execute(action_id, now) };
        let remains = self.vms.get(&vm_id).is_some_and(|vm| vm.remains);
        let given_up = if tracked.cancel_asked {
            Some(Outcome::Cancelled)
        } else if tracked.deadline_ms <= now.boottime_ms {
            Some(self.timed_out(action_id))
        } else {
            None
        };
        match (given_up, tracked.deed) {
            (Some(outcome), Some(Deed::Create)) if !remains => {
                self.settle(action_id, outcome, &Observation::Absent, now);
            }
            (Some(outcome), _) => self.give_up(action_id, outcome, now),
            (None, _) => self.attempt(action_id, remains),
        }
    }
}

fn new_execution(tracked: &Tracked, now: Now) -> Execution {
    let request = &tracked.action.request;
    Execution {
        action_id: tracked.action.action_id.clone(),
        action_type: request.action_type(),
        vm_id: request.vm_id(),
        started_at_ms: now.wall_ms,
        completed_at_ms: None,
        duration_ms: None,
        status: ExecutionStatus::Running,
        error: None,
        retries: 0,
        usage: ResourceUsage::default(),
        trace_id: tracked.action.trace_id,
        output: None,
    }
}
