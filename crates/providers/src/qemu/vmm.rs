//! Which process is a VM.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use nkudo_domain::VmId;
use nkudo_host::process::{self, Identity};
use nkudo_host::spawn::{Child, Exit};
use nkudo_host::{clock, lock};

use super::Qemu;
use super::command_line::names_vm;
use super::run_directory::{RunDirectory, VmmRecord};

/// What is found of a VM's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Somebody holds the lock of the run directory.
    pub(super) lock_held: bool,
    /// The process that is the VM, alive and named after it.
    pub(super) process: Option<Identity>,
}

impl Look {
    /// Neither a process nor a sign of one.
    pub(super) fn is_gone(self) -> bool {
        !self.lock_held && self.process.is_none()
    }
}

impl Qemu {
    /// Looks for the VM's process: the recorded one; or the holder of the lock that is named after the VM, when the
    /// program was killed before it could record what it had started; or what works in a directory that is gone.
    pub(super) fn look(&self, directory: &RunDirectory) -> Look {
        if !directory.exists() {
            return Look { lock_held: false, process: orphan(directory) };
        }
        // A lock that cannot be looked at may be held.
        let lock_held = lock::is_held(&directory.lock()).unwrap_or(true);
        let is_vm = |identity: &Identity| {
            process::is_alive(*identity)
                && process::command_line(identity.pid).is_some_and(|line| names_vm(&line, directory.vm_id))
        };
        let recorded = directory.read_vmm().map(|record| record.identity).filter(is_vm);
        let process = match recorded {
            None if lock_held => adopt(directory),
            recorded => recorded,
        };
        Look { lock_held, process }
    }

    pub(super) fn children(&self) -> MutexGuard<'_, HashMap<VmId, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps the VM's process when it is a child of ours and has ended, and tells how.
    pub(super) fn reap(&self, vm_id: VmId) -> Option<Exit> {
        self.children().get_mut(&vm_id)?.try_reap()
    }

    /// Forgets how the VM's process ended. It must have.
    pub(super) fn forget_child(&self, vm_id: VmId) {
        let mut children = self.children();
        if children.get_mut(&vm_id).is_some_and(|child| child.try_reap().is_some()) {
            children.remove(&vm_id);
        }
    }
}

/// Finds the process of a VM whose run directory was taken away: it still works in it, also where a link leads to it
/// now.
pub(super) fn orphan(directory: &RunDirectory) -> Option<Identity> {
    let names = |pid: &u32| process::command_line(*pid).is_some_and(|line| names_vm(&line, directory.vm_id));
    let find = |place: &Path| process::working_in(place).into_iter().find(names).and_then(process::identity);
    let own = directory.resolved();
    let linked = directory.path.canonicalize().ok().filter(|place| *place != own);
    find(&own).or_else(|| find(&linked?))
}

/// Finds the process by the lock that it holds, with its command line.
pub(super) fn holder(directory: &RunDirectory) -> Option<(Identity, Vec<String>)> {
    process::holders(&directory.lock()).into_iter().find_map(|pid| {
        let args = process::command_line(pid).filter(|line| names_vm(line, directory.vm_id))?;
        Some((process::identity(pid)?, args))
    })
}

/// Finds the process by the lock that it holds, and records it.
fn adopt(directory: &RunDirectory) -> Option<Identity> {
    let (identity, args) = holder(directory)?;
    let accel = args.windows(2).find(|pair| pair[0] == "-accel").map_or("unknown", |pair| pair[1].as_str());
    let accel = accel.split(',').next().unwrap_or(accel).to_owned();
    let record = VmmRecord {
        identity,
        boot_id: clock::boot_id().unwrap_or_default(),
        accel,
        args,
        qemu_version: "unknown".to_owned(),
        started_at_ms: clock::wall_ms(),
    };
    if let Err(error) = directory.write_vmm(&record) {
        tracing::debug!(vm_id = %directory.vm_id, %error, "an adopted process cannot be recorded");
    }
    Some(identity)
}
