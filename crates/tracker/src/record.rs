//! What the journal holds. Replayed in order, records give the tracker its state back.

use nkudo_domain::{Action, ActionId, ActionType, AgentId, Execution, Outcome, VmId, VmName};
use serde::{Deserialize, Serialize};

use crate::history::Aggregate;
use crate::vms::Vm;

/// A point in time that can be compared after a restart of the program, and of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub wall_ms: i64,
    pub boottime_ms: u64,
    /// The boot that `boottime_ms` counts from.
    pub boot: u64,
}

/// How a VM is from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum VmChange {
    Is(Box<Vm>),
    Gone { vm_id: VmId, vm_name: VmName },
}

/// One durable fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// An action was admitted.
    Accepted {
        action: Box<Action>,
        admitted: Stamp,
        /// While the host reported as another agent than the one of the records before.
        #[serde(default)]
        foreign: bool,
    },
    /// A deed is about to be done: the intent.
    Started { execution: Box<Execution>, vm: Option<VmChange> },
    /// An action ended. Without an execution it never started.
    Ended {
        action_id: ActionId,
        outcome: Outcome,
        at_ms: i64,
        execution: Option<Box<Execution>>,
        /// Its execution has left the history and is in the aggregates.
        #[serde(default)]
        rolled: bool,
        /// Its place among the results that are told elsewhere; 0 in records of versions that told nobody.
        #[serde(default)]
        seq: u64,
        vm: Option<VmChange>,
    },
    /// A VM changed by itself.
    Vm(VmChange),
    /// The series of numbers that results have from here on.
    Outbox {
        id: String,
        last: u64,
        acknowledged: u64,
        #[serde(default)]
        reporter: Option<AgentId>,
    },
    /// Every result up to this one was acknowledged.
    Acknowledged { seq: u64 },
    /// What left the history, by action type; replaces what was recorded of it before.
    Aggregates(Vec<(ActionType, Aggregate)>),
}
