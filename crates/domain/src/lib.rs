//! The nouns of nkudo and their legal transitions.
//!
//! An [`Action`] is asked for; an [`Execution`] is the running of it on a host; an *attempt* is one try; an
//! [`Outcome`] is its end. What an action means for a microVM in a given state is decided in one place,
//! [`verdict`], which is the contract's table of actions by states.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws a random number.
//! **Invariant:** a value of one of these types is valid: names, ids and sizes are checked where they are made.

mod action;
mod evidence;
mod execution;
mod fleet;
mod ids;
mod lifecycle;
mod outage;
mod vm;

pub use action::{
    Action, ActionType, AskedBy, CreateVm, DeleteVm, HostCommand, Lane, Request, StopVm, TIMEOUT_MAX,
};
pub use evidence::{Evidence, Exit, Monitor, Observation};
pub use execution::{
    ActionStatus, CommandOutput, EndStatus, Execution, ExecutionStatus, Outcome, ResourceUsage,
};
pub use fleet::{AgentId, DEFAULT_NAME, Presence, Role, SiteId, TenantId};
pub use ids::{ActionId, InvalidId, SpanId, TraceId, VmId, VmName};
pub use lifecycle::{Deed, Refusal, Verdict, verdict};
pub use outage::{Outage, OutageCause};
pub use vm::{
    Console, Disk, DiskFormat, InvalidSpec, MEMORY_BYTES_MIN, Machine, Nic, PATH_MAX_BYTES, ProviderKind,
    RestartPolicy, VCPUS_MAX, VmSpec, VmState, labels_fit,
};
