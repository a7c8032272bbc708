//! What VMs do by themselves: their processes end, their restarts by policy fall due, they become known again.

use std::time::Duration;

use nkudo_domain::{Action, ActionId, AskedBy, Exit, Lane, Observation, Request, TraceId, VmId, VmState};

use crate::actions::Tracked;
use crate::config::Now;
use crate::decide::restart_id;
use crate::message::Effect;
use crate::tracker::Tracker;
use crate::vms::Vm;

/// How long a start by a restart policy may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(120);

impl Tracker {
    /// A VM's process has ended. While a deed is done on the VM, what is found after the deed decides.
    pub(crate) fn vm_ended(&mut self, vm_id: VmId, incarnation: u64, exit: Exit, now: Now) {
        let busy = self.is_performing_on(vm_id);
        let Some(vm) = self.vms.get_mut(&vm_id).filter(|vm| vm.incarnation == incarnation) else { return };
        vm.watched = false;
        if !busy && vm.is_alive() {
            self.see(vm_id, |vm| vm.take(&Observation::Stopped(Some(exit)), false, now));
        }
    }

    /// A VM was looked at again. What a deed or another change has made old since then counts for nothing.
    pub(crate) fn vm_observed(&mut self, vm_id: VmId, observation: &Observation, now: Now) {
        let busy = self.is_performing_on(vm_id);
        let Some(vm) = self.vms.get_mut(&vm_id).filter(|vm| vm.probing) else { return };
        vm.probe_later(now);
        if !busy {
            self.see(vm_id, |vm| vm.take(observation, false, now));
        }
    }

    /// Has a VM take over how it was found, and writes it where that makes a difference.
    pub(crate) fn see(&mut self, vm_id: VmId, take: impl FnOnce(&mut Vm)) {
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        let before = (vm.state, vm.reason.clone());
        take(vm);
        if before != (vm.state, vm.reason.clone()) {
            self.watch(vm_id);
            self.write_vm(vm_id);
        }
    }

    /// Has the VMs started again whose time has come. A busy lane goes first.
    pub(crate) fn restart_due(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        for vm_id in due_vms(self, now, |vm| vm.restart_at_ms) {
            let Some(vm) = self.vms.get_mut(&vm_id) else { continue };
            if self.lanes.contains_key(&Lane::Vm(vm_id)) {
                vm.postpone_restart(now);
                continue;
            }
            // The count is written before the action, so that a crash between both makes no id twice.
            vm.restart_at_ms = None;
            vm.restarts += 1;
            vm.restart_streak = vm.restart_streak.saturating_add(1);
            let Ok(action_id) = restart_id(vm_id, &self.outbox.id, vm.restarts).parse::<ActionId>() else {
                continue;
            };
            self.write_vm(vm_id);
            if self.actions.contains_key(&action_id) {
                // Somebody used that id for something else; the next number is tried.
                if let Some(vm) = self.vms.get_mut(&vm_id) {
                    vm.postpone_restart(now);
                }
                continue;
            }
            let request = Request::Start(vm_id);
            let action = Action {
                trace_id: restart_trace(&self.outbox().id, &action_id, now.wall_ms),
                action_id,
                request,
                timeout: RESTART_TIMEOUT,
                parent_span_id: None,
                correlation_id: None,
                asked_by: AskedBy::RestartPolicy,
                start_within: None,
            };
            self.admit(action, now);
        }
    }

    /// Has the VMs looked at again that were in an unknown state.
    pub(crate) fn probe_due(&mut self, now: Now) {
        for vm_id in due_vms(self, now, |vm| vm.probe_at_ms) {
            self.probe(vm_id);
        }
    }

    /// Has the VMs looked at again that are taken to run or to be paused, and that nothing is being done with.
    pub(crate) fn probe_alive(&mut self) {
        let known = self.vms.iter().filter(|(_, vm)| vm.is_alive() && vm.state != VmState::Unknown);
        let idle = known.map(|(vm_id, _)| *vm_id).filter(|vm_id| !self.lanes.contains_key(&Lane::Vm(*vm_id)));
        for vm_id in idle.collect::<Vec<VmId>>() {
            self.probe(vm_id);
        }
    }

    fn probe(&mut self, vm_id: VmId) {
        if let Some(vm) = self.vms.get_mut(&vm_id) {
            vm.probe_at_ms = None;
            vm.probing = true;
            let provider = vm.provider;
            self.effects.push(Effect::Observe { vm_id, provider });
        }
    }

    fn is_performing_on(&self, vm_id: VmId) -> bool {
        let head = self.lanes.get(&Lane::Vm(vm_id)).and_then(|lane| lane.front());
        head.and_then(|action_id| self.actions.get(action_id)).is_some_and(Tracked::is_performing)
    }
}

fn due_vms(tracker: &Tracker, now: Now, at: impl Fn(&Vm) -> Option<u64>) -> Vec<VmId> {
    let due = tracker.vms.iter().filter(|(_, vm)| at(vm).is_some_and(|at_ms| at_ms <= now.boottime_ms));
    due.map(|(vm_id, _)| *vm_id).collect()
}

/// The trace of a restart, which nobody has asked for. There is no chance here, so it is made of what no other restart
/// has in common: FNV-1a, 128 bits.
fn restart_trace(outbox_id: &str, action_id: &ActionId, wall_ms: i64) -> Option<TraceId> {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let said = [outbox_id.as_bytes(), action_id.as_str().as_bytes(), &wall_ms.to_be_bytes()].concat();
    let hash = said.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    TraceId::from_bytes(hash.to_be_bytes())
}
