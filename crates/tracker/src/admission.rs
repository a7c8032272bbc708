//! Taking actions in, and cancelling them.

use nkudo_domain::{Action, ActionId, ActionType, Outcome, VmId};

use crate::actions::{Interruption, Phase, Tracked};
use crate::config::Now;
use crate::message::{Admission, CancelAnswer, Effect, Ticket};
use crate::record::Record;
use crate::tracker::{Gated, Tracker};

impl Tracker {
    pub(crate) fn submit(&mut self, ticket: Ticket, action: Action, now: Now) {
        self.forget_old_results(now);
        let refusal = match self.actions.get(&action.action_id) {
            Some(known) if known.action.asks_the_same(&action) => {
                // The first one may not be durable yet, and only what is durable is answered.
                self.after_written(Gated::Effect(Effect::Admitted {
                    ticket,
                    admission: Admission::Repeated,
                }));
                return;
            }
            Some(_) => Some(Admission::Conflict),
            None if self.stopping => Some(Admission::Stopping),
            None if self.live().count() >= self.config.queue_max => Some(Admission::QueueFull),
            None if self.ended.len() >= self.config.results_max => Some(Admission::ResultsFull),
            None => None,
        };
        if let Some(admission) = refusal {
            self.effects.push(Effect::Admitted { ticket, admission });
            return;
        }
        self.admit(action, now);
        self.after_written(Gated::Effect(Effect::Admitted { ticket, admission: Admission::New }));
    }

    /// Takes an action into its lane. A delete clears the lane before it.
    pub(crate) fn admit(&mut self, action: Action, now: Now) {
        let (action_id, vm_id) = (action.action_id.clone(), action.request.vm_id());
        let deletes = action.request.action_type() == ActionType::Delete;
        let admitted = self.stamp(now);
        self.write(Record::Accepted { action: Box::new(action.clone()), admitted });
        if deletes {
            self.clear_lane(vm_id, now);
        }
        let deadline_ms = now.boottime_ms.saturating_add(millis(action.timeout));
        let tracked = Tracked {
            action,
            admitted,
            phase: Phase::Queued,
            execution: None,
            attempt: 0,
            deed: None,
            started_monotonic_ms: 0,
            cancel_asked: false,
            deadline_ms,
        };
        self.actions.insert(action_id.clone(), tracked);
        self.lanes.entry(vm_id).or_default().push_back(action_id);
    }

    /// Cancels what waits in a VM's lane and asks what runs there to end; other deletes stay.
    fn clear_lane(&mut self, vm_id: VmId, now: Now) {
        let lane = self.lanes.get(&vm_id).cloned().unwrap_or_default();
        for action_id in lane {
            let deletes = |tracked: &Tracked| tracked.action.request.action_type() == ActionType::Delete;
            if !self.actions.get(&action_id).is_some_and(deletes) {
                self.cancel_live(&action_id, now);
            }
        }
    }

    pub(crate) fn cancel(&mut self, ticket: Ticket, action_id: &ActionId, now: Now) {
        let answer = match self.actions.get(action_id) {
            None => CancelAnswer::Unknown,
            Some(tracked) if matches!(tracked.phase, Phase::Ended { .. } | Phase::Concluding { .. }) => {
                CancelAnswer::AlreadyEnded
            }
            Some(_) => {
                self.cancel_live(action_id, now);
                CancelAnswer::Cancelling
            }
        };
        self.effects.push(Effect::Cancelling { ticket, answer });
    }

    fn cancel_live(&mut self, action_id: &ActionId, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        match tracked.phase {
            Phase::Queued => self.conclude_unstarted(action_id, Outcome::Cancelled, now),
            Phase::Intending => tracked.cancel_asked = true,
            Phase::Running { .. } => self.interrupt(action_id, Interruption::Cancelled),
            Phase::Waiting { .. } => self.give_up(action_id, Outcome::Cancelled, now),
            Phase::TakingBack { .. } | Phase::Concluding { .. } | Phase::Ended { .. } => {}
        }
    }

    /// Asks for a running deed to be dropped; the first reason stays.
    pub(crate) fn interrupt(&mut self, action_id: &ActionId, why: Interruption) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        if tracked.phase == (Phase::Running { interrupted: None }) {
            tracked.phase = Phase::Running { interrupted: Some(why) };
            self.effects.push(Effect::Interrupt { action_id: action_id.clone() });
        }
    }

    /// Results older than the time they must be kept make room for new actions, the oldest first.
    fn forget_old_results(&mut self, now: Now) {
        let keep_ms = i64::try_from(self.config.results_keep_ms).unwrap_or(i64::MAX);
        while let Some(oldest) = self.ended.front() {
            let at_ms = match self.actions.get(oldest).map(|tracked| &tracked.phase) {
                Some(Phase::Ended { at_ms, .. }) => *at_ms,
                Some(_) | None => i64::MIN,
            };
            if now.wall_ms.saturating_sub(at_ms) < keep_ms {
                return;
            }
            self.actions.remove(oldest);
            self.ended.pop_front();
        }
    }
}

/// A duration in whole milliseconds, as far as they fit.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
