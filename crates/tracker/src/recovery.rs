//! After a restart of the program: the host is looked over, and the same decisions as always bring what is found and
//! what the records say together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nkudo_domain::{ActionId, Lane, Observation, Outcome, VmId};

use crate::actions::{Phase, Tracked};
use crate::admission::millis;
use crate::config::Now;
use crate::decide::{deed_again, done_already, take_back};
use crate::lost::Lost;
use crate::message::{Effect, Found};
use crate::record::Stamp;
use crate::tracker::Tracker;
use crate::vms::Vm;

impl Tracker {
    /// The host was looked over: finish or take back what was half done, take over what runs.
    pub(crate) fn recover(&mut self, found: Vec<Found>, now: Now) {
        self.recovered = true;
        self.open_outbox();
        self.restore_deadlines(now);
        self.restore_starts(now);
        let mut found = self.by_vm(found);
        match self.config.lost {
            Lost::Nothing => {}
            Lost::Unwritten => self.give_up_on_queued_commands(now),
            Lost::Ends => self.give_up_on_lost(&found, now),
        }
        let observed = |found: &mut BTreeMap<VmId, Found>, vm_id: VmId| {
            found.remove(&vm_id).map_or(Observation::Absent, |found| found.observation)
        };
        let begun: Vec<(ActionId, Lane)> = self
            .live()
            .filter(|tracked| matches!(tracked.phase, Phase::Running { .. }))
            .map(|tracked| (tracked.action.action_id.clone(), tracked.action.request.lane()))
            .collect();
        let mut in_doubt = Vec::new();
        for (action_id, lane) in begun {
            match lane {
                Lane::Vm(vm_id) => in_doubt.push((action_id, vm_id)),
                Lane::Commands => self.give_up_on_command(&action_id, now),
            }
        }
        let settled: Vec<VmId> = self
            .vms
            .keys()
            .filter(|vm_id| !in_doubt.iter().any(|(_, busy)| busy == *vm_id))
            .copied()
            .collect();
        for (action_id, vm_id) in in_doubt {
            let observation = observed(&mut found, vm_id);
            self.go_on(&action_id, &observation, now);
        }
        for vm_id in settled {
            let observation = observed(&mut found, vm_id);
            self.take_over(vm_id, &observation, now);
        }
        for unknown in found.into_values() {
            self.adopt_unknown(unknown, now);
        }
        // What a delete overtook may have been cancelled without that being durable.
        for lane in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.clear_lane_again(lane, now);
        }
    }

    /// What was found, by VM. Of a VM that is known only what its own provider found counts.
    fn by_vm(&self, found: Vec<Found>) -> BTreeMap<VmId, Found> {
        let own = |found: &Found| self.vms.get(&found.vm_id).is_none_or(|vm| vm.provider == found.provider);
        found.into_iter().filter(own).map(|found| (found.vm_id, found)).collect()
    }

    /// Deadlines count from admission. Across a reboot of the host only the wall clock can say how long ago it was.
    fn restore_deadlines(&mut self, now: Now) {
        let boot = self.config.boot;
        for tracked in self.actions.values_mut().filter(|tracked| !tracked.has_ended()) {
            let Stamp { wall_ms, boottime_ms, boot: admitted_in } = tracked.admitted;
            let past_ms = now.wall_ms.saturating_sub(wall_ms).max(0).unsigned_abs();
            let end_of = |duration: Duration| {
                if admitted_in == boot {
                    boottime_ms.saturating_add(millis(duration))
                } else {
                    now.boottime_ms.saturating_add(millis(duration).saturating_sub(past_ms))
                }
            };
            tracked.expires_ms = tracked.action.start_within.map(end_of);
            tracked.deadline_ms = end_of(tracked.action.timeout);
        }
    }

    /// The monotonic clock of the program that began them is gone; what the wall clock says is the best there is.
    fn restore_starts(&mut self, now: Now) {
        for tracked in self.actions.values_mut().filter(|tracked| !tracked.has_ended()) {
            let Some(execution) = &tracked.execution else { continue };
            let past_ms = now.wall_ms.saturating_sub(execution.started_at_ms).max(0).unsigned_abs();
            tracked.started_monotonic_ms = now.monotonic_ms.saturating_sub(past_ms);
        }
    }

    /// Goes on with an action whose deed was under way when the program ended.
    fn go_on(&mut self, action_id: &ActionId, found: &Observation, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Some(deed) = deed_again(&tracked.action.request, found) else { return };
        tracked.deed = Some(deed);
        if done_already(&tracked.action.request, deed, found) {
            return self.settle(action_id, Outcome::Success { changed: true }, found, now);
        }
        if tracked.deadline_ms <= now.boottime_ms {
            return self.go_back(action_id, found, now);
        }
        if let Some(execution) = &mut tracked.execution {
            execution.retries += 1;
        }
        self.attempt(action_id, true);
    }

    /// Takes back what is left of an action whose deadline passed while the program was down.
    fn go_back(&mut self, action_id: &ActionId, found: &Observation, now: Now) {
        let outcome = self.timed_out(action_id);
        let deed = self.actions.get(action_id).and_then(|tracked: &Tracked| tracked.deed);
        match deed.and_then(|deed| take_back(deed, true, found)) {
            Some(back) => self.take_back(action_id, back, outcome, 1),
            None => self.settle(action_id, outcome, found, now),
        }
    }

    /// Brings a VM that nothing was being done with together with what was found of it.
    fn take_over(&mut self, vm_id: VmId, found: &Observation, now: Now) {
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        let before = (vm.state, vm.reason.clone());
        // What a failed creation left stays that, and why a VM ended is known from when it did.
        if !vm.remains && (vm.is_alive() || !matches!(found, Observation::Stopped(_))) {
            vm.take(found, false, now);
        }
        if vm.restart_wanted {
            vm.want_restart(now);
        }
        let (alive, changed) = (vm.is_alive(), before != (vm.state, vm.reason.clone()));
        self.watch(vm_id);
        if alive {
            self.effects.push(Effect::Adopted { vm_id });
        }
        if changed {
            self.write_vm(vm_id);
        }
    }

    /// A VM that the records do not know, because they were lost, is what its run directory says.
    fn adopt_unknown(&mut self, found: Found, now: Now) {
        let (vm_id, Some(mut spec)) = (found.vm_id, found.spec) else { return };
        spec.provider = Some(found.provider);
        if found.observation == Observation::Absent {
            return;
        }
        let mut vm = Vm::new(Arc::new(spec), found.provider, now);
        vm.incarnation = 1;
        vm.take(&found.observation, false, now);
        let alive = vm.is_alive();
        self.vms.insert(vm_id, vm);
        self.watch(vm_id);
        if alive {
            self.effects.push(Effect::Adopted { vm_id });
        }
        self.write_vm(vm_id);
    }
}
