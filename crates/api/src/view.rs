//! What goes out as JSON. Keys may be added; those that are here stay.

pub mod doctor;
pub mod explain;
pub mod fleet;
pub mod history;
pub mod outage;
pub mod trace;

use std::collections::BTreeMap;

use nkudo_domain::{
    ActionId, ActionStatus, ActionType, CommandOutput, Execution, ExecutionStatus, ProviderKind,
    ResourceUsage, TraceId, VmId, VmName, VmState,
};
use serde::{Deserialize, Serialize};

use self::outage::OutageView;
use crate::time::WallTime;

/// A list, page by page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    pub items: Vec<T>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list of one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// The answer to an action that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub action_id: ActionId,
}

/// An action and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionView {
    pub action_id: ActionId,
    pub plan_id: Option<String>,
    pub agent_id: Option<String>,
    pub action_type: ActionType,
    pub status: ActionStatus,
    /// Why one that is queued does not reach its host.
    pub waiting_for: Option<String>,
    pub changed: Option<bool>,
    pub error: Option<String>,
    pub result: Option<serde_json::Value>,
    pub retries: u32,
    pub created_at: WallTime,
    pub started_at: Option<WallTime>,
    pub completed_at: Option<WallTime>,
    pub duration_ms: Option<u64>,
    pub trace_id: Option<TraceId>,
    /// Null where it is about no VM.
    pub vm_id: Option<VmId>,
}

/// The `result` of a command that was started: `exit_code`, `stdout`, `stderr`, `truncated`.
pub fn command_result(output: &CommandOutput) -> serde_json::Value {
    let CommandOutput { exit_code, stdout, stderr, truncated } = output;
    serde_json::json!({ "exit_code": exit_code, "stdout": stdout, "stderr": stderr, "truncated": truncated })
}

/// One line of `apply --output json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeLine {
    pub action_id: ActionId,
    pub action_type: ActionType,
    pub status: ActionStatus,
    pub changed: bool,
    pub duration_ms: u64,
    pub error: Option<String>,
    pub result: Option<serde_json::Value>,
}

impl From<ActionView> for OutcomeLine {
    fn from(action: ActionView) -> Self {
        Self {
            action_id: action.action_id,
            action_type: action.action_type,
            status: action.status,
            changed: action.changed.unwrap_or(false),
            duration_ms: action.duration_ms.unwrap_or(0),
            error: action.error,
            result: action.result,
        }
    }
}

/// A microVM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmView {
    pub vm_id: VmId,
    pub vm_name: VmName,
    pub agent_id: Option<String>,
    pub state: VmState,
    /// Why it is in this state, where that is not plain.
    pub reason: Option<String>,
    pub vcpus: u32,
    pub memory_bytes: u64,
    pub provider: ProviderKind,
    /// The process that is the VM.
    pub pid: Option<u32>,
    /// When it came into this state.
    pub since: WallTime,
    /// Starts by its restart policy.
    pub restarts: u64,
    pub labels: BTreeMap<String, String>,
}

/// The running of an action on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionView {
    /// Null on the host itself.
    #[serde(default)]
    pub agent_id: Option<String>,
    pub action_id: ActionId,
    pub action_type: ActionType,
    pub started_at: WallTime,
    pub completed_at: Option<WallTime>,
    pub duration_ms: Option<u64>,
    pub status: ExecutionStatus,
    pub error: Option<String>,
    pub retries: u32,
    pub resource_usage: ResourceUsage,
    /// Null where it is about no VM.
    pub vm_id: Option<VmId>,
    pub trace_id: Option<TraceId>,
}

impl From<&Execution> for ExecutionView {
    fn from(execution: &Execution) -> Self {
        Self {
            agent_id: None,
            action_id: execution.action_id.clone(),
            action_type: execution.action_type,
            started_at: WallTime(execution.started_at_ms),
            completed_at: execution.completed_at_ms.map(WallTime),
            duration_ms: execution.duration_ms,
            status: execution.status,
            error: execution.error.clone(),
            retries: execution.retries,
            resource_usage: execution.usage,
            vm_id: execution.vm_id,
            trace_id: execution.trace_id,
        }
    }
}

/// What is kept of the executions of one action type beyond the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateView {
    pub action_type: ActionType,
    pub success: u64,
    pub failure: u64,
    pub cancelled: u64,
    /// Successes over all; null where there is none.
    pub success_rate: Option<f64>,
    pub p50_ms: Option<u64>,
    pub p90_ms: Option<u64>,
    pub p99_ms: Option<u64>,
}

/// `edge-state.json`: a projection of the journal for readers outside; nothing is restored from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateFile {
    pub version: u32,
    pub written_at: WallTime,
    /// Names the series of results that the executions belong to; names of later series sort after it.
    #[serde(default)]
    pub outbox_id: String,
    /// Actions that have not begun.
    #[serde(default)]
    pub queue_depth: u64,
    pub vms: Vec<VmView>,
    /// Oldest first.
    pub executions: Vec<ExecutionView>,
    pub aggregates: Vec<AggregateView>,
}

impl StateFile {
    /// The version written now. A file of another version is not read.
    pub const VERSION: u32 = 1;
}

/// `status`: what the agent is and how it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    pub enrolled: bool,
    pub tenant_id: Option<String>,
    pub site_id: Option<String>,
    pub agent_id: Option<String>,
    pub certificate: CertificateView,
    pub connection: ConnectionView,
    pub vms: BTreeMap<VmState, u64>,
    pub queue_depth: u64,
    /// Whether the daemon answered.
    pub daemon_running: bool,
    /// The outage that lasts, or else the last one; null where there was none. A stop that was wanted is none.
    #[serde(default)]
    pub last_outage: Option<OutageView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateView {
    pub expires_at: Option<WallTime>,
    pub days_remaining: Option<i64>,
    pub valid: bool,
}

/// How old the last heartbeat is, in words and in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionView {
    pub state: ConnectionState,
    pub last_heartbeat_at: Option<WallTime>,
    pub age_seconds: Option<u64>,
    /// Why there is none, as far as that is known.
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    Connected,
    Degraded,
    Disconnected,
}

impl ConnectionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Degraded => "degraded",
            Self::Disconnected => "disconnected",
        }
    }
}

/// `check`: whether this host can run microVMs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    pub ok: bool,
    pub checks: Vec<CheckLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    pub name: String,
    pub status: CheckStatus,
    pub detail: String,
    /// What to do about it; null where it passed.
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Pass,
    Warn,
    Fail,
}

/// Health of the agent and its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    pub health: String,
    pub components: Vec<ComponentView>,
}

/// Health of a host's agent and its parts, and why it was away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHealthView {
    pub health: String,
    /// Whether the daemon answered; without it nothing is known of the parts.
    pub daemon_running: bool,
    pub components: Vec<ComponentView>,
    /// The last first.
    pub outages: Vec<OutageView>,
}

/// `health --since`: how it is, and what changed, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSinceView {
    #[serde(flatten)]
    pub now: HostHealthView,
    #[serde(flatten)]
    pub changes: List<HealthChangeView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentView {
    pub component: String,
    pub health: String,
    pub reason: Option<String>,
    pub since: WallTime,
    pub restarts: u64,
}

/// A change of health, for `health --since`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChangeView {
    pub at: WallTime,
    pub component: String,
    pub health: String,
    pub reason: Option<String>,
}

/// `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    pub version: String,
    pub commit: String,
    pub profile: String,
}

/// The level of the log, to be read or set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLevelView {
    pub level: String,
}

/// One sample of a metric, for `metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleView {
    /// As it is exposed, `_bucket`, `_sum` and `_count` included.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Null where it is not a number that JSON knows.
    pub value: Option<f64>,
}
