//! The microVMs of this host.

use std::sync::Arc;

use nkudo_domain::{Deed, Exit, Observation, ProviderKind, RestartPolicy, VmSpec, VmState};
use serde::{Deserialize, Serialize};

use crate::config::Now;

/// First delay before a restart by policy; doubles with each one.
const RESTART_DELAY_MIN_MS: u64 = 1_000;
/// Longest delay before a restart by policy.
const RESTART_DELAY_MAX_MS: u64 = 60_000;
/// A VM that ran this long starts over with the shortest delay.
const RESTART_CALM_MS: i64 = 600_000;
/// How long until a VM in an unknown state is looked at again.
const PROBE_AFTER_MS: u64 = 2_000;

/// A microVM as the journal knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vm {
    pub spec: Arc<VmSpec>,
    pub provider: ProviderKind,
    pub state: VmState,
    /// Why it is in this state, where that is not plain.
    pub reason: Option<String>,
    /// Counts its boots; tells the end of one process from the end of the next.
    pub incarnation: u64,
    /// Unix time in milliseconds of the last change of state.
    pub since_ms: i64,
    /// Starts by its restart policy, in all.
    pub restarts: u64,
    /// Restarts in a row, none of which ran calmly.
    pub restart_streak: u32,
    /// Its policy wants it started again and nothing else was asked since.
    pub(crate) restart_wanted: bool,
    /// It is what a failed creation left and could not be taken back.
    #[serde(default)]
    pub(crate) remains: bool,
    #[serde(skip)]
    pub(crate) watched: bool,
    /// On the boot-time clock.
    #[serde(skip)]
    pub(crate) restart_at_ms: Option<u64>,
    /// On the boot-time clock.
    #[serde(skip)]
    pub(crate) probe_at_ms: Option<u64>,
    /// It is being looked at, and nothing has made that look old.
    #[serde(skip)]
    pub(crate) probing: bool,
}

impl Vm {
    pub(crate) fn new(spec: Arc<VmSpec>, provider: ProviderKind, now: Now) -> Self {
        Self {
            spec,
            provider,
            state: VmState::Creating,
            reason: None,
            incarnation: 0,
            since_ms: now.wall_ms,
            restarts: 0,
            restart_streak: 0,
            restart_wanted: false,
            remains: false,
            watched: false,
            restart_at_ms: None,
            probe_at_ms: None,
            probing: false,
        }
    }

    /// What of it outlives this run of the program.
    pub(crate) fn durable(&self) -> Box<Self> {
        Box::new(Self {
            watched: false,
            restart_at_ms: None,
            probe_at_ms: None,
            probing: false,
            ..self.clone()
        })
    }

    fn enter(&mut self, state: VmState, reason: Option<String>, now: Now) {
        if self.state != state {
            self.since_ms = now.wall_ms;
        }
        self.state = state;
        self.reason = reason;
        if self.is_alive() {
            self.drop_restart();
        }
        self.probe_later(now);
    }

    /// Takes over what was found. `asked` says that an end of the process was what an action wanted.
    pub(crate) fn take(&mut self, observation: &Observation, asked: bool, now: Now) {
        match observation {
            Observation::Running => self.enter(VmState::Running, None, now),
            Observation::Paused => self.enter(VmState::Paused, None, now),
            Observation::Unresponsive => {
                let reason = "its process is there but does not answer".to_owned();
                self.enter(VmState::Unknown, Some(reason), now);
            }
            Observation::Stopped(_) if asked => {
                self.enter(VmState::Stopped, None, now);
                self.drop_restart();
            }
            Observation::Stopped(exit) => self.ended(exit.as_ref(), now),
            Observation::Absent => {
                self.enter(VmState::Failed, Some("its run directory is gone".to_owned()), now);
            }
        }
    }

    /// Takes over what was found after a deed. The end of a process that was to end is no death.
    pub(crate) fn take_after(&mut self, deed: Deed, found: &Observation, now: Now) {
        match (deed, found) {
            // A delete that failed made nothing of a VM that had ended before.
            (Deed::Delete, Observation::Stopped(_)) if !self.is_alive() => {}
            (Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped | Deed::Delete, _) => {
                self.take(found, true, now);
            }
            (Deed::Create | Deed::Boot | Deed::Pause | Deed::Resume, _) => self.take(found, false, now),
        }
    }

    /// Its process is no more, and nobody asked for that.
    fn ended(&mut self, exit: Option<&Exit>, now: Now) {
        let ran_ms = now.wall_ms.saturating_sub(self.since_ms);
        let was_alive = self.is_alive();
        let (state, reason) = match exit {
            None => (VmState::Stopped, None),
            Some(Exit::GuestPoweredOff) => (VmState::Stopped, Some("the guest powered off".to_owned())),
            Some(Exit::HostRebooted) => (VmState::Stopped, Some("host rebooted".to_owned())),
            Some(Exit::Died(cause)) => (VmState::Failed, Some(cause.clone())),
        };
        self.enter(state, reason, now);
        let wanted = match self.spec.restart_policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => state == VmState::Failed,
            RestartPolicy::Always => true,
        };
        if wanted && was_alive {
            self.restart_streak = if ran_ms > RESTART_CALM_MS { 0 } else { self.restart_streak };
            self.want_restart(now);
        }
    }

    /// It is what is left of a creation, whatever is found of it.
    pub(crate) fn leave_remains(&mut self, now: Now) {
        let reason = "its creation failed and could not be taken back".to_owned();
        self.enter(VmState::Failed, Some(reason), now);
        self.drop_restart();
        self.remains = true;
    }

    /// Its policy wants it started again, the later the more often it was in vain.
    pub(crate) fn want_restart(&mut self, now: Now) {
        self.restart_wanted = true;
        self.restart_at_ms = Some(now.boottime_ms.saturating_add(restart_delay_ms(self.restart_streak)));
    }

    /// Nothing is to start it again by itself. Says whether something was.
    pub(crate) fn drop_restart(&mut self) -> bool {
        self.restart_at_ms = None;
        std::mem::take(&mut self.restart_wanted)
    }

    /// It cannot be started now; that is tried a little later.
    pub(crate) fn postpone_restart(&mut self, now: Now) {
        self.restart_at_ms = Some(now.boottime_ms.saturating_add(RESTART_DELAY_MIN_MS));
    }

    /// Has a VM in an unknown state looked at again. A look that is under way counts for nothing any more.
    pub(crate) fn probe_later(&mut self, now: Now) {
        let unknown = self.state == VmState::Unknown;
        self.probe_at_ms = unknown.then_some(now.boottime_ms.saturating_add(PROBE_AFTER_MS));
        self.probing = false;
    }

    /// Whether it has, or may have, a process.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, VmState::Running | VmState::Paused | VmState::Unknown)
    }
}

fn restart_delay_ms(streak: u32) -> u64 {
    RESTART_DELAY_MIN_MS.saturating_mul(1 << streak.min(16)).min(RESTART_DELAY_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_delays_double_up_to_a_minute() {
        let delays: Vec<u64> = (0..9).map(restart_delay_ms).collect();
        assert_eq!(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(restart_delay_ms(u32::MAX), 60_000);
    }
}
