//! What is kept, as it is handed out. Times are Unix milliseconds.

use std::collections::BTreeMap;

use nkudo_audit::Head;
use nkudo_domain::{
    Action, ActionId, ActionStatus, ActionType, AgentId, CommandOutput, EndStatus, ExecutionStatus,
    OutageCause, ProviderKind, ResourceUsage, Role, SiteId, TenantId, TraceId, VmId, VmName, VmState,
};

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub key_id: String,
    pub tenant_id: TenantId,
    pub role: Role,
    /// SHA-256 of the secret.
    pub secret_digest: [u8; 32],
    pub created_at_ms: i64,
}

/// An enrolment token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    pub token_id: String,
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    /// SHA-256 of the secret.
    pub secret_digest: [u8; 32],
    pub uses: u32,
    /// How many of the uses are left.
    pub uses_left: u32,
    pub created_at_ms: i64,
    pub expires_at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRecord {
    pub site_id: SiteId,
    pub created_at_ms: i64,
}

/// What an agent says of itself and its host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub hostname: String,
    pub version: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRecord {
    pub agent_id: AgentId,
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    pub facts: Facts,
    pub enrolled_at_ms: i64,
    /// When it was last heard of, as far as that was flushed.
    pub last_seen_ms: Option<i64>,
    /// Why it said goodbye, when that was the last that was heard of it.
    pub goodbye: Option<String>,
    /// Of the certificate that expires last.
    pub certificate_expires_at_ms: i64,
    /// When it was unenrolled; such an agent is no longer listed.
    pub unenrolled_at_ms: Option<i64>,
}

/// How the control plane finds an agent when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStanding {
    pub agent_id: AgentId,
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    pub last_seen_ms: Option<i64>,
    pub goodbye: Option<String>,
    pub certificate_expires_at_ms: i64,
    /// The newest line of its audit log that was seen, as far as that was flushed.
    pub audit_head: Option<Head>,
}

/// A certificate that was issued to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Lower-case hexadecimal.
    pub serial: String,
    pub agent_id: AgentId,
    pub tenant_id: TenantId,
    pub issued_at_ms: i64,
    pub expires_at_ms: i64,
    pub revoked_at_ms: Option<i64>,
}

/// A new agent, to be let in by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    pub token_id: String,
    pub agent_id: AgentId,
    pub facts: Facts,
    pub serial: String,
    pub expires_at_ms: i64,
}

/// Whether an agent was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolled {
    Done,
    Refused(Refusal),
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Unknown,
    Used,
    Expired,
}

/// Who asked for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An operator, through the control plane.
    Fleet,
    /// Somebody on the host, or a restart policy; the control plane learned of it by its result.
    Host,
}

/// An action as the control plane knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRecord {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub action: Action,
    pub origin: Origin,
    pub status: ActionStatus,
    pub created_at_ms: i64,
    /// After this it is not started.
    pub expires_at_ms: i64,
    /// When it was first handed to the stream of its agent; from then on only the agent knows whether it ran.
    pub sent_at_ms: Option<i64>,
    pub cancel_asked: bool,
    pub started_at_ms: Option<i64>,
    pub completed_at_ms: Option<i64>,
    pub duration_ms: Option<u64>,
    pub changed: Option<bool>,
    pub error: Option<String>,
    pub retries: u32,
    /// Of a command that was started.
    pub output: Option<CommandOutput>,
}

/// The answer to an action that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    New,
    /// The same was asked before.
    Repeated(Box<ActionRecord>),
    /// The id was used for something else, or for another agent.
    Conflict,
    /// The tenant has no such agent.
    NoAgent,
    /// Too many actions of the agent have not ended.
    QueueFull,
    /// It makes a VM that this other agent of the tenant has, or is to make.
    VmElsewhere(AgentId),
}

/// The answer to the deletion of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteDeleted {
    Done,
    /// It has enrolled agents, or tokens that still let some in.
    InUse,
    Absent,
}

/// The answer to a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not been sent, and will not be.
    Done,
    /// Its agent has to be told.
    Asked(AgentId),
    /// The same, for the second time or a later one.
    AskedBefore(AgentId),
    AlreadyEnded,
    Unknown,
}

/// A microVM as its agent reported it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmRecord {
    pub vm_id: VmId,
    pub agent_id: AgentId,
    pub vm_name: VmName,
    pub state: VmState,
    pub reason: Option<String>,
    pub vcpus: u32,
    pub memory_bytes: u64,
    pub provider: ProviderKind,
    pub pid: Option<u32>,
    pub since_ms: i64,
    pub restarts: u64,
    pub labels: BTreeMap<String, String>,
}

/// The running of an action on a host, as its agent reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRecord {
    pub agent_id: AgentId,
    pub action_id: ActionId,
    pub action_type: ActionType,
    /// None where it is about no VM.
    pub vm_id: Option<VmId>,
    pub status: ExecutionStatus,
    pub started_at_ms: i64,
    pub completed_at_ms: i64,
    pub duration_ms: u64,
    pub error: Option<String>,
    pub retries: u32,
    pub usage: ResourceUsage,
    pub trace_id: Option<TraceId>,
}

/// The end of an action, as its agent reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// Its place in the agent's outbox.
    pub seq: u64,
    /// What was asked for; of an action that came from the host this is how the control plane learns of it.
    pub action: Action,
    pub status: EndStatus,
    pub changed: Option<bool>,
    pub error: Option<String>,
    pub retries: u32,
    pub created_at_ms: i64,
    pub completed_at_ms: i64,
    /// None when it never started.
    pub execution: Option<ExecutionRecord>,
    /// Of a command that was started.
    pub output: Option<CommandOutput>,
}

/// Ends of actions of one agent, in the order of their `seq`.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultBatch {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    /// Names the agent's journal: another one counts from 1 again.
    pub outbox_id: String,
    pub results: Vec<Reported>,
}

/// What became of a [`ResultBatch`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recorded {
    /// Every result up to this one is recorded, or recognised as a repetition.
    pub seq: u64,
    /// Actions that ended by it.
    pub ended: Vec<ActionRecord>,
    /// Actions of other agents that results were told of; nothing was recorded of these.
    pub of_others: Vec<ActionId>,
}

/// How much left the books because it was too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub actions: u64,
    pub executions: u64,
    pub certificates: u64,
    pub tokens: u64,
    /// Unenrolled ones.
    pub agents: u64,
}

/// Narrows a list of agents. Of unenrolled agents none is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentFilter {
    pub site_id: Option<SiteId>,
}

/// Narrows a list of VMs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VmFilter {
    pub agent_id: Option<AgentId>,
    pub state: Option<VmState>,
    pub vm_id: Option<VmId>,
}

/// Narrows a list of actions; times are of their creation, both bounds included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionFilter {
    pub agent_id: Option<AgentId>,
    pub status: Option<ActionStatus>,
    pub action_type: Option<ActionType>,
    pub vm_id: Option<VmId>,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// Narrows a list of executions; times are of their start, both bounds included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionFilter {
    pub agent_id: Option<AgentId>,
    pub status: Option<ExecutionStatus>,
    pub action_type: Option<ActionType>,
    pub vm_id: Option<VmId>,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// Outages of one agent that are kept.
pub const OUTAGES_MAX: u32 = 1_000;

/// Narrows a list of outages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutageFilter {
    pub cause: Option<OutageCause>,
    /// Only those that ended then or later.
    pub since_ms: Option<i64>,
    /// Only those that began then or earlier.
    pub until_ms: Option<i64>,
}

/// How much there is, over all tenants, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Enrolled and not unenrolled.
    pub agents: u64,
    /// Actions that have not ended.
    pub open_actions: u64,
}
