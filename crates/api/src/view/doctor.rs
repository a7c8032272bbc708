//! What of a host is not as its journal says.

use nkudo_domain::VmId;
use serde::{Deserialize, Serialize};

/// `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorView {
    /// Whether nothing is left to be done.
    pub ok: bool,
    /// Whether the daemon answered; else journal and host were read without it.
    pub daemon_running: bool,
    pub items: Vec<FindingView>,
    /// Findings beyond the bound, which are not told.
    pub left_out: u64,
    /// What was emptied out of the quarantine, where that was asked for.
    #[serde(default)]
    pub purged: Vec<String>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// A stable word, such as `orphan_directory`.
    pub kind: String,
    /// What is wrong, as a sentence.
    pub what: String,
    pub vm_id: Option<VmId>,
    pub path: Option<String>,
    pub pid: Option<u32>,
    /// What was seen.
    pub evidence: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether `doctor --fix` mends it.
    pub fixable: bool,
    /// What `--fix` does, or did, about it; null where it does nothing.
    pub fix: Option<String>,
    /// How it went; null where nothing was tried.
    pub fixed: Option<bool>,
    /// Where it is kept now.
    pub kept_as: Option<String>,
    /// Why it could not be mended.
    pub error: Option<String>,
}
