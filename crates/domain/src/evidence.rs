//! What is found on the host about a VM, and what follows from it.
//!
//! A VM's process inherits the locked file of its run directory, so the lock is held exactly as long as the
//! process lives; the pid alone proves nothing, because pids are used again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was found about one VM, without judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The VM's run directory is there.
    pub directory: bool,
    /// Somebody holds the lock of the run directory.
    pub lock_held: bool,
    /// A process with the recorded pid and start time is alive (a zombie is not) and names the VM's UUID.
    pub process: bool,
    /// What the process answered when asked how the VM is.
    pub monitor: Monitor,
    /// A start was recorded since the directory was made.
    pub started: bool,
    /// The host has booted since that start.
    pub host_rebooted: bool,
    /// What the process left behind about its end.
    pub farewell: Option<Exit>,
}

/// The answer of a VM's monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    Running,
    Paused,
    /// It does not answer, or not in a way that can be understood: busy is not dead.
    Silent,
}

/// Why a VM's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    GuestPoweredOff,
    HostRebooted,
    /// It died otherwise; the text says what is known.
    Died(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GuestPoweredOff => "the guest powered off",
            Self::HostRebooted => "the host rebooted",
            Self::Died(why) => why,
        })
    }
}

/// What is so, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// Nothing of the VM is on the host.
    Absent,
    /// No process; why it ended, when it had been started.
    Stopped(Option<Exit>),
    Running,
    Paused,
    /// There is a process, but how the VM is cannot be known.
    Unresponsive,
}

impl Evidence {
    /// What follows from the evidence. When lock and process disagree the VM may be alive, so it is
    /// [`Observation::Unresponsive`]: nothing is started over it and nothing is declared dead.
    pub fn judge(&self) -> Observation {
        match (self.lock_held, self.process) {
            (true, true) => match self.monitor {
                Monitor::Running => Observation::Running,
                Monitor::Paused => Observation::Paused,
                Monitor::Silent => Observation::Unresponsive,
            },
            (true, false) | (false, true) => Observation::Unresponsive,
            (false, false) if !self.directory => Observation::Absent,
            (false, false) if !self.started => Observation::Stopped(None),
            (false, false) if self.host_rebooted => Observation::Stopped(Some(Exit::HostRebooted)),
            (false, false) => {
                let unknown = || Exit::Died("it ended, and nothing says why".to_owned());
                Observation::Stopped(Some(self.farewell.clone().unwrap_or_else(unknown)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive() -> Evidence {
        Evidence {
            directory: true,
            lock_held: true,
            process: true,
            monitor: Monitor::Running,
            started: true,
            host_rebooted: false,
            farewell: None,
        }
    }

    #[test]
    fn only_agreeing_evidence_is_believed() {
        let gone = Evidence { lock_held: false, process: false, ..alive() };
        let died = Exit::Died("it ended, and nothing says why".to_owned());
        let cases = [
            (alive(), Observation::Running),
            (Evidence { monitor: Monitor::Paused, ..alive() }, Observation::Paused),
            (Evidence { monitor: Monitor::Silent, ..alive() }, Observation::Unresponsive),
            // A pid that was used again has neither the lock nor, by its start time, the identity.
            (Evidence { process: false, ..alive() }, Observation::Unresponsive),
            (Evidence { lock_held: false, ..alive() }, Observation::Unresponsive),
            (gone.clone(), Observation::Stopped(Some(died))),
            (Evidence { started: false, ..gone.clone() }, Observation::Stopped(None)),
            (
                Evidence { host_rebooted: true, ..gone.clone() },
                Observation::Stopped(Some(Exit::HostRebooted)),
            ),
            (
                Evidence { farewell: Some(Exit::GuestPoweredOff), ..gone.clone() },
                Observation::Stopped(Some(Exit::GuestPoweredOff)),
            ),
            (Evidence { directory: false, ..gone }, Observation::Absent),
        ];
        for (evidence, expected) in cases {
            assert_eq!(evidence.judge(), expected, "{evidence:?}");
        }
    }
}
