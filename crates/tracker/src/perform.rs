//! Beginning an action, its attempts, and what is made of their ends.

use std::sync::Arc;

use nkudo_domain::{
    ActionId, Deed, Execution, ExecutionStatus, Observation, Outcome, Request, ResourceUsage, VmState,
};

use crate::actions::{Interruption, Phase};
use crate::admission::millis;
use crate::config::Now;
use crate::decide::{Decision, broken_promise, deed_again, keeps_promise, take_back};
use crate::message::{DeedFailure, DeedReport, Effect};
use crate::record::{Record, VmChange};
use crate::tracker::{Gated, Tracker};
use crate::vms::Vm;

/// Delay before the second attempt; doubles with each one.
const RETRY_DELAY_MS: u64 = 200;
/// How often a deed is taken back before the VM is left as failed.
const TAKE_BACK_TRIES: u32 = 3;

impl Tracker {
    /// Starts the execution of an action whose turn it is.
    pub(crate) fn begin(&mut self, action_id: &ActionId, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let request = tracked.action.request.clone();
        let decision = self.decide(&request);
        let vm_id = request.vm_id();
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        tracked.started_monotonic_ms = now.monotonic_ms;
        tracked.execution = Some(Execution {
            action_id: action_id.clone(),
            action_type: request.action_type(),
            vm_id,
            started_at_ms: now.wall_ms,
            completed_at_ms: None,
            duration_ms: None,
            status: ExecutionStatus::Running,
            error: None,
            retries: 0,
            usage: ResourceUsage::default(),
            trace_id: tracked.action.trace_id,
        });
        if let Some(vm) = self.vms.get_mut(&vm_id) {
            // Whatever is asked for now stands above the restart policy.
            vm.restart_at_ms = None;
            vm.restart_wanted = false;
        }
        match decision {
            Decision::End(outcome) => self.conclude(action_id, outcome, None, now),
            Decision::Make(provider) => {
                if let Request::Create(create) = request {
                    self.vms.insert(vm_id, Vm::new(Arc::new(create.spec), provider, now));
                }
                self.intend(action_id, Deed::Create);
            }
            Decision::Perform(deed) => self.intend(action_id, deed),
        }
    }

    /// Writes the intent; the deed is done once that is durable.
    fn intend(&mut self, action_id: &ActionId, deed: Deed) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let vm_id = tracked.action.request.vm_id();
        tracked.phase = Phase::Intending;
        tracked.deed = Some(deed);
        let Some(execution) = tracked.execution.clone().map(Box::new) else { return };
        if matches!(deed, Deed::Create | Deed::Boot)
            && let Some(vm) = self.vms.get_mut(&vm_id)
        {
            vm.incarnation += 1;
            vm.watched = false;
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
        if tracked.cancel_asked {
            let nothing_done = match tracked.deed {
                Some(Deed::Create) => Observation::Absent,
                _ => return self.give_up(action_id, Outcome::Cancelled, now),
            };
            return self.settle(action_id, Outcome::Cancelled, &nothing_done, now);
        }
        self.attempt(action_id, false);
    }

    /// Begins the next attempt. `afresh` has what an earlier one may have left removed first.
    pub(crate) fn attempt(&mut self, action_id: &ActionId, afresh: bool) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Some(deed) = tracked.deed else { return };
        tracked.attempt += 1;
        tracked.phase = Phase::Running { interrupted: None };
        self.emit_work(action_id, deed, afresh);
    }

    fn emit_work(&mut self, action_id: &ActionId, deed: Deed, afresh: bool) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let Some(vm) = self.vms.get(&tracked.action.request.vm_id()) else { return };
        let work = Box::new(self.work(&tracked.action.request, vm, deed, afresh));
        let (action_id, attempt) = (action_id.clone(), tracked.attempt);
        self.effects.push(Effect::Perform { action_id, attempt, work });
    }

    /// A deed has ended, one way or another.
    pub(crate) fn deed_ended(&mut self, action_id: &ActionId, attempt: u32, report: DeedReport, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        if tracked.attempt != attempt {
            return;
        }
        if let Some(execution) = &mut tracked.execution {
            execution.usage.cpu_percent = execution.usage.cpu_percent.max(report.usage.cpu_percent);
            execution.usage.memory_bytes = execution.usage.memory_bytes.max(report.usage.memory_bytes);
        }
        match tracked.phase.clone() {
            Phase::Running { interrupted } => self.attempt_ended(action_id, interrupted, report, now),
            Phase::TakingBack { outcome, tries } => self.taken_back(action_id, outcome, tries, report, now),
            Phase::Queued
            | Phase::Intending
            | Phase::Waiting { .. }
            | Phase::Concluding { .. }
            | Phase::Ended { .. } => {}
        }
    }

    fn attempt_ended(
        &mut self,
        action_id: &ActionId,
        interrupted: Option<Interruption>,
        report: DeedReport,
        now: Now,
    ) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let (Some(deed), Some(vm)) = (tracked.deed, self.vms.get(&tracked.action.request.vm_id())) else {
            return;
        };
        let autostart = matches!(&tracked.action.request, Request::Create(create) if create.autostart);
        let found = report.observation;
        let retry_in_ms = RETRY_DELAY_MS << (tracked.attempt.clamp(1, 16) - 1);
        let retry_at_ms =
            now.boottime_ms + retry_in_ms + retry_in_ms * u64::from(report.jitter_permille) / 1_000;
        let may_retry = interrupted.is_none()
            && tracked.attempt < self.config.attempts_max
            && retry_at_ms < tracked.deadline_ms
            && !self.stopping;
        let outcome = match report.result {
            Ok(()) if keeps_promise(deed, autostart, &found) => {
                return self.settle(action_id, Outcome::Success { changed: true }, &found, now);
            }
            // A boot that found the VM running has what it wanted.
            Err(_) if deed == Deed::Boot && interrupted.is_none() && found == Observation::Running => {
                return self.settle(action_id, Outcome::Success { changed: true }, &found, now);
            }
            Ok(()) => Outcome::Failure { error: broken_promise(vm.provider, &vm.spec, &found) },
            Err(DeedFailure::Failed { transient: true, .. }) if may_retry => {
                return self.wait_for_retry(action_id, retry_at_ms);
            }
            Err(DeedFailure::Failed { error, .. }) => Outcome::Failure { error },
            Err(DeedFailure::Interrupted) => match interrupted {
                Some(Interruption::TimedOut) => self.timed_out(action_id),
                Some(Interruption::Cancelled) | None => Outcome::Cancelled,
            },
        };
        let outcome = match (outcome, interrupted) {
            (Outcome::Failure { .. }, Some(Interruption::Cancelled)) => Outcome::Cancelled,
            (outcome, _) => outcome,
        };
        match take_back(deed, interrupted.is_some(), &found) {
            Some(back) => self.take_back(action_id, back, outcome, 1),
            None => self.settle(action_id, outcome, &found, now),
        }
    }

    fn wait_for_retry(&mut self, action_id: &ActionId, until_ms: u64) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        tracked.phase = Phase::Waiting { until_ms };
        if let Some(execution) = &mut tracked.execution {
            execution.retries += 1;
        }
    }

    pub(crate) fn take_back(&mut self, action_id: &ActionId, back: Deed, outcome: Outcome, tries: u32) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        tracked.attempt += 1;
        tracked.phase = Phase::TakingBack { outcome, tries };
        self.emit_work(action_id, back, false);
    }

    fn taken_back(
        &mut self,
        action_id: &ActionId,
        outcome: Outcome,
        tries: u32,
        report: DeedReport,
        now: Now,
    ) {
        let Some(deed) = self.actions.get(action_id).and_then(|tracked| tracked.deed) else { return };
        match (take_back(deed, true, &report.observation), report.result) {
            (None, _) => self.settle(action_id, outcome, &report.observation, now),
            (Some(back), _) if tries < TAKE_BACK_TRIES => self.take_back(action_id, back, outcome, tries + 1),
            (Some(_), result) => {
                let left = match result {
                    Err(DeedFailure::Failed { error, .. }) => error,
                    Ok(()) | Err(DeedFailure::Interrupted) => {
                        "the hypervisor does not let go of it".to_owned()
                    }
                };
                let why = outcome.error().unwrap_or("cancelled").to_owned();
                let error = format!("{why}; what was begun could not be taken back: {left}");
                self.settle(action_id, Outcome::Failure { error }, &report.observation, now);
            }
        }
    }

    /// Ends an action that waits between attempts, or whose intent was never followed.
    pub(crate) fn give_up(&mut self, action_id: &ActionId, outcome: Outcome, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        match tracked.deed {
            // What the attempts before left of a create or a boot is not known without a look: taking back looks.
            Some(Deed::Create) => self.take_back(action_id, Deed::Delete, outcome, 1),
            Some(Deed::Boot) if tracked.attempt > 0 => self.take_back(action_id, Deed::ForceOff, outcome, 1),
            Some(_) | None => self.conclude(action_id, outcome, None, now),
        }
    }

    /// Takes over what was found and ends the action.
    pub(crate) fn settle(&mut self, action_id: &ActionId, outcome: Outcome, found: &Observation, now: Now) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let (vm_id, deed) = (tracked.action.request.vm_id(), tracked.deed);
        let asked = matches!(deed, Some(Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped))
            || (deed == Some(Deed::Boot) && outcome.status() != ExecutionStatus::Success);
        let gone = *found == Observation::Absent && matches!(deed, Some(Deed::Create | Deed::Delete));
        let change = if gone {
            self.vms.remove(&vm_id).map(|vm| VmChange::Gone { vm_id, vm_name: vm.spec.vm_name.clone() })
        } else {
            if let Some(vm) = self.vms.get_mut(&vm_id) {
                vm.take(found, asked, now);
                if deed == Some(Deed::Create) && !outcome_is_success(&outcome) && vm.state != VmState::Failed
                {
                    // It could not be taken back, and it is not the VM that was asked for.
                    vm.fail("its creation failed and could not be taken back", now);
                }
            }
            self.watch(vm_id);
            self.vm_change(vm_id)
        };
        self.conclude(action_id, outcome, change, now);
    }

    pub(crate) fn timed_out(&self, action_id: &ActionId) -> Outcome {
        let timeout_ms = self.actions.get(action_id).map_or(0, |tracked| millis(tracked.action.timeout));
        Outcome::Failure { error: format!("timed out after {} s", timeout_ms / 1_000) }
    }

    /// The deed that an action begun before a crash goes on with.
    pub(crate) fn resume_deed(&mut self, action_id: &ActionId, found: &Observation) -> Option<Deed> {
        let tracked = self.actions.get_mut(action_id)?;
        tracked.deed = deed_again(tracked.action.request.action_type(), found);
        tracked.deed
    }
}

fn outcome_is_success(outcome: &Outcome) -> bool {
    outcome.status() == ExecutionStatus::Success
}
