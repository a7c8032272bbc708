//! What time brings: deadlines, next attempts, restarts by policy, another look at what is unknown.

use std::time::Duration;

use nkudo_domain::{Action, ActionId, Exit, Observation, Outcome, Request, VmId};

use crate::actions::{Interruption, Phase, Tracked};
use crate::config::Now;
use crate::decide::restart_id;
use crate::message::Effect;
use crate::tracker::Tracker;
use crate::vms::Vm;

/// How long a start by a restart policy may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(120);

impl Tracker {
    /// When the next [`Input::Tick`](crate::Input::Tick) is due, on the boot-time clock; none while nothing waits
    /// for time.
    pub fn next_wake(&self) -> Option<u64> {
        let actions = self.live().filter_map(|tracked| match tracked.phase {
            Phase::Queued | Phase::Running { interrupted: None } => Some(tracked.deadline_ms),
            Phase::Waiting { until_ms } => Some(until_ms.min(tracked.deadline_ms)),
            Phase::Intending
            | Phase::Running { interrupted: Some(_) }
            | Phase::TakingBack { .. }
            | Phase::Concluding { .. }
            | Phase::Ended { .. } => None,
        });
        let vms = self.vms.values().flat_map(|vm| [vm.restart_at_ms, vm.probe_at_ms]).flatten();
        actions.chain(vms).min()
    }

    pub(crate) fn tick(&mut self, now: Now) {
        if !self.recovered {
            return;
        }
        let due: Vec<(ActionId, Phase, bool)> = self
            .live()
            .map(|tracked| (tracked, tracked.deadline_ms <= now.boottime_ms))
            .filter(|(tracked, late)| *late || waits_until(tracked, now))
            .map(|(tracked, late)| (tracked.action.action_id.clone(), tracked.phase.clone(), late))
            .collect();
        for (action_id, phase, late) in due {
            match phase {
                Phase::Queued => {
                    let error = "timed out before it started".to_owned();
                    self.conclude_unstarted(&action_id, Outcome::Failure { error }, now);
                }
                Phase::Running { interrupted: None } => self.interrupt(&action_id, Interruption::TimedOut),
                Phase::Waiting { .. } if late => {
                    let outcome = self.timed_out(&action_id);
                    self.give_up(&action_id, outcome, now);
                }
                Phase::Waiting { .. } => self.attempt(&action_id, true),
                Phase::Intending
                | Phase::Running { interrupted: Some(_) }
                | Phase::TakingBack { .. }
                | Phase::Concluding { .. }
                | Phase::Ended { .. } => {}
            }
        }
        self.restart_due(now);
        self.probe_due(now);
    }

    fn restart_due(&mut self, now: Now) {
        let due: Vec<VmId> = due_vms(self, now, |vm| vm.restart_at_ms);
        for vm_id in due {
            let Some(vm) = self.vms.get_mut(&vm_id) else { continue };
            vm.restart_at_ms = None;
            vm.restarts += 1;
            vm.restart_streak = vm.restart_streak.saturating_add(1);
            let Ok(action_id) = restart_id(vm_id, vm.incarnation).parse::<ActionId>() else { continue };
            if self.stopping || self.lanes.contains_key(&vm_id) || self.actions.contains_key(&action_id) {
                continue;
            }
            let request = Request::Start(vm_id);
            let action =
                Action { action_id, request, timeout: RESTART_TIMEOUT, trace_id: None, correlation_id: None };
            self.admit(action, now);
        }
    }

    fn probe_due(&mut self, now: Now) {
        for vm_id in due_vms(self, now, |vm| vm.probe_at_ms) {
            let Some(vm) = self.vms.get_mut(&vm_id) else { continue };
            vm.probe_at_ms = None;
            let provider = vm.provider;
            self.effects.push(Effect::Observe { vm_id, provider });
        }
    }

    /// A VM's process has ended. While a deed is done on the VM, what is found after the deed decides.
    pub(crate) fn vm_ended(&mut self, vm_id: VmId, incarnation: u64, exit: Exit, now: Now) {
        let busy = self.is_performing(vm_id);
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        if vm.incarnation != incarnation {
            return;
        }
        vm.watched = false;
        if !busy && vm.is_alive() {
            vm.take(&Observation::Stopped(Some(exit)), false, now);
            self.write_vm(vm_id);
        }
    }

    /// A VM in an unknown state was looked at again.
    pub(crate) fn vm_observed(&mut self, vm_id: VmId, observation: &Observation, now: Now) {
        let busy = self.is_performing(vm_id);
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        if busy {
            return;
        }
        let before = vm.state;
        vm.take(observation, false, now);
        if vm.state != before {
            self.watch(vm_id);
            self.write_vm(vm_id);
        }
    }

    fn is_performing(&self, vm_id: VmId) -> bool {
        let head = self.lanes.get(&vm_id).and_then(|lane| lane.front());
        head.and_then(|action_id| self.actions.get(action_id)).is_some_and(Tracked::is_performing)
    }
}

fn waits_until(tracked: &Tracked, now: Now) -> bool {
    matches!(tracked.phase, Phase::Waiting { until_ms } if until_ms <= now.boottime_ms)
}

fn due_vms(tracker: &Tracker, now: Now, at: impl Fn(&Vm) -> Option<u64>) -> Vec<VmId> {
    let due = tracker.vms.iter().filter(|(_, vm)| at(vm).is_some_and(|at_ms| at_ms <= now.boottime_ms));
    due.map(|(vm_id, _)| *vm_id).collect()
}
