//! What an operator asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ActionId, SpanId, TraceId, VmId};
use crate::vm::{InvalidSpec, VmSpec, closed_set};

closed_set!(
    /// The kinds of action, by their name on the wire.
    ActionType, "an action type" {
        Create = "MicroVMCreate",
        Start = "MicroVMStart",
        Stop = "MicroVMStop",
        Delete = "MicroVMDelete",
        Pause = "MicroVMPause",
        Resume = "MicroVMResume",
        Snapshot = "MicroVMSnapshot",
        Restore = "MicroVMRestore",
        SnapshotDelete = "MicroVMSnapshotDelete",
        CommandExecute = "CommandExecute",
    }
);

closed_set!(
    /// Who asked for an action, as the host knows that took it in.
    #[derive(Default)]
    AskedBy, "who asked for an action" {
        /// It came over the link.
        ControlPlane = "control_plane",
        /// A program of this host, over the agent's socket.
        LocalSocket = "local_socket",
        /// A file that was applied without the daemon.
        File = "file",
        RestartPolicy = "restart_policy",
        /// It is nowhere taken in yet, or was by a version that did not say.
        #[default]
        Unknown = "unknown",
    }
);

/// An action with its parameters, every one checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    Create(CreateVm),
    Start(VmId),
    Stop(StopVm),
    Delete(DeleteVm),
    Pause(VmId),
    Resume(VmId),
    Execute(HostCommand),
}

/// What is done one after another: at most one action of a lane has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Vm(VmId),
    /// All commands of a host.
    Commands,
}

/// Make a VM, and boot it when `autostart` says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVm {
    pub spec: VmSpec,
    pub autostart: bool,
}

/// Ask the guest to power off; after `grace` force it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopVm {
    pub vm_id: VmId,
    pub grace: Duration,
}

/// Remove every trace of a VM; its disks only when asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVm {
    pub vm_id: VmId,
    pub delete_disks: bool,
}

/// Run a program of the host to its end, without a shell.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCommand {
    /// An absolute path on the host's allow-list.
    pub program: PathBuf,
    pub args: Vec<String>,
    /// From its start to its end; then it is ended with all that it has started.
    pub timeout: Duration,
    pub dir: PathBuf,
    /// All of its environment but `PATH`, which it has in any case.
    pub env: BTreeMap<String, String>,
}

/// Arguments and environment may be secrets.
impl fmt::Debug for HostCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, args, timeout, dir, env } = self;
        f.debug_struct("HostCommand")
            .field("program", program)
            .field("args", &format_args!("{} not shown", args.len()))
            .field("timeout", timeout)
            .field("dir", dir)
            .field("env", &format_args!("{} not shown", env.len()))
            .finish()
    }
}

impl Request {
    pub fn action_type(&self) -> ActionType {
        match self {
            Self::Create(_) => ActionType::Create,
            Self::Start(_) => ActionType::Start,
            Self::Stop(_) => ActionType::Stop,
            Self::Delete(_) => ActionType::Delete,
            Self::Pause(_) => ActionType::Pause,
            Self::Resume(_) => ActionType::Resume,
            Self::Execute(_) => ActionType::CommandExecute,
        }
    }

    /// Among what it waits for its turn.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Create(create) => Lane::Vm(create.spec.vm_id),
            Self::Stop(stop) => Lane::Vm(stop.vm_id),
            Self::Delete(delete) => Lane::Vm(delete.vm_id),
            Self::Start(vm_id) | Self::Pause(vm_id) | Self::Resume(vm_id) => Lane::Vm(*vm_id),
            Self::Execute(_) => Lane::Commands,
        }
    }

    /// The VM it is about; a command is about none.
    pub fn vm_id(&self) -> Option<VmId> {
        match self.lane() {
            Lane::Vm(vm_id) => Some(vm_id),
            Lane::Commands => None,
        }
    }

    /// The program of a command.
    pub fn program(&self) -> Option<&Path> {
        match self {
            Self::Execute(command) => Some(&command.program),
            Self::Create(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Delete(_)
            | Self::Pause(_)
            | Self::Resume(_) => None,
        }
    }

    /// How long it may take from admission to its end when nobody said.
    pub fn default_timeout(&self) -> Duration {
        match self {
            Self::Create(_) => Duration::from_secs(120),
            Self::Start(_) | Self::Delete(_) => Duration::from_secs(60),
            Self::Stop(stop) => stop.grace + Duration::from_secs(30),
            Self::Pause(_) | Self::Resume(_) => Duration::from_secs(30),
            // It may wait for others of its lane first.
            Self::Execute(command) => (command.timeout + Duration::from_secs(60)).min(TIMEOUT_MAX),
        }
    }
}

/// The longest time that an action may be given.
pub const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// One request with the name by which it is asked for once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub action_id: ActionId,
    pub request: Request,
    /// From admission on the host to its end.
    pub timeout: Duration,
    pub trace_id: Option<TraceId>,
    /// The span of that trace which brought it here: spans of what is done for it hang below that one. Stored with the
    /// action, so that this holds after a restart as well.
    pub parent_span_id: Option<SpanId>,
    /// The `x-request-id` of the call that brought it.
    pub correlation_id: Option<String>,
    /// Set by whoever takes it in on its host.
    #[serde(default)]
    pub asked_by: AskedBy,
    /// From admission on the host to its start; after that it is not started any more. Set by whoever takes it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within: Option<Duration>,
}

impl Action {
    /// Whether both ask for the same, so that the second is a repetition of the first. The trace, the
    /// correlation and the caller of a repeated call are its own and do not count.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.action_id == other.action_id && self.request == other.request && self.timeout == other.timeout
    }
}
