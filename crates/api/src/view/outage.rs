//! Why an agent was away.

use nkudo_domain::{Outage, OutageCause};
use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// An outage, over or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageView {
    pub cause: OutageCause,
    /// What the cause was seen by, for people.
    pub evidence: String,
    /// Of the host's clock.
    pub began_at: WallTime,
    /// Null while it lasts.
    pub ended_at: Option<WallTime>,
    /// So far, while it lasts. However the clock was set meanwhile.
    pub duration_ms: u64,
    /// The host booted meanwhile: the duration is only as good as its clock.
    pub by_wall_clock: bool,
    /// Tries to reach the control plane that failed.
    pub failures: u32,
}

impl From<Outage> for OutageView {
    fn from(outage: Outage) -> Self {
        let Outage { cause, evidence, began_at_ms, ended_at_ms, duration_ms, by_wall_clock, failures } =
            outage;
        Self {
            cause,
            evidence,
            began_at: WallTime(began_at_ms),
            ended_at: Some(WallTime(ended_at_ms)),
            duration_ms,
            by_wall_clock,
            failures,
        }
    }
}

impl OutageView {
    /// One that lasts.
    pub fn lasting(so_far: Outage) -> Self {
        Self { ended_at: None, ..so_far.into() }
    }
}
