//! From a picture to what does not fit in it. Pure.

use std::path::Path;

use nkudo_domain::{ProviderKind, VmId, VmState};
use nkudo_providers::qemu::inventory::{Entry, EntryKind, RunFacts, VmProcess};

use super::picture::{Finding, Fix, LedgerVm, Picture};

mod files;

use files::{aged, beyond, damaged_journal, disk, state_file, unfinished, unless_used};

/// What was not finished and not touched for so long is nobody's any more, in milliseconds.
pub(super) const ABANDONED_AFTER_MS: u64 = 60_000;

/// Everything that does not fit: VMs first, then what is nobody's, then the files of the state directory.
pub(super) fn findings(picture: &Picture) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(disk(&picture.host));
    found.extend(picture.unread.as_deref().map(damaged_journal));
    found.extend(interrupted(picture));
    for entry in &picture.host.vms.entries {
        found.extend(entry_findings(picture, entry));
    }
    let Picture { host, .. } = picture;
    if host.vms.left_out > 0 {
        found.push(beyond(&host.state_dir.join("vms"), host.vms.left_out));
    }
    found.extend(missing(picture));
    found.extend(simulated(picture));
    found.extend(loose_processes(picture));
    found.extend(picture.host.files.iter().map(state_file));
    found.into_iter().map(|finding| unless_used(finding, &host.used)).collect()
}

fn finding(kind: &'static str, what: impl Into<String>, evidence: impl Into<String>) -> Finding {
    Finding {
        kind,
        what: what.into(),
        vm_id: None,
        path: None,
        pid: None,
        evidence: evidence.into(),
        remedy: "`edge-agent doctor --fix` puts it aside".to_owned(),
        fix: None,
    }
}

impl Finding {
    fn of(mut self, vm_id: VmId) -> Self {
        self.vm_id = Some(vm_id);
        self
    }

    fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    fn by(mut self, process: Option<&VmProcess>) -> Self {
        self.pid = process.map(|process| process.identity.pid);
        self
    }

    fn set_aside(mut self) -> Self {
        self.fix = self.path.clone().map(Fix::SetAside);
        self
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// Without a daemon nobody goes on with what began.
fn interrupted(picture: &Picture) -> Vec<Finding> {
    if picture.host.daemon_running {
        return Vec::new();
    }
    let one = |(vm_id, action): &(Option<VmId>, String)| {
        let found = finding(
            "interrupted_action",
            format!("{action} began and did not end"),
            "the journal has its intent and no outcome",
        );
        match vm_id {
            Some(vm_id) => {
                found.of(*vm_id).remedy("start the agent: it finishes the action or takes it back")
            }
            None => {
                found.remedy("start the agent: it ends what is left of the command and does not run it again")
            }
        }
    };
    picture.ledger.begun.iter().map(one).collect()
}

fn entry_findings(picture: &Picture, entry: &Entry) -> Vec<Finding> {
    let path = &entry.path;
    let old = entry.age_ms.is_none_or(|age_ms| age_ms > ABANDONED_AFTER_MS);
    match &entry.kind {
        EntryKind::Run(run) if picture.ledger.busy.contains(&run.vm_id) => Vec::new(),
        EntryKind::Run(run) => {
            let known = picture.ledger.vms.get(&run.vm_id).filter(|vm| vm.provider == ProviderKind::Qemu);
            match known {
                Some(vm) => known_run(picture, vm, path, run),
                None if is_from_before_its_delete(picture, run) => vec![deleted_run(picture, path, run)],
                None => vec![unknown_run(picture, path, run)],
            }
        }
        EntryKind::Unfinished { vm_id } if !picture.ledger.busy.contains(vm_id) && old => {
            let what = format!("a run directory of vm {vm_id} was never finished, or not removed to its end");
            vec![finding("unfinished_directory", what, aged(entry.age_ms)).of(*vm_id).at(path).set_aside()]
        }
        EntryKind::Unfinished { .. } => Vec::new(),
        EntryKind::Link => vec![
            finding(
                "foreign_entry",
                "a symbolic link stands among the run directories",
                "links are not followed",
            )
            .at(path)
            .remedy("move it elsewhere: it is not the agent's, and is not touched"),
        ],
        EntryKind::Foreign => vec![
            finding(
                "foreign_entry",
                "something stands among the run directories that is none",
                "its name is no VM's, it is no directory, or it has nothing in it that the agent makes",
            )
            .at(path)
            .remedy("move it elsewhere: it is not the agent's, and is not touched"),
        ],
    }
}

/// Of a run directory whose VM the journal knows.
fn known_run(picture: &Picture, vm: &LedgerVm, path: &Path, run: &RunFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let process = processes(picture, run.vm_id).find(|process| process.is_proven());
    let alive = run.lock_held || process.is_some();
    let should_live = matches!(vm.state, VmState::Running | VmState::Paused);
    let name = format!("vm {} ({})", run.vm_id, vm.name);
    let explain = format!("`edge-agent explain vm {}` says why", vm.name);
    match (vm.state, alive) {
        (VmState::Unknown, _) => found.push(
            finding(
                "vm_unknown",
                format!("{name} does not say how it is"),
                "its state in the journal is unknown",
            )
            .remedy(format!("{explain}; MicroVMStop or MicroVMDelete end its process")),
        ),
        // A daemon notices by itself within a moment.
        (_, false) if should_live && !picture.host.daemon_running => found.push(
            finding(
                "vm_differs",
                format!("{name} is {} by the journal and has no process", vm.state),
                "nobody holds the lock of its run directory, and no process bears its UUID",
            )
            .remedy(format!("start the agent: it records how the vm ended; {explain}")),
        ),
        (VmState::Stopped | VmState::Failed | VmState::Creating, true) if !picture.host.daemon_running => {
            found.push(
                finding(
                    "vm_differs",
                    format!("{name} is {} by the journal and has a process", vm.state),
                    lock_words(run, process),
                )
                .by(process)
                .remedy(format!("start the agent: it takes over what runs; {explain}")),
            );
        }
        (
            VmState::Running | VmState::Paused | VmState::Stopped | VmState::Failed | VmState::Creating,
            true | false,
        ) => {}
    }
    for one in &mut found {
        (one.vm_id, one.path) = (Some(run.vm_id), Some(path.to_owned()));
    }
    if let Some(socket) = run.socket.as_ref().filter(|_| !alive) {
        let what = format!("{name} has no process, and its socket is left");
        let left = finding("leftover_socket", what, "nobody holds the lock of its run directory");
        let harmless = "it does no harm: the next start of the vm replaces it, and `edge-agent doctor --fix` puts it aside";
        found.push(left.of(run.vm_id).at(socket).set_aside().remedy(harmless));
    }
    let abandoned = run.unfinished.iter().filter(|(_, age_ms)| *age_ms > ABANDONED_AFTER_MS);
    found.extend(abandoned.map(|(file, age_ms)| unfinished(file, *age_ms).of(run.vm_id)));
    found
}

/// Whether all that is there of a VM is older than its delete, so that it is what was deleted. What is younger is
/// another life of the VM that the journal has lost, as when a backup of it was brought back.
fn is_from_before_its_delete(picture: &Picture, run: &RunFacts) -> bool {
    let Some(deleted_ago_ms) = picture.deleted_ago_ms(run.vm_id) else { return false };
    let mut named = processes(picture, run.vm_id).filter(|process| process.names_vm);
    run.spec_age_ms.is_none_or(|age_ms| age_ms > deleted_ago_ms)
        && named.all(|process| outlived_its_delete(picture, process))
}

fn outlived_its_delete(picture: &Picture, process: &VmProcess) -> bool {
    picture.deleted_ago_ms(process.vm_id).is_some_and(|deleted_ago_ms| process.age_ms > deleted_ago_ms)
}

/// Of a run directory whose VM was deleted, as the journal remembers: the agent would bring it back to life.
fn deleted_run(picture: &Picture, path: &Path, run: &RunFacts) -> Finding {
    let what = format!("vm {} was deleted, and its run directory is there", run.vm_id);
    let base =
        finding("deleted_vm", what, "the journal remembers a delete that succeeded, and this is older")
            .of(run.vm_id)
            .at(path);
    let own: Vec<VmProcess> =
        processes(picture, run.vm_id).filter(|process| process.holds_lock).cloned().collect();
    let proven = own.iter().all(VmProcess::is_proven);
    match (run.lock_held, own.first()) {
        (false, None) => base.set_aside(),
        (true, Some(first)) if proven => {
            let evidence = format!(
                "the journal remembers a delete that succeeded, and this is older; {}",
                lock_words(run, Some(first))
            );
            let fix = Fix::End { processes: own.clone(), directory: Some(path.to_owned()) };
            Finding { evidence, fix: Some(fix), ..base.by(Some(first)) }
                .remedy("`edge-agent doctor --fix` ends its process and puts the directory aside")
        }
        (_, first) => {
            let evidence = lock_words(run, first);
            Finding { evidence, ..base.by(first) }
                .remedy("look who that is and end it: it is not proven to be the vm, so it is not touched")
        }
    }
}

/// Of a run directory that the journal has never heard of.
fn unknown_run(picture: &Picture, path: &Path, run: &RunFacts) -> Finding {
    let process = processes(picture, run.vm_id).find(|process| process.names_vm || process.holds_lock);
    let alive = run.lock_held || process.is_some();
    let start = if picture.host.daemon_running { "restart the agent, vms run on" } else { "start the agent" };
    match (run.spec_age_ms.is_some(), alive) {
        (true, _) => finding(
            "unrecorded_vm",
            format!("vm {} has a run directory and is not in the journal", run.vm_id),
            if alive { lock_words(run, process) } else { "it has a specification and no process".to_owned() },
        )
        .remedy(format!("{start}: it takes the vm over; ask for MicroVMDelete then if it is not wanted")),
        (false, true) => finding(
            "unrecorded_vm",
            format!("vm {} may live, is not in the journal and has no specification that can be read", run.vm_id),
            lock_words(run, process),
        )
        .remedy("look who that is; when it is not wanted, end it and run `edge-agent doctor --fix`"),
        (false, false) => finding(
            "orphan_directory",
            format!(
                "a run directory has no vm: {} is not in the journal and has no specification that can be read",
                run.vm_id
            ),
            "nobody holds its lock, no process bears its UUID, and the agent cannot take it over",
        )
        .at(path)
        .set_aside(),
    }
    .of(run.vm_id)
    .at(path)
    .by(process)
}

/// VMs of the journal without a run directory.
fn missing(picture: &Picture) -> Vec<Finding> {
    let has_directory = |vm_id: VmId| {
        let entries = picture.host.vms.entries.iter();
        entries.into_iter().any(|entry| matches!(&entry.kind, EntryKind::Run(run) if run.vm_id == vm_id))
    };
    let ledger = &picture.ledger;
    let here = |(vm_id, vm): &(&VmId, &LedgerVm)| {
        vm.provider == ProviderKind::Qemu && !ledger.busy.contains(vm_id) && !has_directory(**vm_id)
    };
    // With directories beyond the bound nobody knows whose is missing.
    let vms = ledger.vms.iter().filter(|_| picture.host.vms.left_out == 0).filter(here);
    vms.map(|(vm_id, vm)| {
        let process = processes(picture, *vm_id).find(|process| process.names_vm);
        let evidence = match process {
            Some(process) => format!("pid {} is its process and works on", process.identity.pid),
            None => "no process bears its UUID".to_owned(),
        };
        finding("missing_directory", format!("vm {vm_id} ({}) is in the journal and has no run directory", vm.name), evidence)
            .of(*vm_id)
            .at(&picture.host.state_dir.join("vms").join(vm_id.to_string()))
            .by(process)
            .remedy("ask for MicroVMDelete, which also ends its process, and for MicroVMCreate when it is wanted again")
    })
    .collect()
}

fn simulated(picture: &Picture) -> Vec<Finding> {
    let (Some(there), ledger) = (&picture.host.simulated, &picture.ledger) else { return Vec::new() };
    let known = ledger.vms.iter().filter(|(_, vm)| vm.provider == ProviderKind::Simulated);
    let missing = known.filter(|(vm_id, _)| !there.contains(vm_id) && !ledger.busy.contains(vm_id)).map(
        |(vm_id, vm)| {
            finding(
                "missing_deeds",
                format!("simulated vm {vm_id} ({}) is in the journal, and no deed tells of it", vm.name),
                "simulated.jsonl has no line of it",
            )
            .of(*vm_id)
            .remedy("ask for MicroVMDelete")
        },
    );
    let unknown =
        there.iter().filter(|vm_id| !ledger.vms.contains_key(vm_id) && !ledger.busy.contains(vm_id));
    let unrecorded = unknown.map(|vm_id| {
        finding(
            "unrecorded_vm",
            format!("simulated vm {vm_id} is told of by deeds and is not in the journal"),
            "simulated.jsonl has lines of it",
        )
        .of(*vm_id)
        .remedy("start the agent anew: it takes the vm over; ask for MicroVMDelete then if it is not wanted")
    });
    missing.chain(unrecorded).collect()
}

/// Processes of VMs that no run directory tells of, and holders of locks that are no VM.
fn loose_processes(picture: &Picture) -> Vec<Finding> {
    let ledger = &picture.ledger;
    let idle = picture.host.vms.processes.iter().filter(|process| !ledger.busy.contains(&process.vm_id));
    idle.filter_map(|process| {
        let (vm_id, pid) = (process.vm_id, process.identity.pid);
        let who = format!("pid {pid} ({})", process.program);
        let has_directory = picture.host.vms.entries.iter().any(
            |entry| matches!(&entry.kind, EntryKind::Run(run) if run.vm_id == vm_id),
        );
        let found = match (process.names_vm, process.holds_lock) {
            (true, true) | (false, false) => return None,
            (false, true) => finding(
                "foreign_holder",
                format!("{who} holds the lock of vm {vm_id} and is not its process"),
                "its standard input is the lock, and its command line does not bear the VM's UUID",
            )
            .remedy("look who that is and end it: nothing is started or removed over that lock"),
            (true, false) if !has_directory && outlived_its_delete(picture, process) && process.is_proven() => {
                let fix = Fix::End { processes: vec![process.clone()], directory: None };
                Finding {
                    fix: Some(fix),
                    ..finding(
                        "orphan_process",
                        format!("{who} is the process of vm {vm_id}, which was deleted"),
                        "its command line bears the VM's UUID, its standard input was the lock of the run directory, which \
                         is gone, and the journal remembers a delete that succeeded after it was started",
                    )
                    .remedy("`edge-agent doctor --fix` ends it")
                }
            }
            // The VM without its directory is told already.
            (true, false) if !has_directory && ledger.vms.contains_key(&vm_id) => return None,
            (true, false) => finding(
                "orphan_process",
                format!("{who} bears the UUID of vm {vm_id} and does not hold the lock of its run directory"),
                if has_directory { "the run directory is not the one that it was started in" } else { "its run directory is gone, and the journal does not say that the vm was deleted since it was started" },
            )
            .remedy("look at it, and end it by hand when it is not wanted: it is not proven to be superfluous"),
        };
        Some(found.of(vm_id).by(Some(process)))
    })
    .collect()
}

fn lock_words(run: &RunFacts, process: Option<&VmProcess>) -> String {
    match process {
        Some(process) => {
            let VmProcess { identity, program, names_vm, holds_lock, .. } = process;
            let names = if *names_vm { "bears" } else { "does not bear" };
            let holds = if *holds_lock { "holds" } else { "does not hold" };
            format!(
                "pid {} ({program}) {names} its UUID and {holds} the lock of the run directory",
                identity.pid
            )
        }
        None if run.lock_held => "somebody unknown holds the lock of the run directory".to_owned(),
        None => "nobody holds the lock of the run directory".to_owned(),
    }
}

fn processes(picture: &Picture, vm_id: VmId) -> impl Iterator<Item = &VmProcess> {
    picture.host.vms.processes.iter().filter(move |process| process.vm_id == vm_id)
}

#[cfg(test)]
mod tests;
