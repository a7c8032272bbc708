//! What the two probes are asked.

use std::fmt;
use std::sync::Arc;

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// 200, or else 503.
    pub ok: bool,
    /// A line of plain text.
    pub body: String,
}

/// A question that is answered from memory, at once.
pub type Probe = Arc<dyn Fn() -> ProbeAnswer + Send + Sync>;

/// The questions behind `/healthz` (should this be restarted?) and `/readyz` (should it be sent work?).
#[derive(Clone)]
pub struct Probes {
    pub health: Probe,
    pub ready: Probe,
}

/// The answers of this moment.
impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("health", &(self.health)()).field("ready", &(self.ready)()).finish()
    }
}
