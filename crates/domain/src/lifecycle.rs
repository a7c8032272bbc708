//! What an action means for a VM in a given state: the contract's table, here and nowhere else.

use std::fmt;
use std::path::PathBuf;

use crate::action::ActionType;
use crate::ids::{VmId, VmName};
use crate::vm::VmState;

/// What a provider is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Prepare a VM that was not there; boot it too when the create says so.
    Create,
    Boot,
    /// Ask the guest to power off, and force it after the grace time.
    PowerOff,
    /// End the VM's process without asking the guest.
    ForceOff,
    /// No process is wanted any more: end what may be left of it.
    SettleStopped,
    Pause,
    Resume,
    Delete,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It already holds: success with `changed: false`.
    Unchanged,
    Perform(Deed),
    /// A wrong state.
    Refuse,
}

/// The table of actions by states for a VM that exists. Create is judged by the specification as well and is
/// not in the table: it never reaches a VM that exists.
pub fn verdict(action_type: ActionType, state: VmState) -> Verdict {
    use ActionType as A;
    use Verdict::{Perform, Refuse, Unchanged};
    use VmState as S;
    match (action_type, state) {
        (A::Start, S::Running) => Unchanged,
        (A::Start, S::Stopped | S::Failed) => Perform(Deed::Boot),
        (A::Start, S::Paused | S::Unknown | S::Creating) => Refuse,

        (A::Stop, S::Running) => Perform(Deed::PowerOff),
        (A::Stop, S::Paused) => Perform(Deed::ForceOff),
        (A::Stop, S::Stopped) => Unchanged,
        (A::Stop, S::Failed | S::Unknown) => Perform(Deed::SettleStopped),
        (A::Stop, S::Creating) => Refuse,

        (A::Pause, S::Running) => Perform(Deed::Pause),
        (A::Pause, S::Paused) => Unchanged,
        (A::Pause, S::Stopped | S::Failed | S::Unknown | S::Creating) => Refuse,

        (A::Resume, S::Running) => Unchanged,
        (A::Resume, S::Paused) => Perform(Deed::Resume),
        (A::Resume, S::Stopped | S::Failed | S::Unknown | S::Creating) => Refuse,

        (A::Delete, S::Running | S::Paused | S::Stopped | S::Failed | S::Unknown | S::Creating) => {
            Perform(Deed::Delete)
        }

        (A::Create | A::Snapshot | A::Restore | A::SnapshotDelete | A::CommandExecute, _) => Refuse,
    }
}

/// Why a request cannot be carried out, as its user reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    WrongState {
        action_type: ActionType,
        vm_name: VmName,
        state: VmState,
    },
    UnknownVm {
        action_type: ActionType,
        vm_id: VmId,
    },
    OtherSpec {
        vm_name: VmName,
    },
    NameTaken {
        vm_name: VmName,
    },
    /// The host's operator has not allowed this program.
    NotAllowed {
        program: PathBuf,
    },
    /// A disk to be removed with its VM belongs to another one as well.
    SharedDisk {
        vm_name: VmName,
        disk: PathBuf,
        other: VmName,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongState { action_type, vm_name, state } => {
                write!(f, "cannot {} vm {vm_name}: it is {state}", verb(*action_type))
            }
            Self::UnknownVm { action_type, vm_id } => {
                write!(f, "cannot {} vm {vm_id}: no such vm on this host", verb(*action_type))
            }
            Self::OtherSpec { vm_name } => write!(
                f,
                "cannot create vm {vm_name}: it exists with another specification; delete it first or use another vm_id"
            ),
            Self::SharedDisk { vm_name, disk, other } => write!(
                f,
                "cannot delete vm {vm_name} with its disks: {} is a disk of vm {other} too; delete it without delete_disks",
                disk.display()
            ),
            Self::NotAllowed { program } => write!(
                f,
                "cannot execute {}: it is not on this host's allow-list; its operator can add it to commands.allow",
                program.display()
            ),
            Self::NameTaken { vm_name } => {
                write!(
                    f,
                    "cannot create vm {vm_name}: another vm on this host has that name; take another one"
                )
            }
        }
    }
}

fn verb(action_type: ActionType) -> &'static str {
    match action_type {
        ActionType::Create => "create",
        ActionType::Start => "start",
        ActionType::Stop => "stop",
        ActionType::Delete => "delete",
        ActionType::Pause => "pause",
        ActionType::Resume => "resume",
        ActionType::Snapshot => "snapshot",
        ActionType::Restore => "restore",
        ActionType::SnapshotDelete => "delete a snapshot of",
        ActionType::CommandExecute => "execute a command on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's table, row by row: running, paused, stopped, failed, unknown.
    #[test]
    fn the_table_is_the_contract() {
        use Deed::{Boot, Delete, ForceOff, Pause, PowerOff, Resume, SettleStopped};
        use Verdict::{Perform, Refuse, Unchanged};
        let states = [VmState::Running, VmState::Paused, VmState::Stopped, VmState::Failed, VmState::Unknown];
        let rows = [
            (ActionType::Start, [Unchanged, Refuse, Perform(Boot), Perform(Boot), Refuse]),
            (
                ActionType::Stop,
                [
                    Perform(PowerOff),
                    Perform(ForceOff),
                    Unchanged,
                    Perform(SettleStopped),
                    Perform(SettleStopped),
                ],
            ),
            (ActionType::Pause, [Perform(Pause), Unchanged, Refuse, Refuse, Refuse]),
            (ActionType::Resume, [Unchanged, Perform(Resume), Refuse, Refuse, Refuse]),
            (ActionType::Delete, [Perform(Delete); 5]),
        ];
        for (action_type, row) in rows {
            for (state, expected) in states.into_iter().zip(row) {
                assert_eq!(verdict(action_type, state), expected, "{action_type} on a {state} vm");
            }
        }
    }

    #[test]
    fn a_refusal_names_the_state() {
        let refusal = Refusal::WrongState {
            action_type: ActionType::Pause,
            vm_name: "web-1".parse().unwrap(),
            state: VmState::Stopped,
        };
        assert_eq!(refusal.to_string(), "cannot pause vm web-1: it is stopped");
    }
}
