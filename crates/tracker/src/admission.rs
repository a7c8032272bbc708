//! Taking actions in, and cancelling them.

use nkudo_domain::{Action, ActionId, ActionType, Lane, Outcome, Request};

use crate::actions::{Interruption, Phase, Tracked};
use crate::config::Now;
use crate::decide::is_restart;
use crate::message::{Admission, CancelAnswer, Effect, Known, Ticket};
use crate::record::{Record, Stamp};
use crate::tracker::{Gated, Tracker};

impl Tracker {
    pub(crate) fn submit(&mut self, ticket: Ticket, mut action: Action, now: Now) {
        self.fill_in_provider(&mut action);
        self.forget_old_results(now);
        self.forget_outputs();
        self.forget_restarts(self.config.results_max.saturating_sub(1));
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
            None if action.request.lane() == Lane::Commands => self.no_room_for_command(),
            None => None,
        };
        if let Some(admission) = refusal {
            self.effects.push(Effect::Admitted { ticket, admission });
            return;
        }
        self.admit(action, now);
        self.after_written(Gated::Effect(Effect::Admitted { ticket, admission: Admission::New }));
    }

    /// Whether this action is known here, and to whom.
    pub fn knows(&self, action: &Action) -> Known {
        let mut action = action.clone();
        self.fill_in_provider(&mut action);
        match self.actions.get(&action.action_id) {
            None => Known::No,
            Some(known) if known.foreign || !known.action.asks_the_same(&action) => Known::AsAnother,
            Some(_) => Known::Same,
        }
    }

    /// Bodies are compared with their defaults filled in. The default of a create that is asked again is what was
    /// taken the first time, also when this host has another one by now.
    fn fill_in_provider(&self, action: &mut Action) {
        let Request::Create(create) = &mut action.request else { return };
        let asked_before =
            self.actions.get(&action.action_id).and_then(|known| match &known.action.request {
                Request::Create(known) => known.spec.provider,
                Request::Start(_)
                | Request::Stop(_)
                | Request::Delete(_)
                | Request::Pause(_)
                | Request::Resume(_)
                | Request::Execute(_) => None,
            });
        let made_before = || self.vms.get(&create.spec.vm_id).map(|vm| vm.provider);
        let first = || self.config.providers.first().copied();
        create.spec.provider = create.spec.provider.or(asked_before).or_else(made_before).or_else(first);
    }

    /// Takes an action into its lane. A delete clears the lane before it.
    pub(crate) fn admit(&mut self, action: Action, now: Now) {
        let lane = action.request.lane();
        let deletes = action.request.action_type() == ActionType::Delete;
        let admitted = self.stamp(now);
        self.write(Record::Accepted { action: Box::new(action.clone()), admitted, foreign: false });
        if deletes {
            self.clear_lane(lane, now);
        }
        self.enqueue(action, admitted);
    }

    /// Puts an admitted action at the end of its lane.
    pub(crate) fn enqueue(&mut self, action: Action, admitted: Stamp) {
        let (action_id, lane) = (action.action_id.clone(), action.request.lane());
        self.admitted += 1;
        let tracked = Tracked::queued(action, admitted, self.admitted);
        self.actions.insert(action_id.clone(), tracked);
        self.lanes.entry(lane).or_default().push_back(action_id);
    }

    /// Has a delete that a lane holds overtake what was admitted before it, as if it came just now.
    pub(crate) fn clear_lane_again(&mut self, lane: Lane, now: Now) {
        let lane = self.lanes.get(&lane).cloned().unwrap_or_default();
        let before = lane.iter().rposition(|action_id| self.deletes(action_id)).unwrap_or(0);
        self.cancel_all(lane.into_iter().take(before), now);
    }

    /// Cancels what waits in a lane and asks what runs there to end; other deletes stay.
    fn clear_lane(&mut self, lane: Lane, now: Now) {
        let lane = self.lanes.get(&lane).cloned().unwrap_or_default();
        self.cancel_all(lane, now);
    }

    fn cancel_all(&mut self, action_ids: impl IntoIterator<Item = ActionId>, now: Now) {
        for action_id in action_ids {
            if !self.deletes(&action_id) {
                self.cancel_live(&action_id, now);
            }
        }
    }

    fn deletes(&self, action_id: &ActionId) -> bool {
        let tracked = self.actions.get(action_id);
        tracked.is_some_and(|tracked| tracked.action.request.action_type() == ActionType::Delete)
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
        while let Some(oldest) = self.ended.front() {
            if self.actions.get(oldest).is_some_and(|tracked| self.must_be_kept(tracked, now)) {
                break;
            }
            self.actions.remove(oldest);
            self.ended.pop_front();
        }
    }

    /// A wall clock that was set forward makes nothing older that was admitted since the host booted.
    fn must_be_kept(&self, tracked: &Tracked, now: Now) -> bool {
        let Phase::Ended { at_ms, .. } = tracked.phase else { return false };
        let keep_ms = self.config.results_keep_ms;
        let age_ms = u64::try_from(now.wall_ms.saturating_sub(at_ms)).unwrap_or(0);
        let Stamp { boottime_ms, boot, .. } = tracked.admitted;
        let is_young = boot == self.config.boot && now.boottime_ms.saturating_sub(boottime_ms) < keep_ms;
        is_young || age_ms < keep_ms || self.is_owed(tracked)
    }

    /// Leaves at most so many results, as far as those of restarts by policy go: nobody asks for these again.
    pub(crate) fn forget_restarts(&mut self, results_max: usize) {
        while self.ended.len() > results_max {
            let restart = self.ended.iter().position(is_restart);
            let Some(action_id) = restart.and_then(|index| self.ended.remove(index)) else { return };
            self.actions.remove(&action_id);
        }
    }
}

/// A duration in whole milliseconds, as far as they fit.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
