//! Ending a VM's process, and noticing its end.

use std::time::Duration;

use nkudo_domain::Exit;
use nkudo_host::clock;
use nkudo_host::pidfd::{PidFd, PidFdError, Signal};
use nkudo_host::process::Identity;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument as _;

use super::run_directory::{RunDirectory, failed};
use super::{COMMAND_DEADLINE, Qemu, events, qmp};
use crate::error::ProviderError;

/// How long QEMU may take to quit when told to.
const QUIT_DEADLINE: Duration = Duration::from_secs(1);
/// How long a killed process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// How long a lock without a process that is known is waited for: others hold it for a moment to look.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How soon it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Qemu {
    /// Presses the power button, waits for the end of the process, and after `grace` brings it about.
    pub(super) async fn end_gracefully(
        &self,
        directory: &RunDirectory,
        grace: Duration,
    ) -> Result<(), ProviderError> {
        let forced_at = Instant::now() + grace;
        let Some(identity) = self.look(directory).process else {
            return self.end_unless_gone(directory).await;
        };
        let Some(process) = open(directory, identity)? else { return self.end_unless_gone(directory).await };
        let socket = directory.qmp_socket();
        let asked = qmp::execute(&socket, &["system_powerdown"], COMMAND_DEADLINE.min(grace)).await;
        if let Err(failure) = asked {
            // The button may have been pressed all the same: the guest has its time.
            tracing::debug!(vm_id = %directory.vm_id, ?failure, "no answer to the power button");
        }
        let waiting = tracing::info_span!("wait for guest");
        if timeout_at(forced_at, process.exited()).instrument(waiting).await.is_ok() {
            self.reap(directory.vm_id);
            return Ok(());
        }
        if qmp::execute(&socket, &["quit"], QUIT_DEADLINE).await.is_ok() {
            // Quitting writes the disks out; whether it was quick enough shows below.
            drop(timeout(QUIT_DEADLINE, process.exited()).await);
        }
        self.end_now(directory).await
    }

    /// For a VM that has no process that is known: how it ended stays, unless something holds its lock.
    async fn end_unless_gone(&self, directory: &RunDirectory) -> Result<(), ProviderError> {
        self.reap(directory.vm_id);
        if self.look(directory).is_gone() { Ok(()) } else { self.end_now(directory).await }
    }

    /// Kills the VM's process, if there is one, and forgets that it was.
    pub(super) async fn end_now(&self, directory: &RunDirectory) -> Result<(), ProviderError> {
        let vm_id = directory.vm_id;
        let patient_until = Instant::now() + LOCK_PATIENCE;
        loop {
            let look = self.look(directory);
            if let Some(identity) = look.process {
                kill(directory, identity).instrument(tracing::info_span!("kill", pid = identity.pid)).await?;
                self.reap(vm_id);
            } else if !look.lock_held {
                break;
            } else if Instant::now() >= patient_until {
                return Err(ProviderError::StillAlive { vm_id });
            } else {
                sleep(LOOK_AGAIN).await;
            }
        }
        if directory.exists() {
            directory.forget_start()?;
        }
        self.forget_child(vm_id);
        self.forget_counted(vm_id);
        Ok(())
    }

    /// Waits for the end of the VM's process and tells why it ended. A lock that is held by nobody known is waited
    /// for as well: what may be alive is not declared dead.
    pub(super) async fn watch(&self, directory: &RunDirectory) -> Exit {
        loop {
            let look = self.look(directory);
            match look.process.map(PidFd::open) {
                Some(Ok(process)) => process.exited().await,
                None if look.is_gone() => return self.exit_of(directory),
                // It ended just now, or there is no descriptor left to wait with.
                Some(Err(_)) | None => sleep(LOOK_AGAIN).await,
            }
            self.reap(directory.vm_id);
        }
    }

    /// Why the VM's process ended, which it has.
    pub(super) fn exit_of(&self, directory: &RunDirectory) -> Exit {
        let process = self.reap(directory.vm_id);
        if !directory.exists() {
            return events::explain(&[], process, "");
        }
        if host_rebooted(directory) { Exit::HostRebooted } else { events::exit(directory, process) }
    }
}

/// Whether the host has booted since the VM was started.
pub(super) fn host_rebooted(directory: &RunDirectory) -> bool {
    match (directory.read_vmm(), clock::boot_id()) {
        (Some(record), Ok(boot_id)) => record.boot_id != boot_id,
        (None, _) | (_, Err(_)) => false,
    }
}

async fn kill(directory: &RunDirectory, identity: Identity) -> Result<(), ProviderError> {
    let Some(process) = open(directory, identity)? else { return Ok(()) };
    if let Err(source) = process.signal(Signal::Kill)
        && !process.has_exited()
    {
        return Err(failed("cannot kill the process of", &directory.path, source));
    }
    let silent = |_| ProviderError::Silent {
        vm_id: directory.vm_id,
        command: "SIGKILL",
        deadline_ms: u64::try_from(KILL_DEADLINE.as_millis()).unwrap_or(u64::MAX),
    };
    timeout(KILL_DEADLINE, process.exited()).await.map_err(silent)
}

/// None when it is gone.
fn open(directory: &RunDirectory, identity: Identity) -> Result<Option<PidFd>, ProviderError> {
    match PidFd::open(identity) {
        Ok(process) => Ok(Some(process)),
        Err(PidFdError::Gone(_)) => Ok(None),
        Err(PidFdError::Open { source, .. }) => {
            Err(failed("cannot watch the process of", &directory.path, source))
        }
    }
}
