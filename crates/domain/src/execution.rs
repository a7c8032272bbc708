//! The running of an action on a host, and its end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::action::ActionType;
use crate::ids::{ActionId, TraceId, VmId};
use crate::vm::{InvalidSpec, closed_set};

closed_set!(
    /// How an execution stands.
    ExecutionStatus, "an execution's status" {
        Running = "running",
        Success = "success",
        Failure = "failure",
        Cancelled = "cancelled",
    }
);

closed_set!(
    /// How an action stands.
    ActionStatus, "an action's status" {
        /// Admitted; it waits for its turn.
        Queued = "queued",
        /// Handed to its host.
        Delivered = "delivered",
        Running = "running",
        Success = "success",
        Failure = "failure",
        Cancelled = "cancelled",
        /// Too old to be started.
        Expired = "expired",
    }
);

closed_set!(
    /// How an action has ended: those of [`ActionStatus`] that nothing follows.
    EndStatus, "how an action has ended" {
        Success = "success",
        Failure = "failure",
        Cancelled = "cancelled",
        Expired = "expired",
    }
);

impl From<EndStatus> for ActionStatus {
    fn from(end: EndStatus) -> Self {
        match end {
            EndStatus::Success => Self::Success,
            EndStatus::Failure => Self::Failure,
            EndStatus::Cancelled => Self::Cancelled,
            EndStatus::Expired => Self::Expired,
        }
    }
}

/// The end of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It holds now; `changed` is false when it held before.
    Success {
        changed: bool,
    },
    Failure {
        error: String,
    },
    /// Cancelled on request, before or after its start.
    Cancelled,
    /// Its turn came when it was too old to be started; nothing of it was done.
    Expired,
}

impl Outcome {
    /// The execution status that this outcome gives.
    pub fn status(&self) -> ExecutionStatus {
        match self {
            Self::Success { .. } => ExecutionStatus::Success,
            // One that expired was never run, and has no execution.
            Self::Failure { .. } | Self::Expired => ExecutionStatus::Failure,
            Self::Cancelled => ExecutionStatus::Cancelled,
        }
    }

    /// The same among the ends of actions.
    pub fn end(&self) -> EndStatus {
        match self {
            Self::Success { .. } => EndStatus::Success,
            Self::Failure { .. } => EndStatus::Failure,
            Self::Cancelled => EndStatus::Cancelled,
            Self::Expired => EndStatus::Expired,
        }
    }

    /// What went wrong, for people.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failure { error } => Some(error),
            Self::Expired => Some("it expired before its turn came"),
            Self::Success { .. } | Self::Cancelled => None,
        }
    }

    /// Whether it altered anything; false for what did not succeed.
    pub fn changed(&self) -> bool {
        matches!(self, Self::Success { changed: true })
    }
}

/// What the processes that did the work used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// Mean over the execution; 100 is one core.
    pub cpu_percent: f64,
    /// Peak resident memory, in bytes.
    pub memory_bytes: u64,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommandOutput {
    /// None where it did not exit by itself.
    pub exit_code: Option<i32>,
    /// What it wrote, as far as it was kept. What is not UTF-8 is replaced.
    pub stdout: String,
    pub stderr: String,
    /// It wrote more than is here.
    pub truncated: bool,
}

impl CommandOutput {
    /// The most that is kept of each of the two texts, in bytes.
    pub const TEXT_MAX_BYTES: usize = 32 << 10;
    /// The most that is shown of each in a list of actions, in bytes.
    pub const LISTED_MAX_BYTES: usize = 1 << 10;

    /// The same with texts that are not longer than they may be.
    #[must_use]
    pub fn bounded(self) -> Self {
        self.cut(Self::TEXT_MAX_BYTES)
    }

    /// The same with texts of at most so many bytes each.
    #[must_use]
    pub fn cut(mut self, text_bytes_max: usize) -> Self {
        for text in [&mut self.stdout, &mut self.stderr] {
            self.truncated |= text.len() > text_bytes_max;
            text.truncate(text.floor_char_boundary(text_bytes_max));
        }
        self
    }

    /// Bytes of text.
    pub fn len(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets go of the text.
    pub fn forget(&mut self) {
        self.truncated |= !self.is_empty();
        self.stdout = String::new();
        self.stderr = String::new();
    }
}

/// The running of an action on a host, retries counted in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub action_id: ActionId,
    pub action_type: ActionType,
    /// None where it is about no VM.
    pub vm_id: Option<VmId>,
    /// Unix time in milliseconds.
    pub started_at_ms: i64,
    /// Unix time in milliseconds; none while it runs.
    pub completed_at_ms: Option<i64>,
    /// Measured on the monotonic clock; none while it runs.
    pub duration_ms: Option<u64>,
    pub status: ExecutionStatus,
    pub error: Option<String>,
    /// Attempts after the first.
    pub retries: u32,
    pub usage: ResourceUsage,
    pub trace_id: Option<TraceId>,
    /// Of a command that was run to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<CommandOutput>>,
}
