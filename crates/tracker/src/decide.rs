//! What an action comes to when its turn is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nkudo_domain::{
    ActionId, CreateVm, Deed, DeleteVm, HostCommand, Observation, Outcome, ProviderKind, Refusal, Request,
    StopVm, Verdict, VmId, VmSpec, verdict,
};

use crate::message::Work;
use crate::tracker::Tracker;
use crate::vms::Vm;

/// What the ids of restarts by policy begin with.
const RESTART: &str = "restart:";

/// What becomes of an action that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// There is nothing to do.
    End(Outcome),
    /// A VM is to be made and run by this provider.
    Make(ProviderKind),
    Perform(Deed),
    /// A command is to be run.
    Execute,
}

impl Tracker {
    pub(crate) fn decide(&self, request: &Request) -> Decision {
        let refuse = |refusal: Refusal| Decision::End(Outcome::Failure { error: refusal.to_string() });
        match (request, request.vm_id().and_then(|vm_id| self.vms.get(&vm_id))) {
            (Request::Create(create), Some(vm)) if *vm.spec != create.spec => {
                refuse(Refusal::OtherSpec { vm_name: vm.spec.vm_name.clone() })
            }
            (Request::Create(_), Some(vm)) if !vm.remains => {
                Decision::End(Outcome::Success { changed: false })
            }
            (Request::Create(create), Some(_) | None) => match self.room_for(create) {
                Ok(provider) => Decision::Make(provider),
                Err(error) => Decision::End(Outcome::Failure { error }),
            },
            (Request::Delete(_), None) => Decision::End(Outcome::Success { changed: false }),
            (Request::Delete(delete), Some(vm)) if delete.delete_disks => match self.shared_disk(vm) {
                Some(shared) => refuse(shared),
                None => by_table(request, vm),
            },
            (
                Request::Start(vm_id)
                | Request::Stop(StopVm { vm_id, .. })
                | Request::Pause(vm_id)
                | Request::Resume(vm_id),
                None,
            ) => refuse(Refusal::UnknownVm { action_type: request.action_type(), vm_id: *vm_id }),
            (
                Request::Start(_)
                | Request::Stop(_)
                | Request::Delete(_)
                | Request::Pause(_)
                | Request::Resume(_),
                Some(vm),
            ) => by_table(request, vm),
            (Request::Execute(command), _) => self.decide_command(command),
        }
    }

    /// Whether a command may be run on this host.
    fn decide_command(&self, command: &HostCommand) -> Decision {
        if self.config.commands_allow.contains(&command.program) {
            return Decision::Execute;
        }
        let refusal = Refusal::NotAllowed { program: command.program.clone() };
        Decision::End(Outcome::Failure { error: refusal.to_string() })
    }

    /// Why the VM's disks cannot go with it: another VM has one of them too.
    fn shared_disk(&self, vm: &Vm) -> Option<Refusal> {
        let others = self.vms.values().filter(|other| other.spec.vm_id != vm.spec.vm_id);
        others.into_iter().find_map(|other| {
            let has = |path: &PathBuf| other.spec.disks.iter().any(|disk| disk.path == *path);
            let disk = vm.spec.disks.iter().map(|disk| &disk.path).find(|path| has(path))?;
            Some(Refusal::SharedDisk {
                vm_name: vm.spec.vm_name.clone(),
                disk: disk.clone(),
                other: other.spec.vm_name.clone(),
            })
        })
    }

    /// The provider for a new VM, or why this host has no place for it.
    fn room_for(&self, create: &CreateVm) -> Result<ProviderKind, String> {
        let spec = &create.spec;
        let others = self.vms.iter().filter(|(vm_id, _)| **vm_id != spec.vm_id);
        if others.into_iter().any(|(_, vm)| vm.spec.vm_name == spec.vm_name) {
            return Err(Refusal::NameTaken { vm_name: spec.vm_name.clone() }.to_string());
        }
        if spec.memory_bytes > self.config.memory_bytes {
            return Err(format!(
                "cannot create vm {}: it asks for {} bytes of memory and this host has {}",
                spec.vm_name, spec.memory_bytes, self.config.memory_bytes
            ));
        }
        let usable = &self.config.providers;
        let none = "no hypervisor can be used on this host";
        match spec.provider {
            None => usable.first().copied().ok_or_else(|| none.to_owned()),
            Some(wanted) if usable.contains(&wanted) => Ok(wanted),
            Some(wanted) => Err(format!("provider {wanted} cannot be used on this host")),
        }
        .map_err(|why| format!("cannot create vm {}: {why}; `edge-agent check` tells more", spec.vm_name))
    }

    /// All that a provider needs for a deed of this request.
    pub(crate) fn work(&self, request: &Request, vm: &Vm, deed: Deed, afresh: bool) -> Work {
        Work {
            spec: Arc::clone(&vm.spec),
            provider: vm.provider,
            deed,
            afresh,
            autostart: matches!(request, Request::Create(CreateVm { autostart: true, .. })),
            grace: match request {
                Request::Stop(stop) => stop.grace,
                Request::Create(_)
                | Request::Start(_)
                | Request::Delete(_)
                | Request::Pause(_)
                | Request::Resume(_)
                | Request::Execute(_) => Duration::ZERO,
            },
            delete_disks: matches!(request, Request::Delete(delete) if delete.delete_disks),
        }
    }
}

/// What the table of actions by states says.
fn by_table(request: &Request, vm: &Vm) -> Decision {
    let action_type = request.action_type();
    match verdict(action_type, vm.state) {
        Verdict::Unchanged => Decision::End(Outcome::Success { changed: false }),
        Verdict::Perform(deed) => Decision::Perform(deed),
        Verdict::Refuse => {
            let vm_name = vm.spec.vm_name.clone();
            let refusal = Refusal::WrongState { action_type, vm_name, state: vm.state };
            Decision::End(Outcome::Failure { error: refusal.to_string() })
        }
    }
}

/// The deed that a request begun before a crash still needs, when what is so now is this. A command has none: it is not
/// done again.
pub(crate) fn deed_again(request: &Request, found: &Observation) -> Option<Deed> {
    Some(match request {
        Request::Create(_) => Deed::Create,
        Request::Start(_) => Deed::Boot,
        Request::Stop(_) => match found {
            // Busy is not dead: the guest keeps its time.
            Observation::Running | Observation::Unresponsive => Deed::PowerOff,
            Observation::Paused => Deed::ForceOff,
            Observation::Stopped(_) | Observation::Absent => Deed::SettleStopped,
        },
        Request::Delete(_) => Deed::Delete,
        Request::Pause(_) => Deed::Pause,
        Request::Resume(_) => Deed::Resume,
        Request::Execute(_) => return None,
    })
}

/// Whether what an interrupted deed was to bring about is so. A stopped guest proves no boot, and an absent VM not
/// that its disks are gone too.
pub(crate) fn done_already(request: &Request, deed: Deed, found: &Observation) -> bool {
    match (request, deed) {
        (Request::Create(CreateVm { autostart: true, .. }), _) | (_, Deed::Boot) => {
            *found == Observation::Running
        }
        (Request::Delete(DeleteVm { delete_disks: true, .. }), _) => false,
        _ => keeps_promise(deed, false, found),
    }
}

/// Whether what was found is what the deed is to bring about. A guest may have ended between its boot or resumption
/// and the look at it: that is not a lie of the provider.
pub(crate) fn keeps_promise(deed: Deed, autostart: bool, found: &Observation) -> bool {
    use Observation::{Absent, Paused, Running, Stopped};
    match deed {
        Deed::Create if !autostart => matches!(found, Stopped(None)),
        Deed::Create | Deed::Boot | Deed::Resume => matches!(found, Running | Stopped(Some(_))),
        Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped => matches!(found, Stopped(_)),
        Deed::Pause => matches!(found, Paused),
        Deed::Delete => matches!(found, Absent),
    }
}

/// The deed that takes back what is left of this one after it failed or was interrupted; none when what was found
/// can stay.
pub(crate) fn take_back(deed: Deed, interrupted: bool, found: &Observation) -> Option<Deed> {
    use Observation::{Absent, Paused, Running, Stopped, Unresponsive};
    match (deed, found) {
        (Deed::Create, Absent) => None,
        (Deed::Create, Stopped(_) | Running | Paused | Unresponsive) => Some(Deed::Delete),
        // A boot that failed and left a running VM found one that was running before: nobody's to end.
        (Deed::Boot, Running | Paused) if !interrupted => None,
        (Deed::Boot, Running | Paused | Unresponsive) => Some(Deed::ForceOff),
        (Deed::Boot, Stopped(_) | Absent) => None,
        (
            Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped | Deed::Pause | Deed::Resume | Deed::Delete,
            _,
        ) => None,
    }
}

/// The words for a provider's broken promise.
pub(crate) fn broken_promise(provider: ProviderKind, spec: &VmSpec, found: &Observation) -> String {
    let found = match found {
        Observation::Absent => "nothing of it is there",
        Observation::Stopped(_) => "it has no process",
        Observation::Running => "it is running",
        Observation::Paused => "it is paused",
        Observation::Unresponsive => "its process does not answer",
    };
    format!("{provider} said that it was done with vm {}, but {found}", spec.vm_name)
}

/// Names a VM's restarts by its policy, counted from 1. When records are lost the count may be too; then the series of
/// results is another one, and its name makes the ids others.
pub(crate) fn restart_id(vm_id: VmId, series: &str, restart: u64) -> String {
    let dot = if series.is_empty() { "" } else { ":" };
    format!("{RESTART}{vm_id}:{series}{dot}{restart}")
}

/// Whether an action is a restart by policy.
pub(crate) fn is_restart(action_id: &ActionId) -> bool {
    action_id.as_str().starts_with(RESTART)
}
