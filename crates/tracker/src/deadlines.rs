//! What time brings: deadlines, next attempts, restarts by policy, another look at what is unknown.

use nkudo_domain::ActionId;

use crate::actions::{Interruption, Phase, Tracked};
use crate::config::Now;
use crate::tracker::Tracker;

impl Tracker {
    /// When the next [`Input::Tick`](crate::Input::Tick) is due, on the boot-time clock; none while nothing waits
    /// for time.
    pub fn next_wake(&self) -> Option<u64> {
        if !self.recovered {
            return None;
        }
        let actions = self.live().filter_map(|tracked| match tracked.phase {
            Phase::Queued => Some(tracked.start_by().0),
            Phase::Running { interrupted: None } => Some(tracked.deadline_ms),
            Phase::Waiting { until_ms } => Some(until_ms.min(tracked.deadline_ms)),
            Phase::Intending
            | Phase::Running { interrupted: Some(_) }
            | Phase::TakingBack { .. }
            | Phase::Concluding { .. }
            | Phase::Ended { .. } => None,
        });
        let restarts = self.vms.values().filter_map(|vm| vm.restart_at_ms).filter(|_| !self.stopping);
        let probes = self.vms.values().filter_map(|vm| vm.probe_at_ms);
        actions.chain(restarts).chain(probes).min()
    }

    pub(crate) fn tick(&mut self, now: Now) {
        if !self.recovered {
            return;
        }
        let due: Vec<(ActionId, Phase, bool)> = self
            .live()
            .map(|tracked| (tracked, is_late(tracked, now)))
            .filter(|(tracked, late)| *late || waits_until(tracked, now))
            .map(|(tracked, late)| (tracked.action.action_id.clone(), tracked.phase.clone(), late))
            .collect();
        for (action_id, phase, late) in due {
            match phase {
                Phase::Queued => self.expire(&action_id, now),
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
}

fn is_late(tracked: &Tracked, now: Now) -> bool {
    let until_ms = if tracked.phase == Phase::Queued { tracked.start_by().0 } else { tracked.deadline_ms };
    until_ms <= now.boottime_ms
}

fn waits_until(tracked: &Tracked, now: Now) -> bool {
    matches!(tracked.phase, Phase::Waiting { until_ms } if until_ms <= now.boottime_ms)
}
