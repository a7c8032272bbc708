//! Everything that is below the directory of run directories, and every process that has to do with it: for whoever
//! compares it with what should be there.
//!
//! **Invariant:** nothing is altered, no link is followed, and what is not ours is told as such.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use nkudo_domain::{VmId, VmSpec};
use nkudo_host::process::{self, Identity, Place};
use nkudo_host::{file, lock};

use super::command_line::names_vm;
use super::run_directory::{FILE_BYTES_MAX, GONE, NEW, RunDirectory, There};

/// Most entries of the directory that are looked at.
const ENTRIES_MAX: usize = 10_000;
/// The names of files of ours that are being written.
const UNFINISHED: &[&str] =
    &["spec.json.new", "vmm.json.new", "events.counted.new", "console.log.1.new", "vmm.log.1.new"];

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// In the order of their names.
    pub entries: Vec<Entry>,
    pub processes: Vec<VmProcess>,
    /// Entries beyond the bound, which were not looked at.
    pub left_out: usize,
}

/// One name in the directory of run directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: PathBuf,
    pub kind: EntryKind,
    /// Since it was changed last, in milliseconds; none where that is not known.
    pub age_ms: Option<u64>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    Run(RunFacts),
    /// A run directory that is being made or removed, or was when somebody was killed.
    Unfinished {
        vm_id: VmId,
    },
    /// A symbolic link, whatever it leads to.
    Link,
    /// No name of ours, no directory, or one with the name of a VM that has nothing of ours in it.
    Foreign,
}

/// What is in a run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    pub vm_id: VmId,
    /// Since `spec.json` was written, in milliseconds; none where it cannot be understood, so that the VM cannot be taken
    /// over.
    pub spec_age_ms: Option<u64>,
    /// Somebody holds its lock, or that cannot be known.
    pub lock_held: bool,
    /// Its socket is there.
    pub socket: Option<PathBuf>,
    /// Files of ours that were not finished, with the age of each in milliseconds.
    pub unfinished: Vec<(PathBuf, u64)>,
}

/// A process that works in a run directory, or reads its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmProcess {
    pub identity: Identity,
    /// The VM of the run directory.
    pub vm_id: VmId,
    pub program: String,
    /// Since it was started, in milliseconds.
    pub age_ms: u64,
    /// Its command line bears the VM's UUID as QEMU's does.
    pub names_vm: bool,
    /// Its standard input is the lock of the run directory that is there.
    pub holds_lock: bool,
    /// Its standard input was the lock of a run directory of that name, which is gone.
    pub held_removed_lock: bool,
}

impl VmProcess {
    /// Whether it is beyond doubt the VM's: it bears the UUID and has the lock that only a VMM is given. Who it is, it is
    /// by pid and start time.
    pub fn is_proven(&self) -> bool {
        self.names_vm && (self.holds_lock || self.held_removed_lock)
    }

    /// Looks at the process again. None when it is gone, or is not the VM's any more.
    pub fn look_again(&self, vms_dir: &Path) -> Option<Self> {
        let vms_dir = vms_dir.canonicalize().ok()?;
        let found = process::below(&vms_dir).into_iter().filter_map(|place| vm_process(&vms_dir, place));
        found.into_iter().find(|found| found.identity == self.identity && found.vm_id == self.vm_id)
    }
}

/// Looks at everything. A directory that is not there has nothing in it.
///
/// # Errors
/// When the directory cannot be listed.
pub fn inventory(vms_dir: &Path, now_ms: i64) -> io::Result<Inventory> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(vms_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
    };
    paths.sort_unstable();
    let left_out = paths.len().saturating_sub(ENTRIES_MAX);
    paths.truncate(ENTRIES_MAX);
    let entries = paths.into_iter().filter_map(|path| entry(vms_dir, path, now_ms)).collect();
    // The kernel names directories by their own names.
    let processes = match vms_dir.canonicalize() {
        Ok(own) => process::below(&own).into_iter().filter_map(|place| vm_process(&own, place)).collect(),
        Err(_) => Vec::new(),
    };
    Ok(Inventory { entries, processes, left_out })
}

/// None when it was removed meanwhile.
fn entry(vms_dir: &Path, path: PathBuf, now_ms: i64) -> Option<Entry> {
    let metadata = fs::symlink_metadata(&path).ok()?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let unfinished = [NEW, GONE].into_iter().find_map(|prefix| name.strip_prefix(prefix));
    let kind = if metadata.is_symlink() {
        EntryKind::Link
    } else if !metadata.is_dir() {
        EntryKind::Foreign
    } else if let Ok(vm_id) = name.parse::<VmId>() {
        let directory = RunDirectory::of(vms_dir, vm_id);
        match directory.there() {
            There::RunDirectory => EntryKind::Run(run_facts(&directory, now_ms)),
            There::InTheWay => EntryKind::Foreign,
            There::Nothing => return None,
        }
    } else if let Some(Ok(vm_id)) = unfinished.map(str::parse::<VmId>) {
        EntryKind::Unfinished { vm_id }
    } else {
        EntryKind::Foreign
    };
    Some(Entry { age_ms: age_ms(&metadata, now_ms), path, kind })
}

fn run_facts(directory: &RunDirectory, now_ms: i64) -> RunFacts {
    let socket = directory.qmp_socket();
    let unfinished = UNFINISHED.iter().filter_map(|name| {
        let path = directory.path.join(name);
        let metadata = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some((path, age_ms(&metadata, now_ms)?))
    });
    RunFacts {
        vm_id: directory.vm_id,
        spec_age_ms: spec_age_ms(&directory.path.join("spec.json"), now_ms),
        lock_held: lock_is_held(&directory.lock()),
        socket: fs::symlink_metadata(&socket)
            .is_ok_and(|there| there.file_type().is_socket())
            .then_some(socket),
        unfinished: unfinished.collect(),
    }
}

fn spec_age_ms(path: &Path, now_ms: i64) -> Option<u64> {
    let bytes = file::read_plain(path, FILE_BYTES_MAX).ok()?;
    serde_json::from_slice::<VmSpec>(&bytes).ok()?;
    age_ms(&fs::symlink_metadata(path).ok()?, now_ms)
}

/// A lock that cannot be looked at may be held; what is no plain file is no lock.
fn lock_is_held(path: &Path) -> bool {
    let plain = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    plain && lock::is_held(path).unwrap_or(true)
}

fn age_ms(metadata: &fs::Metadata, now_ms: i64) -> Option<u64> {
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let modified_ms = i64::try_from(modified.as_millis()).ok()?;
    Some(u64::try_from(now_ms.saturating_sub(modified_ms)).unwrap_or(0))
}

fn vm_process(vms_dir: &Path, place: Place) -> Option<VmProcess> {
    let of = |path: &Path| -> Option<VmId> {
        path.strip_prefix(vms_dir).ok()?.iter().next()?.to_str()?.parse().ok()
    };
    let Place { pid, cwd, stdin } = place;
    let vm_id = stdin.as_deref().and_then(of).or_else(|| of(&cwd))?;
    let lock = RunDirectory::of(vms_dir, vm_id).lock();
    let words = process::command_line(pid)?;
    let holds_lock = process::reads(pid, &lock);
    let program = words.first().map(Path::new).and_then(Path::file_name);
    let identity = process::identity(pid)?;
    Some(VmProcess {
        identity,
        vm_id,
        age_ms: process::age_ms(identity),
        program: program.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        names_vm: names_vm(&words, vm_id),
        holds_lock,
        held_removed_lock: !holds_lock && stdin.as_deref() == Some(lock.as_path()),
    })
}
