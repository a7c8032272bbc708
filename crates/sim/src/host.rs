//! A host as it really is: run directories and processes. It knows nothing of who asks.

use std::collections::BTreeMap;

use nkudo_domain::{ActionId, Deed, Exit, Observation, ProviderKind, VmId, VmSpec};
use nkudo_tracker::{DeedFailure, Found, Work};

use crate::bug::Bug;
use crate::plan::Part;

/// What runs VMs in this world.
pub(crate) const PROVIDER: ProviderKind = ProviderKind::Simulated;

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Vm(VmId),
    /// Of somebody else; it has the pid of one that ended.
    Foreign,
}

#[derive(Debug, Clone)]
struct RunDirectory {
    spec: VmSpec,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Stopped(Option<Exit>, Option<u32>),
    Alive { pid: u32, paused: bool, silent: bool },
}

/// What there was of a command.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CommandRun {
    /// How often it began.
    pub(crate) times: u32,
    /// It came to its own end once, and well.
    pub(crate) wholly: bool,
}

/// One host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    vms: BTreeMap<VmId, RunDirectory>,
    processes: BTreeMap<u32, Process>,
    last_pid: u32,
    /// The command that runs, which may be one that an agent has left.
    command: Option<ActionId>,
    commands: BTreeMap<ActionId, CommandRun>,
    /// What was done to something that is not ours, or that was there already.
    pub(crate) harm: Vec<String>,
}

impl Host {
    pub(crate) fn observe(&self, vm_id: VmId, bug: Option<Bug>) -> Observation {
        let Some(vm) = self.vms.get(&vm_id) else { return Observation::Absent };
        match &vm.state {
            State::Alive { silent: true, .. } => Observation::Unresponsive,
            State::Alive { paused: true, .. } => Observation::Paused,
            State::Alive { .. } => Observation::Running,
            State::Stopped(_, Some(pid))
                if bug == Some(Bug::AdoptsByPid) && self.processes.contains_key(pid) =>
            {
                Observation::Running
            }
            State::Stopped(exit, _) => Observation::Stopped(exit.clone()),
        }
    }

    pub(crate) fn found(&self, bug: Option<Bug>) -> Vec<Found> {
        let found = |(vm_id, vm): (&VmId, &RunDirectory)| Found {
            vm_id: *vm_id,
            provider: PROVIDER,
            spec: Some(vm.spec.clone()),
            observation: self.observe(*vm_id, bug),
        };
        self.vms.iter().map(found).collect()
    }

    /// Every VM of which there is anything.
    pub(crate) fn vm_ids(&self) -> impl Iterator<Item = VmId> {
        self.vms.keys().copied()
    }

    /// Why the VM's process is no more; none while there is one.
    pub(crate) fn exit(&self, vm_id: VmId) -> Option<Exit> {
        match &self.vms.get(&vm_id)?.state {
            State::Alive { .. } => None,
            State::Stopped(exit, _) => Some(exit.clone().unwrap_or(Exit::GuestPoweredOff)),
        }
    }

    pub(crate) fn has_process(&self, vm_id: VmId) -> bool {
        matches!(self.vms.get(&vm_id), Some(RunDirectory { state: State::Alive { .. }, .. }))
    }

    /// Performs a deed wholly.
    pub(crate) fn perform(&mut self, work: &Work, bug: Option<Bug>) -> Result<(), DeedFailure> {
        let vm_id = work.spec.vm_id;
        let refuse = |error: &str| Err(DeedFailure::Failed { error: error.to_owned(), transient: false });
        let afresh = work.afresh && bug != Some(Bug::CreatesOverRemains);
        match work.deed {
            Deed::Create => {
                if afresh {
                    self.remove(vm_id, bug);
                }
                match self.vms.contains_key(&vm_id) {
                    true if bug == Some(Bug::CreatesOverRemains) => {}
                    true => return refuse("its run directory exists"),
                    false => self.prepare(&work.spec),
                }
                if work.autostart {
                    self.boot(vm_id);
                }
            }
            Deed::Boot => {
                if afresh {
                    self.end_process(vm_id, killed(), bug);
                }
                match self.observe(vm_id, bug) {
                    Observation::Absent => return refuse("it has no run directory"),
                    Observation::Stopped(_) => self.boot(vm_id),
                    Observation::Running | Observation::Paused | Observation::Unresponsive => {
                        return refuse("it has a process");
                    }
                }
            }
            Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped => {
                if !self.vms.contains_key(&vm_id) {
                    return refuse("it has no run directory");
                }
                let exit = if work.deed == Deed::PowerOff { Exit::GuestPoweredOff } else { killed() };
                self.end_process(vm_id, exit, bug);
            }
            Deed::Pause | Deed::Resume => {
                let pause = work.deed == Deed::Pause;
                match self.vms.get_mut(&vm_id).map(|vm| &mut vm.state) {
                    Some(State::Alive { paused, silent: false, .. }) if *paused != pause => *paused = pause,
                    _ => return refuse("it cannot do that now"),
                }
            }
            Deed::Delete => self.remove(vm_id, bug),
        }
        Ok(())
    }

    /// Leaves a deed in its middle.
    pub(crate) fn perform_part(&mut self, work: &Work, part: Part, bug: Option<Bug>) {
        let vm_id = work.spec.vm_id;
        match (part, work.deed) {
            (Part::Nothing, _) => {}
            (Part::Whole, _) => drop(self.perform(work, bug)),
            (Part::Half, Deed::Create) => {
                if work.afresh {
                    self.remove(vm_id, bug);
                }
                if !self.vms.contains_key(&vm_id) {
                    self.prepare(&work.spec);
                    if work.autostart {
                        self.boot(vm_id);
                        self.set_silent(vm_id, true);
                    }
                }
            }
            (Part::Half, Deed::Boot) if self.vms.contains_key(&vm_id) && !self.has_process(vm_id) => {
                self.boot(vm_id);
                self.set_silent(vm_id, true);
            }
            (Part::Half, Deed::Delete) => self.end_process(vm_id, killed(), bug),
            (
                Part::Half,
                Deed::Boot
                | Deed::PowerOff
                | Deed::ForceOff
                | Deed::SettleStopped
                | Deed::Pause
                | Deed::Resume,
            ) => {}
        }
    }

    fn prepare(&mut self, spec: &VmSpec) {
        self.vms.insert(spec.vm_id, RunDirectory { spec: spec.clone(), state: State::Stopped(None, None) });
    }

    fn boot(&mut self, vm_id: VmId) {
        self.last_pid += 1;
        let pid = self.last_pid;
        if let Some(vm) = self.vms.get_mut(&vm_id) {
            if matches!(vm.state, State::Alive { .. }) {
                self.harm.push(format!("{vm_id} was booted while it had a process"));
            }
            vm.state = State::Alive { pid, paused: false, silent: false };
            self.processes.insert(pid, Process::Vm(vm_id));
        }
    }

    /// Ends the process of a VM, or whatever is taken for it.
    fn end_process(&mut self, vm_id: VmId, exit: Exit, bug: Option<Bug>) {
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        match vm.state {
            State::Alive { pid, .. } => {
                vm.state = State::Stopped(Some(exit), Some(pid));
                self.processes.remove(&pid);
            }
            State::Stopped(_, Some(pid)) if bug == Some(Bug::AdoptsByPid) => {
                if self.processes.remove(&pid) == Some(Process::Foreign) {
                    self.harm.push(format!("process {pid}, which is not of {vm_id}, was ended for it"));
                }
            }
            State::Stopped(..) => {}
        }
    }

    fn remove(&mut self, vm_id: VmId, bug: Option<Bug>) {
        self.end_process(vm_id, killed(), bug);
        self.vms.remove(&vm_id);
    }

    /// The process of a VM, if it has one, dies by itself.
    pub(crate) fn dies(&mut self, vm_id: VmId, exit: Exit) {
        self.end_process(vm_id, exit, None);
    }

    pub(crate) fn set_silent(&mut self, vm_id: VmId, is_silent: bool) {
        if let Some(RunDirectory { state: State::Alive { silent, .. }, .. }) = self.vms.get_mut(&vm_id) {
            *silent = is_silent;
        }
    }

    /// Every process that is silent answers again.
    pub(crate) fn all_answer(&mut self) {
        let ids: Vec<VmId> = self.vm_ids().collect();
        ids.into_iter().for_each(|vm_id| self.set_silent(vm_id, false));
    }

    pub(crate) fn command(&self, action_id: &ActionId) -> CommandRun {
        self.commands.get(action_id).copied().unwrap_or_default()
    }

    /// Begins a command; answers the one that runs already.
    pub(crate) fn command_begins(&mut self, action_id: &ActionId) -> Option<ActionId> {
        self.commands.entry(action_id.clone()).or_default().times += 1;
        self.command.replace(action_id.clone())
    }

    /// What it was to do is done to this part.
    pub(crate) fn command_left(&mut self, action_id: &ActionId, part: Part) {
        if let Some(command) = self.commands.get_mut(action_id) {
            command.wholly |= part == Part::Whole;
        }
    }

    pub(crate) fn command_ends(&mut self, action_id: &ActionId, part: Part) {
        self.command_left(action_id, part);
        self.command.take_if(|running| running == action_id);
    }

    /// What a former run of an agent has left of its commands is ended.
    pub(crate) fn end_left_over(&mut self) {
        self.command = None;
    }

    pub(crate) fn running_command(&self) -> Option<&ActionId> {
        self.command.as_ref()
    }

    /// Power was lost, and the host has booted again.
    pub(crate) fn booted(&mut self) {
        self.processes.clear();
        self.command = None;
        for vm in self.vms.values_mut() {
            if matches!(vm.state, State::Alive { .. }) {
                vm.state = State::Stopped(Some(Exit::HostRebooted), None);
            }
        }
    }

    /// The pids of VMs' processes that have ended are given to others.
    pub(crate) fn reuse_pids(&mut self) {
        let free = self.vms.values().filter_map(|vm| match vm.state {
            State::Stopped(_, Some(pid)) => Some(pid),
            State::Stopped(_, None) | State::Alive { .. } => None,
        });
        let free: Vec<u32> = free.filter(|pid| !self.processes.contains_key(pid)).collect();
        self.processes.extend(free.into_iter().map(|pid| (pid, Process::Foreign)));
    }
}

fn killed() -> Exit {
    Exit::Died("killed by signal 9".to_owned())
}
