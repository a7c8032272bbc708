//! What goes into a step and what comes out.

use std::sync::Arc;
use std::time::Duration;

use nkudo_domain::{
    Action, ActionId, AgentId, CommandOutput, Deed, Execution, Exit, HostCommand, Observation, Outcome,
    ProviderKind, ResourceUsage, VmId, VmName, VmSpec,
};

use crate::record::Record;

/// Numbers the records of one run of the program, from 1.
pub type Seq = u64;

/// Names a caller that waits for an answer.
pub type Ticket = u64;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// An action is asked for.
    Submit { ticket: Ticket, action: Box<Action> },
    /// An action is to be cancelled.
    Cancel { ticket: Ticket, action_id: ActionId },
    /// Every record up to this one is durable.
    Persisted(Seq),
    /// A deed of [`Effect::Perform`] has ended.
    DeedEnded { action_id: ActionId, attempt: u32, report: DeedReport },
    /// The command of [`Effect::Execute`] has ended, with all that it had started.
    CommandEnded { action_id: ActionId, report: CommandReport },
    /// The process of a VM has ended.
    VmEnded { vm_id: VmId, incarnation: u64, exit: Exit },
    /// VMs that are taken to run are to be looked at: a process may hang, and others may steer it.
    Probe,
    /// The answer to [`Effect::Observe`].
    VmObserved { vm_id: VmId, observation: Observation },
    /// The host was looked over, once, after the records were replayed.
    Recovered { found: Vec<Found> },
    /// Every result up to this one is known where it was to be told. One that was never told proves that records were lost:
    /// the numbers begin anew under another name.
    Acknowledged { seq: u64 },
    /// As which agent the host tells of results, if it does; then none is forgotten before it is acknowledged. As
    /// another agent than before it tells nothing of what it had taken in by then.
    ReportAs(Option<AgentId>),
    /// No action is admitted or begun from here on. What has begun goes to its end; its failures are not retried.
    Stop,
    /// Time has passed.
    Tick,
}

/// How a deed ended, and what is so after it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeedReport {
    pub result: Result<(), DeedFailure>,
    /// What was found on the host after the deed.
    pub observation: Observation,
    pub usage: ResourceUsage,
    /// Evenly drawn from 0 to 999; spreads retries.
    pub jitter_permille: u16,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandReport {
    pub end: CommandEnd,
    /// Of one that was started.
    pub output: Option<CommandOutput>,
    pub usage: ResourceUsage,
}

/// The ends of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEnd {
    /// With this status.
    Exited(i32),
    /// By a signal that somebody else sent.
    Killed {
        signal: Option<i32>,
    },
    /// [`Effect::Interrupt`] reached it first.
    Interrupted,
    /// Some of its processes were to be ended and are still there.
    Stuck {
        pids: Vec<u32>,
    },
    NotStarted {
        error: String,
    },
}

/// Why a deed did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeedFailure {
    /// [`Effect::Interrupt`] reached it first.
    Interrupted,
    Failed {
        error: String,
        /// The same may succeed a little later with nothing changed.
        transient: bool,
    },
}

/// One VM of which something was found on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub vm_id: VmId,
    pub provider: ProviderKind,
    /// The specification its run directory holds.
    pub spec: Option<VmSpec>,
    pub observation: Observation,
}

/// What a provider is to do, with all it needs for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    pub spec: Arc<VmSpec>,
    pub provider: ProviderKind,
    pub deed: Deed,
    /// First remove what an earlier attempt may have left: of a create everything, of a boot the process.
    pub afresh: bool,
    /// Of a create: boot it too.
    pub autostart: bool,
    /// Of a power-off.
    pub grace: Duration,
    /// Of a delete.
    pub delete_disks: bool,
}

/// Something is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append the record to the journal, and tell when it is durable.
    Persist { seq: Seq, record: Box<Record> },
    /// The answer to a submit.
    Admitted { ticket: Ticket, admission: Admission },
    /// The answer to a cancel.
    Cancelling { ticket: Ticket, answer: CancelAnswer },
    /// Perform a deed and report its end.
    Perform { action_id: ActionId, attempt: u32, work: Box<Work> },
    /// Run a command and report its end. It is asked for once, whatever becomes of it.
    Execute { action_id: ActionId, command: Box<HostCommand> },
    /// Drop the deed of this action where it stands, or end its command with all that it has started, and report.
    Interrupt { action_id: ActionId },
    /// Wait for the end of the VM's process, and tell.
    Watch { vm_id: VmId, incarnation: u64, provider: ProviderKind },
    /// Look how the VM is, and tell.
    Observe { vm_id: VmId, provider: ProviderKind },
    /// An action has begun.
    Started { execution: Box<Execution> },
    /// An action has ended, durably. Without an execution it never started.
    Ended { action: Box<Action>, outcome: Outcome, execution: Option<Box<Execution>> },
    /// A VM is there or is in another state.
    VmChanged { vm_id: VmId },
    /// A VM is no more.
    VmGone { vm_id: VmId, vm_name: VmName },
    /// Results are told as another agent from here on; so many that were owed to the former one are never told.
    ReporterChanged { given_up: usize },
    /// A VM that was running before the program started is taken over.
    Adopted { vm_id: VmId },
}

/// The answer to a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Taken in; durable.
    New,
    /// The same was asked before; its state is the answer.
    Repeated,
    /// The id was used for something else.
    Conflict,
    /// Too many are waiting.
    QueueFull,
    /// Too many results must be kept.
    ResultsFull,
    /// Too many commands are waiting.
    CommandsFull,
    /// Too much of what commands wrote is owed to somebody.
    OutputsFull,
    /// Too little space for records; the tracker's caller says so before it asks the tracker.
    DiskFull,
    /// There is no room to put it on record; said as the one before.
    AuditFull,
    /// It cannot be put on record; said as the one before.
    AuditBroken,
    /// It was begun, and the records of it are lost; said as the one before.
    RecordLost,
    /// The program is about to end.
    Stopping,
}

/// Whether an action that is delivered is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    No,
    /// It was delivered before.
    Same,
    /// Its id is that of another action, or of one that was taken in as another agent.
    AsAnother,
}

/// The answer to a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAnswer {
    Cancelling,
    AlreadyEnded,
    Unknown,
}
