//! The attempts of a begun action, and what is made of their ends.

use nkudo_domain::{ActionId, Deed, Observation, Outcome, Request};

use crate::actions::{Interruption, Phase};
use crate::admission::millis;
use crate::config::Now;
use crate::decide::{broken_promise, keeps_promise, take_back};
use crate::message::{DeedFailure, DeedReport, Effect};
use crate::tracker::Tracker;

/// Delay before the second attempt; doubles with each one.
const RETRY_DELAY_MS: u64 = 200;
/// How often a deed is taken back before what is left of it stays.
const TAKE_BACK_TRIES: u32 = 3;

impl Tracker {
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
        let Some(vm) = tracked.action.request.vm_id().and_then(|vm_id| self.vms.get(&vm_id)) else { return };
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
        let vm = tracked.action.request.vm_id().and_then(|vm_id| self.vms.get(&vm_id));
        let (Some(deed), Some(vm)) = (tracked.deed, vm) else { return };
        let autostart = matches!(&tracked.action.request, Request::Create(create) if create.autostart);
        let nothing_else = match &tracked.action.request {
            Request::Delete(delete) => !delete.delete_disks,
            Request::Create(_)
            | Request::Start(_)
            | Request::Stop(_)
            | Request::Pause(_)
            | Request::Resume(_)
            | Request::Execute(_) => true,
        };
        let found = report.observation;
        let retry_at_ms = now.boottime_ms + retry_delay_ms(tracked.attempt, report.jitter_permille);
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
            // So has a delete that found nothing of it, unless its disks were to go too.
            Err(_) if deed == Deed::Delete && nothing_else && found == Observation::Absent => {
                return self.settle(action_id, Outcome::Success { changed: true }, &found, now);
            }
            Ok(()) => Outcome::Failure { error: broken_promise(vm.provider, &vm.spec, &found) },
            Err(DeedFailure::Failed { transient: true, .. }) if may_retry => {
                return self.wait_for_retry(action_id, retry_at_ms, &found, now);
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

    fn wait_for_retry(&mut self, action_id: &ActionId, until_ms: u64, found: &Observation, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        tracked.phase = Phase::Waiting { until_ms };
        if let Some(execution) = &mut tracked.execution {
            execution.retries += 1;
        }
        let Some(vm_id) = tracked.action.request.vm_id() else { return };
        match tracked.deed {
            // A half-done create or boot says nothing of the VM; its next attempt begins afresh.
            Some(Deed::Create | Deed::Boot) | None => {}
            // The end of the process may have come while the deed was done, when its notice does not count.
            Some(deed) => self.see(vm_id, |vm| vm.take_after(deed, found, now)),
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

    pub(crate) fn timed_out(&self, action_id: &ActionId) -> Outcome {
        let timeout_ms = self.actions.get(action_id).map_or(0, |tracked| millis(tracked.action.timeout));
        Outcome::Failure { error: format!("timed out after {} s", timeout_ms / 1_000) }
    }
}

/// The delay after a failed attempt, counted from 1: up to twice the base, by the jitter.
fn retry_delay_ms(attempt: u32, jitter_permille: u16) -> u64 {
    let base_ms = RETRY_DELAY_MS << (attempt.clamp(1, 16) - 1);
    base_ms + base_ms * u64::from(jitter_permille.min(999)) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_and_spread() {
        let cases =
            [(1, 0, 200), (1, 500, 300), (1, 999, 399), (2, 0, 400), (3, 250, 1_000), (1, u16::MAX, 399)];
        for (attempt, jitter_permille, expected_ms) in cases {
            assert_eq!(retry_delay_ms(attempt, jitter_permille), expected_ms, "attempt {attempt}");
        }
        assert_eq!(retry_delay_ms(u32::MAX, 0), retry_delay_ms(16, 0));
    }
}
