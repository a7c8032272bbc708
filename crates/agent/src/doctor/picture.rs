//! What is seen of the journal and of the host, and what a finding is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nkudo_api::view::doctor::FindingView;
use nkudo_domain::{ProviderKind, Request, VmId, VmName, VmSpec, VmState};
use nkudo_providers::qemu::inventory::{Inventory, VmProcess};
use nkudo_tracker::{Phase, Tracker};

use crate::explain::deleted_by;

/// Journal and host, side by side.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) ledger: Ledger,
    /// What could not be read of the journal.
    pub(super) unread: Option<String>,
    pub(super) host: Host,
}

/// What the journal says should be.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) vms: BTreeMap<VmId, LedgerVm>,
    /// VMs that are not there because they were deleted, as far as that is remembered, and when, in Unix milliseconds.
    pub(super) deleted: BTreeMap<VmId, i64>,
    /// VMs with an action that has not ended, or that came or went while the host was looked at.
    pub(super) busy: BTreeSet<VmId>,
    /// Files that its VMs are made of, or are to be.
    pub(super) named: BTreeSet<PathBuf>,
    /// Actions that began and did not end, as sentences, with their VMs.
    pub(super) begun: Vec<(Option<VmId>, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LedgerVm {
    pub(super) name: VmName,
    pub(super) provider: ProviderKind,
    pub(super) state: VmState,
}

/// What is on the host.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) state_dir: PathBuf,
    pub(super) daemon_running: bool,
    pub(super) vms: Inventory,
    /// None where they are not configured.
    pub(super) simulated: Option<BTreeSet<VmId>>,
    pub(super) files: Vec<StateFile>,
    /// Files that VMs of the journal are made of, as the journal names them and where these names lead.
    pub(super) used: BTreeSet<PathBuf>,
    pub(super) available_bytes: Option<u64>,
    /// When it was looked at, in Unix milliseconds.
    pub(super) now_ms: i64,
}

/// Something in the state directory that is worth a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    pub(super) what: StateFileKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StateFileKind {
    /// It tells where a daemon serves, and there is none.
    StaleAddress,
    /// A socket on which nobody listens.
    LeftoverSocket,
    /// It was being written, and nobody has gone on for so long.
    Unfinished { age_ms: u64 },
    /// What was damaged, and was kept.
    SetAside { bytes: u64 },
    /// It is to be its owner's alone, with at most `wanted` of these permissions.
    Mode { mode: u32, wanted: u32 },
    /// An identity that is not in force.
    FormerIdentity,
    /// The link to the identity in force leads nowhere.
    NoIdentity,
    /// A directory with so many entries more than are looked at.
    Beyond { entries: usize },
}

/// Something that is not as it should be.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) vm_id: Option<VmId>,
    pub(super) path: Option<PathBuf>,
    pub(super) pid: Option<u32>,
    pub(super) evidence: String,
    pub(super) remedy: String,
    pub(super) fix: Option<Fix>,
}

/// How something is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fix {
    /// It is moved to the quarantine.
    SetAside(PathBuf),
    /// The processes are ended; then the run directory, if there is one, is moved to the quarantine.
    End {
        processes: Vec<VmProcess>,
        directory: Option<PathBuf>,
    },
    Chmod {
        path: PathBuf,
        mode: u32,
    },
}

impl Ledger {
    pub(super) fn of(tracker: &Tracker) -> Self {
        let vms = tracker.vms().map(|(vm_id, vm)| {
            let (name, provider, state) = (vm.spec.vm_name.clone(), vm.provider, vm.state);
            (vm_id, LedgerVm { name, provider, state })
        });
        let open = || tracker.actions().filter(|tracked| !tracked.has_ended());
        let begun = open().filter(|tracked| tracked.phase != Phase::Queued).map(|tracked| {
            let request = &tracked.action.request;
            (request.vm_id(), format!("{} {}", request.action_type(), tracked.action.action_id))
        });
        let created = open().filter_map(|tracked| match &tracked.action.request {
            Request::Create(create) => Some(&create.spec),
            Request::Start(_)
            | Request::Stop(_)
            | Request::Delete(_)
            | Request::Pause(_)
            | Request::Resume(_)
            | Request::Execute(_) => None,
        });
        let named = tracker.vms().map(|(_, vm)| &*vm.spec).chain(created).flat_map(files_of);
        let mut deleted = BTreeMap::new();
        for (vm_id, at_ms) in tracker.actions().filter_map(deleted_by) {
            let last = deleted.entry(vm_id).or_insert(at_ms);
            *last = at_ms.max(*last);
        }
        deleted.retain(|vm_id, _| tracker.vm(*vm_id).is_none());
        Self {
            vms: vms.collect(),
            deleted,
            named: named.collect(),
            busy: open().filter_map(|tracked| tracked.action.request.vm_id()).collect(),
            begun: begun.collect(),
        }
    }

    /// What two looks have in common; of a VM that is in one of them only, or in another state, nothing is said.
    pub(super) fn beside(mut self, after: Self) -> Self {
        let ids: BTreeSet<VmId> = self.vms.keys().chain(after.vms.keys()).copied().collect();
        let moved = ids.into_iter().filter(|vm_id| self.vms.get(vm_id) != after.vms.get(vm_id));
        let moved: Vec<VmId> = moved.collect();
        self.busy.extend(moved);
        self.busy.extend(after.busy);
        self.named.extend(after.named);
        self.vms.extend(after.vms);
        self.deleted.retain(|vm_id, _| after.deleted.contains_key(vm_id));
        self
    }
}

fn files_of(spec: &VmSpec) -> impl Iterator<Item = PathBuf> + '_ {
    let disks = spec.disks.iter().map(|disk| &disk.path);
    disks.chain([&spec.kernel]).chain(&spec.initramfs).cloned()
}

impl Picture {
    /// How long ago a VM was deleted that is not in the journal, in milliseconds. None where that is not remembered, where
    /// what the journal cannot say any more may have been another life of it, or where the clock went back behind it.
    pub(super) fn deleted_ago_ms(&self, vm_id: VmId) -> Option<u64> {
        let at_ms = self.ledger.deleted.get(&vm_id).filter(|_| self.unread.is_none())?;
        u64::try_from(self.host.now_ms.checked_sub(*at_ms)?).ok()
    }
}

impl Finding {
    pub(super) fn view(&self) -> FindingView {
        FindingView {
            kind: self.kind.to_owned(),
            what: self.what.clone(),
            vm_id: self.vm_id,
            path: self.path.as_ref().map(|path| path.display().to_string()),
            pid: self.pid,
            evidence: self.evidence.clone(),
            remedy: self.remedy.clone(),
            fixable: self.fix.is_some(),
            fix: self.fix.as_ref().map(Fix::sentence),
            fixed: None,
            kept_as: None,
            error: None,
        }
    }
}

impl Fix {
    fn sentence(&self) -> String {
        match self {
            Self::SetAside(path) => format!("move {} to the quarantine", path.display()),
            Self::End { processes, directory } => {
                let pids: Vec<String> =
                    processes.iter().map(|process| process.identity.pid.to_string()).collect();
                let end = format!("end pid {}", pids.join(", "));
                match directory {
                    Some(path) => format!("{end}, then move {} to the quarantine", path.display()),
                    None => end,
                }
            }
            Self::Chmod { path, mode } => format!("set the mode of {} to {mode:04o}", path.display()),
        }
    }
}
