//! Starting a VM.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use nkudo_domain::{VmId, VmSpec};
use nkudo_host::lock::LockedFile;
use nkudo_host::process::Identity;
use nkudo_host::{clock, fifo, process, spawn};
use tokio::time::{Instant, sleep};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::accel::Accelerator;
use super::observing::State;
use super::program::{self, Installed};
use super::qmp::{self, Reason};
use super::run_directory::{RunDirectory, There, VmmRecord, append_file, create_file, failed};
use super::{COMMAND_DEADLINE, Qemu, command_line, events, images};
use crate::error::ProviderError;

/// How long QEMU may take from its start until it says that the guest runs.
const BOOT_DEADLINE: Duration = Duration::from_secs(30);
/// How soon a new QEMU is asked again, at first and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// How long QEMU may take to begin telling its events once the guest runs.
const EVENTS_DEADLINE: Duration = Duration::from_secs(2);
/// How soon it is asked for them again.
const EVENTS_PATIENCE: Duration = Duration::from_millis(50);
/// How long the lock of a VM without a process is waited for: others hold it for a moment to look.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
/// How soon it is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(2);
/// Makes a monitor tell its events.
const CAPABILITIES: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";

impl Qemu {
    /// Starts QEMU and waits until it says that the guest runs. When it fails, nothing is left running; when it is
    /// dropped, what was started stays to be found.
    pub(super) async fn boot_vm(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        let directory = self.run_directory(spec.vm_id);
        match directory.there() {
            There::Nothing => {
                let absent = io::Error::from(io::ErrorKind::NotFound);
                return Err(failed("cannot open the run directory", &directory.path, absent));
            }
            There::InTheWay => return Err(directory.in_the_way()),
            There::RunDirectory => {}
        }
        images::check(spec)?;
        let installed = self.installed().await?;
        let accelerator = self.accelerator(&installed).await?;
        let locking = tracing::info_span!("lock", error = Empty);
        let lock = self.take_lock(&directory).instrument(locking.clone()).await;
        let lock = failed_in(&locking, lock)?;
        drop(locking);
        let spawning = tracing::info_span!("spawn", pid = Empty, error = Empty);
        let started = spawning.in_scope(|| self.start(spec, &directory, lock, &installed, accelerator));
        let (identity, events) = failed_in(&spawning, started)?;
        spawning.record("pid", identity.pid);
        drop(spawning);
        let waiting = tracing::info_span!("wait for QMP", error = Empty);
        let running = self.until_running(&directory, identity).instrument(waiting.clone()).await;
        let running = failed_in(&waiting, running);
        drop(waiting);
        // The pipe is open until QEMU had its own end of it open: what waits in a pipe that nobody holds is lost.
        match running {
            Ok(()) => {
                let waiting = tracing::info_span!("wait for events");
                until_events(&directory, events).instrument(waiting).await;
                Ok(())
            }
            Err(error) => {
                if let Err(left) = self.end_now(&directory).await {
                    tracing::warn!(vm_id = %spec.vm_id, error = %left, "a failed start cannot be cleaned up");
                }
                Err(error)
            }
        }
    }

    async fn take_lock(&self, directory: &RunDirectory) -> Result<LockedFile, ProviderError> {
        let path = directory.lock();
        let patient_until = Instant::now() + LOCK_PATIENCE;
        loop {
            let look = self.look(directory);
            let taken =
                LockedFile::try_exclusive(&path).map_err(|source| failed("cannot lock", &path, source))?;
            match taken {
                Some(lock) if look.process.is_none() => return Ok(lock),
                Some(_) => return Err(ProviderError::StillAlive { vm_id: directory.vm_id }),
                None if look.process.is_some() || Instant::now() >= patient_until => {
                    return Err(ProviderError::StillAlive { vm_id: directory.vm_id });
                }
                None => sleep(LOCK_RETRY).await,
            }
        }
    }

    /// From the lock to the record of the process without an await, so that it cannot be dropped in between.
    fn start(
        &self,
        spec: &VmSpec,
        directory: &RunDirectory,
        lock: LockedFile,
        installed: &Installed,
        accelerator: Accelerator,
    ) -> Result<(Identity, File), ProviderError> {
        directory.forget_start()?;
        self.forget_child(spec.vm_id);
        let events = prepare_events(directory)
            .map_err(|source| failed("cannot prepare the events of", &directory.path, source))?;
        let log_path = directory.vmm_log();
        let log = create_file(&log_path)
            .and_then(|_| Ok((append_file(&log_path)?, append_file(&log_path)?)))
            .map_err(|source| failed("cannot make", &log_path, source))?;
        let args = command_line::arguments(spec, accelerator);
        let child = spawn::detached(spawn::Detached {
            program: &installed.program,
            args: &args,
            stdin: lock.into_file(),
            stdout: log.0,
            stderr: log.1,
            cwd: &directory.path,
            env: &[],
        });
        let child = child.map_err(|error| not_started(spec.vm_id, error))?;
        let identity = child.identity();
        self.children().insert(spec.vm_id, child);
        let mut words = vec![installed.program.to_string_lossy().into_owned()];
        words.extend(args.iter().map(|word| word.to_string_lossy().into_owned()));
        let recorded = directory.write_vmm(&VmmRecord {
            identity,
            boot_id: clock::boot_id().unwrap_or_default(),
            args: words,
            qemu_version: installed.version.clone(),
            accel: accelerator.as_str().to_owned(),
            started_at_ms: clock::wall_ms(),
        });
        // Without its record the process is still found by the lock it holds.
        if let Err(error) = recorded {
            tracing::warn!(vm_id = %spec.vm_id, %error, "a started process cannot be recorded");
        }
        Ok((identity, events))
    }

    async fn until_running(&self, directory: &RunDirectory, identity: Identity) -> Result<(), ProviderError> {
        let vm_id = directory.vm_id;
        let socket = directory.qmp_socket();
        let ends_at = Instant::now() + BOOT_DEADLINE;
        let mut pause = ASK_AGAIN.0;
        loop {
            if !process::is_alive(identity) {
                return Err(self.ended_at_once(directory));
            }
            let answer = qmp::execute(&socket, &["query-status"], COMMAND_DEADLINE).await;
            match answer.map(|answer| State::of(&answer)) {
                Ok(State::Running) => return Ok(()),
                Ok(State::Starting) => {}
                Ok(state @ (State::Paused | State::Broken | State::Unknown)) => {
                    let detail = format!("the guest is {state:?} after its start").to_lowercase();
                    return Err(ProviderError::Refused { vm_id, command: "query-status", detail });
                }
                Err(failure) => match failure.reason {
                    Reason::Unreachable(_) | Reason::Silent { .. } | Reason::Ended => {}
                    Reason::Garbage(_) | Reason::Refused(_) => return Err(failure.of(vm_id, &socket)),
                },
            }
            if Instant::now() >= ends_at {
                let deadline_ms = u64::try_from(BOOT_DEADLINE.as_millis()).unwrap_or(u64::MAX);
                return Err(ProviderError::Silent { vm_id, command: "query-status", deadline_ms });
            }
            sleep(pause).await;
            pause = (pause * 2).min(ASK_AGAIN.1);
        }
    }

    fn ended_at_once(&self, directory: &RunDirectory) -> ProviderError {
        let detail = self.exit_of(directory).to_string();
        ProviderError::EndedAtOnce { vm_id: directory.vm_id, detail }
    }
}

/// Has the span say why it failed, if it did.
fn failed_in<T>(span: &Span, done: Result<T, ProviderError>) -> Result<T, ProviderError> {
    if let Err(error) = &done {
        span.record("error", error as &dyn std::error::Error);
    }
    done
}

fn not_started(vm_id: VmId, error: spawn::SpawnError) -> ProviderError {
    match error {
        spawn::SpawnError::Missing(program) => program::missing(&program),
        error => {
            let mut detail = error.to_string();
            if let Some(source) = error.source() {
                detail = format!("{detail}: {source}");
            }
            ProviderError::EndedAtOnce { vm_id, detail }
        }
    }
}

/// Waits until QEMU tells its events. QEMU 7.2 loses the first command on the pipe now and then when the host is busy
/// (seen in about one of ten boots beside ten others on two cores): then it is asked again.
async fn until_events(directory: &RunDirectory, mut pipe: File) {
    let ends_at = Instant::now() + EVENTS_DEADLINE;
    let mut ask_at = Instant::now() + EVENTS_PATIENCE;
    while !events::are_told(directory) {
        let now = Instant::now();
        if now >= ends_at {
            tracing::warn!(vm_id = %directory.vm_id, "qemu does not tell its events; why the vm ends may stay unknown");
            return;
        }
        if now >= ask_at {
            ask_at = now + EVENTS_PATIENCE;
            if let Err(error) = pipe.write_all(CAPABILITIES) {
                tracing::debug!(vm_id = %directory.vm_id, %error, "qemu cannot be asked for its events");
            }
        }
        sleep(ASK_AGAIN.0).await;
    }
}

/// Asks the monitor on the pipe to tell its events, in case whoever started QEMU ended before it heard.
pub(super) fn ask_for_events(directory: &RunDirectory) -> io::Result<File> {
    let mut pipe = fifo::open_rdwr_nonblocking(&directory.events_in())?;
    pipe.write_all(CAPABILITIES)?;
    Ok(pipe)
}

fn prepare_events(directory: &RunDirectory) -> io::Result<File> {
    fifo::make(&directory.events_in())?;
    create_file(&directory.events_out())?;
    ask_for_events(directory)
}
