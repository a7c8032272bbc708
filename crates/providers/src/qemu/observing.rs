//! Finding out how a VM is, and steering one that runs.

use std::time::Duration;

use nkudo_domain::{Evidence, Monitor, Observation, VmId};
use nkudo_host::process::{self, Identity};
use serde_json::Value;
use tokio::time::sleep;

use super::boot::ask_for_events;
use super::end::host_rebooted;
use super::qmp::{self, Failure, Reason};
use super::run_directory::RunDirectory;
use super::{COMMAND_DEADLINE, Qemu, events};
use crate::error::ProviderError;

/// How long QEMU may take to say how the guest is.
pub(super) const STATUS_DEADLINE: Duration = Duration::from_secs(1);
/// How often evidence that disagrees is gathered anew: a process that is starting or ending passes through that.
pub(super) const GATHERINGS_MAX: u32 = 20;
/// How soon it is gathered again.
pub(super) const GATHER_AGAIN: Duration = Duration::from_millis(5);

/// The guest's state as QEMU tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Paused,
    /// Not yet begun.
    Starting,
    /// It will not run again without a reset.
    Broken,
    /// No state that is known.
    Unknown,
}

impl State {
    /// From the answer to `query-status` (QEMU's `RunState`).
    pub(super) fn of(answer: &Value) -> Self {
        match answer.get("status").and_then(Value::as_str) {
            // Suspended is the guest's own sleep.
            Some("running" | "suspended") => Self::Running,
            // After an error of a disk the guest waits to be resumed.
            Some(
                "paused" | "io-error" | "postmigrate" | "finish-migrate" | "save-vm" | "restore-vm" | "debug",
            ) => Self::Paused,
            Some("prelaunch" | "inmigrate") => Self::Starting,
            Some("internal-error" | "guest-panicked" | "shutdown" | "watchdog") => Self::Broken,
            Some(_) | None => Self::Unknown,
        }
    }

    /// What it says of a VM that was started.
    pub(super) fn monitor(self) -> Monitor {
        match self {
            Self::Running => Monitor::Running,
            Self::Paused => Monitor::Paused,
            Self::Starting | Self::Broken | Self::Unknown => Monitor::Silent,
        }
    }
}

impl Qemu {
    /// Gathers the evidence and judges it.
    pub(super) async fn observe_vm(&self, directory: &RunDirectory) -> Result<Observation, ProviderError> {
        let mut evidence = self.gather(directory).await;
        for _ in 1..GATHERINGS_MAX {
            if evidence.lock_held == evidence.process {
                break;
            }
            sleep(GATHER_AGAIN).await;
            evidence = self.gather(directory).await;
        }
        Ok(evidence.judge())
    }

    async fn gather(&self, directory: &RunDirectory) -> Evidence {
        let mut look = self.look(directory);
        let mut monitor = Monitor::Silent;
        if let Some(identity) = look.process.filter(|_| directory.exists()) {
            monitor = ask(directory).await;
            if monitor == Monitor::Silent && !process::is_alive(identity) {
                look = self.look(directory);
            }
        }
        let gone = look.is_gone();
        Evidence {
            directory: directory.exists(),
            lock_held: look.lock_held,
            process: look.process.is_some(),
            monitor,
            started: directory.was_started(),
            host_rebooted: host_rebooted(directory),
            farewell: gone.then(|| self.exit_of(directory)),
        }
    }

    /// Gives a command that changes how the guest is, and makes sure that it did.
    pub(super) async fn steer(
        &self,
        vm_id: VmId,
        command: &'static str,
        wanted: Observation,
    ) -> Result<(), ProviderError> {
        let directory = self.run_directory(vm_id);
        let identity = self.look(&directory).process.ok_or(ProviderError::NotRunning { vm_id })?;
        let socket = directory.qmp_socket();
        match qmp::execute(&socket, &[command, "query-status"], COMMAND_DEADLINE).await {
            Ok(answer) if observed(State::of(&answer)) == Some(wanted) => Ok(()),
            Ok(answer) => {
                let detail = format!("afterwards it said {answer}");
                Err(ProviderError::Refused { vm_id, command, detail })
            }
            Err(failure) => Err(told(failure, &directory, identity)),
        }
    }
}

fn observed(state: State) -> Option<Observation> {
    match state {
        State::Running => Some(Observation::Running),
        State::Paused => Some(Observation::Paused),
        State::Starting | State::Broken | State::Unknown => None,
    }
}

/// A connection that cannot be made to a process that is gone is its end.
fn told(failure: Failure, directory: &RunDirectory, identity: Identity) -> ProviderError {
    let ended = matches!(failure.reason, Reason::Unreachable(_)) && !process::is_alive(identity);
    let reason = if ended { Reason::Ended } else { failure.reason };
    Failure { command: failure.command, reason }.of(directory.vm_id, &directory.qmp_socket())
}

async fn ask(directory: &RunDirectory) -> Monitor {
    if directory.events_out().exists()
        && !events::are_told(directory)
        && let Err(error) = ask_for_events(directory)
    {
        tracing::debug!(vm_id = %directory.vm_id, %error, "qemu cannot be asked for its events");
    }
    match qmp::execute(&directory.qmp_socket(), &["query-status"], STATUS_DEADLINE).await {
        Ok(answer) => State::of(&answer).monitor(),
        Err(failure) => {
            tracing::debug!(vm_id = %directory.vm_id, ?failure, "qemu does not say how the guest is");
            Monitor::Silent
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_read_from_the_answer() {
        let check = |answer: Value, expected| assert_eq!(State::of(&answer), expected, "{answer}");
        check(json!({"status": "running", "singlestep": false, "running": true}), State::Running);
        check(json!({"status": "suspended"}), State::Running);
        check(json!({"status": "paused"}), State::Paused);
        check(json!({"status": "io-error"}), State::Paused);
        check(json!({"status": "prelaunch"}), State::Starting);
        check(json!({"status": "internal-error"}), State::Broken);
        check(json!({"status": "a state of the future"}), State::Unknown);
        check(json!({"status": 7}), State::Unknown);
        check(json!({}), State::Unknown);
        check(json!(7), State::Unknown);
    }
}
