//! Why an agent was away, and for how long.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::vm::{InvalidSpec, closed_set};

closed_set!(
    /// What kept an agent from its control plane. `nkudo_fleet` has the rules by which it is found.
    OutageCause, "a cause of an outage" {
        /// The network: no name, no route, no answer.
        Link = "link",
        /// The control plane was reached and does not serve.
        ControlPlane = "control_plane",
        /// One end does not take the certificate of the other, or the host has none that can be read.
        Credentials = "credentials",
        /// The host slept.
        Suspend = "suspend",
        /// The wall clock was set; nobody was away, but times before and after do not fit.
        ClockStep = "clock_step",
        /// The agent ended without being asked to, or a part of it did.
        Crash = "crash",
        /// The host went down with the agent running: a loss of power, a reset, a crash of the kernel.
        Reboot = "reboot",
        /// Somebody ended the agent.
        Stopped = "stopped",
    }
);

impl OutageCause {
    /// Whether something is to be mended; a stop was wanted.
    pub fn is_fault(self) -> bool {
        self != Self::Stopped
    }
}

/// Some time for which an agent was away, and why. Times are Unix milliseconds of the host's wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    pub cause: OutageCause,
    /// What the cause was seen by, for people: the words of the last failure of that cause.
    pub evidence: String,
    pub began_at_ms: i64,
    pub ended_at_ms: i64,
    /// However the wall clock was set meanwhile, with the time of a suspended host.
    pub duration_ms: u64,
    /// The host booted meanwhile: the duration is a difference of the wall clock, for want of a better one.
    pub by_wall_clock: bool,
    /// Tries to reach the control plane that failed.
    pub failures: u32,
}
