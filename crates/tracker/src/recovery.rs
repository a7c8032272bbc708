//! After a restart of the program: the records are replayed, the host is looked over, and the same decisions as
//! always bring both together.

use std::collections::BTreeMap;
use std::sync::Arc;

use nkudo_domain::{ActionId, Observation, Request, VmId};

use crate::actions::{Phase, Tracked};
use crate::admission::millis;
use crate::config::Now;
use crate::decide::{keeps_promise, take_back};
use crate::message::{Effect, Found};
use crate::record::{Record, VmChange};
use crate::tracker::Tracker;
use crate::vms::Vm;

impl Tracker {
    /// Takes over one record.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Accepted { action, admitted } => {
                let (action_id, vm_id) = (action.action_id.clone(), action.request.vm_id());
                let tracked = Tracked {
                    action: *action,
                    admitted,
                    phase: Phase::Queued,
                    execution: None,
                    attempt: 0,
                    deed: None,
                    started_monotonic_ms: 0,
                    cancel_asked: false,
                    deadline_ms: 0,
                };
                self.actions.insert(action_id.clone(), tracked);
                self.lanes.entry(vm_id).or_default().push_back(action_id);
            }
            Record::Started { execution, vm } => {
                if let Some(tracked) = self.actions.get_mut(&execution.action_id) {
                    tracked.phase = Phase::Running { interrupted: None };
                    tracked.execution = Some(*execution);
                }
                self.apply_vm(vm);
            }
            Record::Ended { action_id, outcome, at_ms, execution, vm } => {
                if let Some(tracked) = self.actions.get_mut(&action_id) {
                    tracked.phase = Phase::Ended { outcome, at_ms };
                    tracked.execution = execution.as_deref().cloned();
                    let vm_id = tracked.action.request.vm_id();
                    self.ended.push_back(action_id.clone());
                    self.leave_lane(vm_id, &action_id);
                }
                if let Some(execution) = execution {
                    self.history.add(*execution, self.config.history_max);
                }
                self.apply_vm(vm);
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

    /// The host was looked over: finish or take back what was half done, take over what runs.
    pub(crate) fn recover(&mut self, found: Vec<Found>, now: Now) {
        self.recovered = true;
        self.restore_deadlines(now);
        let mut found: BTreeMap<VmId, Found> = found.into_iter().map(|found| (found.vm_id, found)).collect();
        let in_doubt: Vec<(ActionId, VmId)> = self
            .live()
            .filter(|tracked| tracked.has_begun())
            .map(|tracked| (tracked.action.action_id.clone(), tracked.action.request.vm_id()))
            .collect();
        for (action_id, vm_id) in in_doubt {
            let observation = found.remove(&vm_id).map_or(Observation::Absent, |found| found.observation);
            self.go_on(&action_id, &observation, now);
        }
        let busy: Vec<VmId> =
            self.live().filter(|t| t.has_begun()).map(|t| t.action.request.vm_id()).collect();
        let settled: Vec<VmId> = self.vms.keys().filter(|vm_id| !busy.contains(vm_id)).copied().collect();
        for vm_id in settled {
            let observation = found.remove(&vm_id).map_or(Observation::Absent, |found| found.observation);
            self.take_over(vm_id, &observation, now);
        }
        for unknown in found.into_values().filter(|found| !busy.contains(&found.vm_id)) {
            self.adopt_unknown(unknown, now);
        }
    }

    /// Deadlines count from admission. Across a reboot of the host only the wall clock can say how long ago it was.
    fn restore_deadlines(&mut self, now: Now) {
        let boot = self.config.boot;
        for tracked in self.actions.values_mut().filter(|tracked| !tracked.has_ended()) {
            let timeout_ms = millis(tracked.action.timeout);
            let past_ms = now.wall_ms.saturating_sub(tracked.admitted.wall_ms).max(0).unsigned_abs();
            tracked.deadline_ms = if tracked.admitted.boot == boot {
                tracked.admitted.boottime_ms.saturating_add(timeout_ms)
            } else {
                now.boottime_ms.saturating_add(timeout_ms.saturating_sub(past_ms))
            };
        }
    }

    /// Goes on with an action whose deed was under way when the program ended.
    fn go_on(&mut self, action_id: &ActionId, found: &Observation, now: Now) {
        let Some(deed) = self.resume_deed(action_id, found) else { return };
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        // The monotonic clock of the program that began it is gone; what the wall clock says is the best there is.
        let started_ms = tracked.execution.as_ref().map_or(now.wall_ms, |execution| execution.started_at_ms);
        let past_ms = now.wall_ms.saturating_sub(started_ms).max(0).unsigned_abs();
        tracked.started_monotonic_ms = now.monotonic_ms.saturating_sub(past_ms);
        let autostart = matches!(&tracked.action.request, Request::Create(create) if create.autostart);
        let late = tracked.deadline_ms <= now.boottime_ms;
        if done_already(deed, autostart, found) {
            return self.settle(action_id, nkudo_domain::Outcome::Success { changed: true }, found, now);
        }
        if late {
            let outcome = self.timed_out(action_id);
            return match take_back(deed, true, found) {
                Some(back) => self.take_back(action_id, back, outcome, 1),
                None => self.settle(action_id, outcome, found, now),
            };
        }
        if let Some(execution) = &mut tracked.execution {
            execution.retries += 1;
        }
        self.attempt(action_id, true);
    }

    /// Brings a VM that nothing was being done with together with what was found of it.
    fn take_over(&mut self, vm_id: VmId, found: &Observation, now: Now) {
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        let before = (vm.state, vm.reason.clone());
        if vm.is_alive() || !matches!(found, Observation::Stopped(_)) {
            vm.take(found, false, now);
        }
        if vm.restart_wanted && vm.restart_at_ms.is_none() {
            vm.restart_at_ms = Some(now.boottime_ms);
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
        let (vm_id, Some(spec)) = (found.vm_id, found.spec) else { return };
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

    /// The records that give this state back, for a journal that starts over with them. Only while
    /// [`Tracker::is_idle`] says so does that lose nothing.
    pub fn snapshot(&self) -> Vec<Record> {
        let rolled = self.history.rolled.iter().map(|(action_type, rolled)| (*action_type, rolled.clone()));
        let mut records = vec![Record::Aggregates(rolled.collect())];
        let kept = |action_id: &ActionId| self.history.executions.iter().find(|e| e.action_id == *action_id);
        for tracked in self.ended.iter().filter_map(|action_id| self.actions.get(action_id)) {
            records.push(accepted(tracked));
            if let Phase::Ended { outcome, at_ms } = &tracked.phase {
                records.push(Record::Ended {
                    action_id: tracked.action.action_id.clone(),
                    outcome: outcome.clone(),
                    at_ms: *at_ms,
                    execution: kept(&tracked.action.action_id).cloned().map(Box::new),
                    vm: None,
                });
            }
        }
        records.extend(self.live().map(accepted));
        records.extend(self.vms.values().map(|vm| Record::Vm(VmChange::Is(Box::new(vm.clone())))));
        records
    }
}

fn accepted(tracked: &Tracked) -> Record {
    Record::Accepted { action: Box::new(tracked.action.clone()), admitted: tracked.admitted }
}

/// Whether what an interrupted deed was to bring about is so. A stopped guest proves no boot.
fn done_already(deed: nkudo_domain::Deed, autostart: bool, found: &Observation) -> bool {
    use nkudo_domain::Deed;
    let boots = deed == Deed::Boot || (deed == Deed::Create && autostart);
    match (boots, found) {
        (true, Observation::Running) => true,
        (true, _) => false,
        (false, found) => keeps_promise(deed, autostart, found),
    }
}
