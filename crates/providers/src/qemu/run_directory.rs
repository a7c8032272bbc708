//! The run directory of one VM, and the directory that holds them all.
//!
//! **Invariant:** what is in the way of a run directory is neither written to nor removed: a link, a file, or a
//! directory without the lock that is the first file of ours.

use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_domain::{VmId, VmSpec};
use nkudo_host::process::Identity;
use nkudo_host::{clock, file};
use serde::{Deserialize, Serialize};

use super::command_line::names_vm;
use crate::error::ProviderError;

/// Begins the name of a run directory that is being made.
pub(super) const NEW: &str = ".new-";
/// Begins the name of a run directory that is being removed.
pub(super) const GONE: &str = ".gone-";
/// An unfinished directory that was not touched for so long is nobody's any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// The most that is read of a file of ours, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// How much of the end of QEMU's standard error is shown, in bytes.
const LOG_TAIL_BYTES: u64 = 2048;

/// The paths of one VM.
#[derive(Debug, Clone)]
pub(super) struct RunDirectory {
    pub(super) vm_id: VmId,
    pub(super) path: PathBuf,
    vms_dir: PathBuf,
}

/// What has the path of a VM's run directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    RunDirectory,
    /// Somebody else's, or nobody knows whose.
    InTheWay,
}

/// What `vmm.json` holds: the process that was started, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VmmRecord {
    #[serde(flatten)]
    pub(super) identity: Identity,
    pub(super) boot_id: String,
    /// The full command line, the program first.
    pub(super) args: Vec<String>,
    pub(super) qemu_version: String,
    pub(super) accel: String,
    /// Unix time in milliseconds.
    pub(super) started_at_ms: i64,
}

impl RunDirectory {
    pub(super) fn of(vms_dir: &Path, vm_id: VmId) -> Self {
        Self { vm_id, path: vms_dir.join(vm_id.to_string()), vms_dir: vms_dir.to_owned() }
    }

    /// As the kernel names it, by no link, also when it is gone.
    pub(super) fn resolved(&self) -> PathBuf {
        let vms_dir = self.vms_dir.canonicalize().unwrap_or_else(|_| self.vms_dir.clone());
        vms_dir.join(self.vm_id.to_string())
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub(super) fn qmp_socket(&self) -> PathBuf {
        self.path.join("qmp.sock")
    }

    pub(super) fn events_in(&self) -> PathBuf {
        self.path.join("events.in")
    }

    pub(super) fn events_out(&self) -> PathBuf {
        self.path.join("events.out")
    }

    /// How far the events were counted when `events.out` was last cut.
    pub(super) fn events_counted(&self) -> PathBuf {
        self.path.join("events.counted")
    }

    pub(super) fn console_log(&self) -> PathBuf {
        self.path.join("console.log")
    }

    pub(super) fn vmm_log(&self) -> PathBuf {
        self.path.join("vmm.log")
    }

    fn spec_file(&self) -> PathBuf {
        self.path.join("spec.json")
    }

    pub(super) fn vmm_file(&self) -> PathBuf {
        self.path.join("vmm.json")
    }

    pub(super) fn there(&self) -> There {
        match fs::symlink_metadata(&self.path) {
            Ok(there) if there.is_dir() && self.is_ours() => There::RunDirectory,
            Ok(_) => There::InTheWay,
            Err(error) if is_absence(&error) => There::Nothing,
            // What cannot be looked at may be a VM.
            Err(_) => There::RunDirectory,
        }
    }

    /// Whether a run directory is there.
    pub(super) fn exists(&self) -> bool {
        self.there() == There::RunDirectory
    }

    /// The empty lock is in every directory from before it has its name. Where it was taken away, what is recorded
    /// of this very VM proves as much, and what is recorded of another VM the contrary.
    fn is_ours(&self) -> bool {
        let spec = self.read_spec();
        if spec.as_ref().is_some_and(|spec| spec.vm_id != self.vm_id) {
            return false;
        }
        let has_lock = match fs::symlink_metadata(self.lock()) {
            Ok(lock) => lock.is_file() && lock.len() == 0,
            Err(error) => !is_absence(&error),
        };
        has_lock || spec.is_some() || self.read_vmm().is_some_and(|record| names_vm(&record.args, self.vm_id))
    }

    pub(super) fn in_the_way(&self) -> ProviderError {
        ProviderError::InTheWay { path: self.path.clone() }
    }

    /// Makes the directory whole under another name first, so that one that is there is complete.
    pub(super) fn make(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        let unfinished = self.sibling(NEW);
        self.try_make(&unfinished, spec)
            .map_err(|source| failed("cannot make the run directory", &self.path, source))
    }

    fn try_make(&self, unfinished: &Path, spec: &VmSpec) -> io::Result<()> {
        remove_directory(unfinished)?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.recursive(true).create(&self.vms_dir)?;
        private.recursive(false).create(unfinished)?;
        create_file(&unfinished.join("lock"))?;
        fs::write(unfinished.join("spec.json"), json(spec))?;
        fs::rename(unfinished, &self.path)
    }

    pub(super) fn write_spec(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        let path = self.spec_file();
        replace(&path, &json(spec)).map_err(|source| failed("cannot write", &path, source))
    }

    pub(super) fn read_spec(&self) -> Option<VmSpec> {
        read_json(&self.spec_file())
    }

    pub(super) fn write_vmm(&self, record: &VmmRecord) -> Result<(), ProviderError> {
        let path = self.vmm_file();
        replace(&path, &json(record)).map_err(|source| failed("cannot write", &path, source))
    }

    /// None when nothing was started, or when it cannot be understood.
    pub(super) fn read_vmm(&self) -> Option<VmmRecord> {
        read_json(&self.vmm_file())
    }

    /// Whether a start was recorded, well or not.
    pub(super) fn was_started(&self) -> bool {
        self.vmm_file().exists()
    }

    /// Removes what a process left, so that the VM is one that was never started; console and log stay.
    pub(super) fn forget_start(&self) -> Result<(), ProviderError> {
        // The record goes first: without it the rest says nothing.
        let left =
            [self.vmm_file(), self.qmp_socket(), self.events_in(), self.events_out(), self.events_counted()];
        for path in left {
            remove_file(&path).map_err(|source| failed("cannot remove", &path, source))?;
        }
        Ok(())
    }

    /// Removes the directory, under another name first, so that half of one is never taken for a VM. What is in its
    /// way stays.
    pub(super) fn remove(&self) -> Result<(), ProviderError> {
        self.try_remove().map_err(|source| failed("cannot remove", &self.path, source))
    }

    fn try_remove(&self) -> io::Result<()> {
        let (unfinished, gone) = (self.sibling(NEW), self.sibling(GONE));
        remove_directory(&unfinished)?;
        remove_directory(&gone)?;
        if !self.exists() {
            return Ok(());
        }
        absent_is_fine(fs::rename(&self.path, &gone))?;
        remove_directory(&gone)
    }

    /// The end of QEMU's standard error, trimmed.
    pub(super) fn log_tail(&self) -> String {
        let bytes = tail(&self.vmm_log(), LOG_TAIL_BYTES).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    fn sibling(&self, prefix: &str) -> PathBuf {
        self.vms_dir.join(format!("{prefix}{}", self.vm_id))
    }
}

/// The VMs that have a run directory.
pub(super) fn list(vms_dir: &Path) -> Result<Vec<VmId>, ProviderError> {
    let names = entries(vms_dir)?.into_iter().map(|entry| entry.file_name());
    let named = names.filter_map(|name| name.to_str()?.parse().ok());
    let mut vm_ids: Vec<VmId> = named.filter(|vm_id| RunDirectory::of(vms_dir, *vm_id).exists()).collect();
    vm_ids.sort_unstable();
    Ok(vm_ids)
}

/// Removes what was left half made or half removed. What cannot be removed stays.
pub(super) fn sweep(vms_dir: &Path) {
    // A directory that cannot be listed is told by the next who lists it.
    for entry in entries(vms_dir).unwrap_or_default().iter().filter(|entry| is_rubbish(entry)) {
        let path = entry.path();
        if let Err(error) = remove_directory(&path) {
            tracing::warn!(path = %path.display(), %error, "a removed vm's directory cannot be swept");
        }
    }
}

fn entries(vms_dir: &Path) -> Result<Vec<DirEntry>, ProviderError> {
    let listed = match fs::read_dir(vms_dir) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect),
    };
    listed.map_err(|source| failed("cannot list", vms_dir, source))
}

fn is_rubbish(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_str().unwrap_or_default();
    let names_vm = |prefix| name.strip_prefix(prefix).is_some_and(|id| id.parse::<VmId>().is_ok());
    names_vm(GONE) || (names_vm(NEW) && is_abandoned(entry).unwrap_or(false))
}

fn is_abandoned(entry: &DirEntry) -> Option<bool> {
    let modified = entry.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(clock::wall_ms()).ok()?);
    Some(now.saturating_sub(modified) > ABANDONED_AFTER)
}

/// Makes an empty file for our user alone, in place of what was there.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    remove_file(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file for our user alone, so that every write goes to its end.
pub(super) fn append_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The last `max_bytes` of a file.
pub(super) fn tail(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(max_bytes)))?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file in one step; a reader sees the old or the new.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = PathBuf::from(name);
    create_file(&unfinished)?.write_all(bytes)?;
    fs::rename(&unfinished, path)
}

pub(super) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&file::read_plain(path, FILE_BYTES_MAX).ok()?).ok()
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("its map keys are text, and its paths came from text")
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn remove_directory(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn is_absence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_absence(&error) => Ok(()),
        result => result,
    }
}

pub(super) fn failed(operation: &'static str, path: &Path, source: io::Error) -> ProviderError {
    ProviderError::File { operation, path: path.to_owned(), source }
}
