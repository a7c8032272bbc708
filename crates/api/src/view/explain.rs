//! Why a VM is as it is: what the journal says of it, what the host says, and what follows.

use nkudo_domain::{RestartPolicy, VmId, VmName, VmSpec, VmState};
use serde::{Deserialize, Serialize};

use super::ActionView;
use crate::time::WallTime;

/// `explain vm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainView {
    pub vm_id: VmId,
    /// Null where neither the journal nor the host tells it.
    pub vm_name: Option<VmName>,
    /// Whether the daemon answered; else this is read from the journal and the host.
    pub daemon_running: bool,
    /// What follows from the evidence: `running`, `paused`, `stopped`, `unresponsive` or `absent`.
    pub found: String,
    /// Why that follows.
    pub why: String,
    /// Whether what was found is what the journal says.
    pub agrees: bool,
    /// What the agent does next, if nobody asks for anything.
    pub next: String,
    /// What the user can do; null where there is nothing to be done.
    pub remedy: Option<String>,
    /// Null where the journal does not know the VM.
    pub journal: Option<JournalView>,
    /// What was looked at, in the order in which it is best read.
    pub evidence: Vec<FactView>,
    /// What its hypervisor told last, the newest at the end.
    pub events: Vec<VmEventView>,
    /// Why the journal may know more than it says here; null where all of it could be read.
    pub unread: Option<String>,
}

/// A VM as the journal knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalView {
    pub state: VmState,
    pub reason: Option<String>,
    pub since: WallTime,
    pub restart_policy: RestartPolicy,
    /// Starts by its restart policy.
    pub restarts: u64,
    pub spec: VmSpec,
    /// The newest action that ended, with its outcome; null when none is remembered.
    pub last_action: Option<ActionView>,
    /// Actions that have not ended, in the order in which they were asked for.
    pub open_actions: Vec<ActionView>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactView {
    /// A stable word: `directory`, `lock`, `record`, `pid`, `uuid`, `boot`, `process`, `socket`, `monitor`, `end`,
    /// `console`; of a simulated VM `deeds`.
    pub name: String,
    /// Whether it is as it is with a VM that lives; null where that says nothing either way.
    pub holds: Option<bool>,
    /// What was seen, or the exact error.
    pub detail: String,
}

/// Something that a hypervisor told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmEventView {
    pub at: WallTime,
    pub event: String,
    pub reason: Option<String>,
}
