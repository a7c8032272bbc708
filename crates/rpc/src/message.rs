//! What is said, in domain values. Times are Unix milliseconds on the sender's wall clock.

use std::collections::BTreeMap;
use std::time::Duration;

use nkudo_domain::{
    Action, ActionId, AgentId, CommandOutput, EndStatus, Outage, ProviderKind, ResourceUsage, SiteId,
    TenantId, VmId, VmName, VmState,
};

/// What an agent says of itself and its host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub hostname: String,
    pub version: String,
    pub labels: BTreeMap<String, String>,
}

/// Asks to be let in.
#[derive(Clone)]
pub struct Enrol {
    /// A secret.
    pub token: String,
    pub csr_pem: String,
    pub facts: Facts,
}

impl std::fmt::Debug for Enrol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrol").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Who the agent is from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    pub agent_id: AgentId,
    pub certificate: NewCertificate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    pub certificate_pem: String,
    pub ca_pem: String,
    pub expires_at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub sent_at_ms: i64,
    pub health: String,
    pub version: String,
    /// How far the agent's audit log is durable.
    pub audit_head: Option<nkudo_audit::Head>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    pub server_time_ms: i64,
    pub interval: Duration,
}

/// The agent's end of the link.
#[derive(Debug, Clone, PartialEq)]
pub enum FromAgent {
    Hello(AgentHello),
    Received {
        action_id: ActionId,
        answer: Answer,
    },
    Started {
        action_id: ActionId,
        at_ms: i64,
    },
    Result(Box<ActionResult>),
    Vms(VmReport),
    /// Steps that ended, as OTLP/JSON.
    Spans {
        otlp_json: Vec<u8>,
    },
    Goodbye {
        reason: String,
    },
    Logs(LogsAnswer),
    Outages(Outages),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentHello {
    pub facts: Facts,
    pub sent_at_ms: i64,
    pub outbox_id: String,
}

/// What the host does with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Refused(String),
    Expired,
    Cancelled,
    /// It has no room now, and says why.
    Busy(String),
}

/// The end of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionResult {
    pub seq: u64,
    pub action_id: ActionId,
    /// None when this end does not understand the body: it comes from a later version.
    pub action: Option<Action>,
    pub status: EndStatus,
    pub changed: Option<bool>,
    pub error: Option<String>,
    pub retries: u32,
    pub created_at_ms: i64,
    pub completed_at_ms: i64,
    pub execution: Option<ExecutionReport>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionReport {
    pub started_at_ms: i64,
    pub duration_ms: u64,
    pub usage: ResourceUsage,
    /// Of a command that was started.
    pub output: Option<CommandOutput>,
}

/// How VMs are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VmReport {
    /// These are all the VMs of the host, together with those of the other pieces of this report.
    pub complete: bool,
    /// Of a complete report: another piece of it comes next.
    pub more: bool,
    pub vms: Vec<VmStanding>,
    pub gone: Vec<VmId>,
    /// VMs of the report that this end does not understand: of a later version.
    pub not_understood: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmStanding {
    pub vm_id: VmId,
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

/// The control plane's end of the link.
#[derive(Debug, Clone, PartialEq)]
pub enum ToAgent {
    Hello(ServerHello),
    Deliver(Box<Delivery>),
    Cancel {
        action_id: ActionId,
    },
    /// Every result up to this one is recorded. The number is at most `i64::MAX`.
    Acknowledge {
        seq: u64,
    },
    Closing {
        retry_after: Duration,
    },
    AskLogs(LogsRequest),
    /// Every outage of this ledger up to this one is recorded.
    OutagesAcknowledged {
        ledger_id: String,
        seq: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHello {
    pub version: String,
    pub server_time_ms: i64,
    pub heartbeat_interval: Duration,
    /// The last result of the outbox that the host has named which is in the books; it may be less than was acknowledged, when
    /// a backup was put back. None of an earlier version.
    pub results_recorded: Option<u64>,
}

/// An action for the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub action_id: ActionId,
    /// The sentence says why this end does not understand it.
    pub action: Result<Action, String>,
    /// Of the control plane's clock.
    pub expires_at_ms: i64,
    pub cancel: bool,
    /// The host has said that it took it in.
    pub taken_in: bool,
}

/// Most lines of an answer of a host's log.
pub const LOG_LINES_MAX: usize = 500;
/// Most bytes of the lines of an answer; a single line that is longer, up to 3 MiB, comes alone.
pub const LOG_LINES_MAX_BYTES: usize = 512 << 10;

/// A question to the host's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsRequest {
    pub request_id: String,
    /// As of `GET /v1/logs`.
    pub parameters: BTreeMap<String, String>,
    /// From the cursor on; else newest first.
    pub oldest_first: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsAnswer {
    pub request_id: String,
    /// The sentence says why there is no answer.
    pub answered: Result<LogLines, String>,
}

/// Lines of a host's log. Cursors are the host's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLines {
    pub lines: Vec<String>,
    /// None when everything was looked through.
    pub next: Option<String>,
    pub end: String,
}

/// Most outages of one message.
pub const OUTAGES_MAX: usize = 64;

/// Outages that are over, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outages {
    /// Names the ledger that the numbers belong to.
    pub ledger_id: String,
    pub outages: Vec<(u64, Outage)>,
    /// The highest number that came, also where its outage was not understood.
    pub last_seq: u64,
    /// Outages that this end does not understand: of a later version.
    pub not_understood: u32,
}
