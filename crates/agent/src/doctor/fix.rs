//! Mending: what was judged is looked at again and done. Whoever calls holds the state directory for himself.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_api::view::doctor::FindingView;
use nkudo_host::clock;
use nkudo_host::lock;
use nkudo_host::pidfd::{PidFd, PidFdError, Signal};
use nkudo_providers::qemu::inventory::VmProcess;
use tokio::time::{Instant, sleep, timeout};

use super::picture::{Finding, Fix};
use super::quarantine::Quarantine;

/// How long a process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// How long a lock may be held after its holder is gone.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How soon it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why something could not be mended.
#[derive(Debug, thiserror::Error)]
enum FixError {
    #[error("somebody holds its lock now")]
    Held,
    #[error("pid {0} is not proven to be the vm's any more")]
    NotProven(u32),
    #[error("pid {pid} cannot be ended: {source}")]
    Kill { pid: u32, source: io::Error },
    #[error("pid {0} did not end in time")]
    Survives(u32),
    #[error("it cannot be moved: {0}")]
    Move(io::Error),
    #[error("its mode cannot be set: {0}")]
    Chmod(io::Error),
}

/// Mends one finding, if that can be, and tells how it went.
pub(super) async fn mend(quarantine: &mut Quarantine, state_dir: &Path, finding: Finding) -> FindingView {
    let Some(fix) = &finding.fix else { return finding.view() };
    let (kept_as, error) = match perform(quarantine, state_dir, &finding, fix).await {
        Ok(kept) => (kept.map(|path| path.display().to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    FindingView { fixed: Some(error.is_none()), kept_as, error, ..finding.view() }
}

async fn perform(
    quarantine: &mut Quarantine,
    state_dir: &Path,
    finding: &Finding,
    fix: &Fix,
) -> Result<Option<PathBuf>, FixError> {
    match fix {
        Fix::SetAside(path) => set_aside(quarantine, finding, path).await.map(Some),
        Fix::End { processes, directory } => {
            for process in processes {
                end(&state_dir.join("vms"), process).await?;
            }
            match directory {
                Some(path) => set_aside(quarantine, finding, path).await.map(Some),
                None => Ok(None),
            }
        }
        Fix::Chmod { path, mode } => {
            // A link has no mode of its own; what it leads to is not ours to alter.
            if fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink()) {
                return Err(FixError::Chmod(io::ErrorKind::InvalidInput.into()));
            }
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).map_err(FixError::Chmod)?;
            Ok(None)
        }
    }
}

async fn set_aside(quarantine: &mut Quarantine, finding: &Finding, path: &Path) -> Result<PathBuf, FixError> {
    let lock = path.join("lock");
    let patient_until = Instant::now() + LOCK_PATIENCE;
    while fs::symlink_metadata(&lock).is_ok_and(|there| there.is_file())
        && lock::is_held(&lock).unwrap_or(true)
    {
        if Instant::now() >= patient_until {
            return Err(FixError::Held);
        }
        sleep(LOOK_AGAIN).await;
    }
    quarantine.take(path, finding, clock::wall_ms()).map_err(FixError::Move)
}

/// Ends a process that is still proven to be the VM's.
async fn end(vms_dir: &Path, process: &VmProcess) -> Result<(), FixError> {
    let pid = process.identity.pid;
    // The handle is on one process for good; what is seen of it from here on is seen of that one.
    let handle = match PidFd::open(process.identity) {
        Err(PidFdError::Gone(_)) => return Ok(()),
        Err(PidFdError::Open { source, .. }) => return Err(FixError::Kill { pid, source }),
        Ok(handle) => handle,
    };
    if !process.look_again(vms_dir).is_some_and(|now| now.is_proven()) {
        return if handle.has_exited() { Ok(()) } else { Err(FixError::NotProven(pid)) };
    }
    if let Err(source) = handle.signal(Signal::Kill)
        && !handle.has_exited()
    {
        return Err(FixError::Kill { pid, source });
    }
    timeout(KILL_DEADLINE, handle.exited()).await.map_err(|_| FixError::Survives(pid))
}
