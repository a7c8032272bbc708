//! Commands of the host, each from its start until nothing of it is left.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nkudo_domain::{ActionId, CommandOutput, HostCommand, ResourceUsage};
use nkudo_host::contained::{self, Captured, Contained, Ended, Owner, Running};
use nkudo_host::disk;
use nkudo_supervision::{Operation, Operations};
use nkudo_tracker::{CommandEnd, CommandReport};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::error::chain;

/// Where programs are that a command names without their path, unless it says otherwise itself.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much longer than it may take a start is waited for. A file system that hangs holds it up.
const START_GRACE: Duration = Duration::from_secs(10);

/// Runs the commands of one executor.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    owner: Owner,
    state_dir: PathBuf,
    /// Below so much free space nothing of what a command wrote is kept.
    free_bytes_min: u64,
    /// Held while one is being started: nobody waits for that thread if it hangs, and no other is started beside it.
    starting: Arc<Mutex<()>>,
    /// What an earlier command has left may still run.
    left_over: Arc<AtomicBool>,
    operations: Operations,
}

/// One that was started, or why not. What was started is ended before another can be.
struct Started {
    running: Result<Running, String>,
    _starting: OwnedMutexGuard<()>,
}

impl Commands {
    pub(crate) fn new(state_dir: PathBuf, free_bytes_min: u64, operations: Operations) -> Self {
        // Whose they are, also after a restart of the program.
        let owner = state_dir.canonicalize().unwrap_or_else(|_| state_dir.clone());
        Self {
            owner: Owner::new(&owner.to_string_lossy()),
            state_dir,
            free_bytes_min,
            starting: Arc::default(),
            left_over: Arc::new(AtomicBool::new(true)),
            operations,
        }
    }

    /// Ends what commands of a former run of the program have left: nobody waits for it any more. As long as that does not
    /// succeed no command is started. Blocks.
    pub(crate) fn end_left_over(&self) -> Result<(), String> {
        if !self.left_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let names = contained::end_left_over(&self.owner).map_err(|error| {
            format!("what an earlier command has left running cannot be ended: {}", chain(&error))
        })?;
        for action_id in names {
            tracing::warn!(action_id, "what a command had left running was ended");
        }
        self.left_over.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until no command is being started any more, but not for ever.
    pub(crate) async fn settle(&self) {
        if timeout(START_GRACE, self.starting.lock()).await.is_err() {
            tracing::error!("a command is still being started; it is ended when it begins");
        }
    }

    /// Runs a command to its end, or until `interrupt`; then it is ended with all that it has started.
    pub(crate) async fn run(
        self,
        action_id: ActionId,
        command: Box<HostCommand>,
        interrupt: CancellationToken,
    ) -> CommandReport {
        let began = Instant::now();
        let state_dir = self.state_dir.clone();
        let (free_bytes_min, operations) = (self.free_bytes_min, self.operations.clone());
        let left_over = Arc::clone(&self.left_over);
        let patience = async {
            interrupt.cancelled().await;
            sleep(START_GRACE).await;
        };
        let started = tokio::select! {
            biased;
            started = self.start_apart(action_id, command) => started,
            () = patience => Err("it could not be started in time; does the file system of its program or directory hang?".to_owned()),
        };
        operations.ended(Operation::ProcessStart, 0, began.elapsed(), started.is_ok());
        let mut running = match started {
            Ok(running) => running,
            Err(error) => {
                Span::current().record("error", &error);
                let end = CommandEnd::NotStarted { error };
                return CommandReport { end, output: None, usage: ResourceUsage::default() };
            }
        };
        // Waiting holds no state: what is dropped here is asked for again below.
        let interrupted = tokio::select! {
            biased;
            _ = running.ended() => false,
            () = interrupt.cancelled() => {
                let asked = Instant::now();
                running.kill().await;
                operations.ended(Operation::ProcessSignal, 0, asked.elapsed(), true);
                true
            }
        };
        let Ended { exit, stdout, stderr, cpu, peak_memory_bytes, left } = running.ended().await;
        let pids: Vec<u32> = left.iter().map(|process| process.pid).collect();
        // One that exited by itself has a status, also when it was to be ended meanwhile.
        let end = match exit.code {
            _ if !pids.is_empty() => {
                // Nothing is started beside them.
                left_over.store(true, Ordering::Relaxed);
                CommandEnd::Stuck { pids }
            }
            Some(status) => CommandEnd::Exited(status),
            None if interrupted => CommandEnd::Interrupted,
            None => CommandEnd::Killed { signal: exit.signal },
        };
        Span::current().record("exit_code", exit.code);
        let mut output = output(exit.code, &stdout, &stderr);
        let is_full = disk::space(&state_dir).is_ok_and(|space| space.available_bytes < free_bytes_min);
        if is_full {
            // What room there is belongs to the ends of actions.
            output.forget();
        }
        let elapsed = began.elapsed().as_secs_f64();
        let cpu_percent = if elapsed > 0.0 { 100.0 * cpu.as_secs_f64() / elapsed } else { 0.0 };
        let cpu_percent = (cpu_percent * 100.0).round() / 100.0;
        let usage = ResourceUsage { cpu_percent, memory_bytes: peak_memory_bytes };
        CommandReport { end, output: Some(output), usage }
    }

    /// Starts a command on a thread of its own: it looks at every process of the host before. When nobody waits any more,
    /// what was started is ended.
    async fn start_apart(self, action_id: ActionId, command: Box<HostCommand>) -> Result<Running, String> {
        let starting = Arc::clone(&self.starting).lock_owned().await;
        let start = move || Started { running: self.start(&action_id, &command), _starting: starting };
        match tokio::task::spawn_blocking(start).await {
            Ok(Started { running, .. }) => running,
            Err(error) => Err(chain(&error)),
        }
    }

    fn start(&self, action_id: &ActionId, command: &HostCommand) -> Result<Running, String> {
        self.end_left_over()?;
        let args: Vec<OsString> = command.args.iter().map(OsString::from).collect();
        let mut env: Vec<(OsString, OsString)> = vec![("PATH".into(), PATH.into())];
        env.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
        let started = contained::start(Contained {
            program: &command.program,
            args: &args,
            cwd: &command.dir,
            env: &env,
            name: action_id.as_str(),
            owner: &self.owner,
            output_max: CommandOutput::TEXT_MAX_BYTES,
        });
        started.map_err(|error| chain(&error))
    }
}

fn output(exit_code: Option<i32>, stdout: &Captured, stderr: &Captured) -> CommandOutput {
    CommandOutput {
        exit_code,
        stdout: String::from_utf8_lossy(&stdout.bytes).into_owned(),
        stderr: String::from_utf8_lossy(&stderr.bytes).into_owned(),
        truncated: stdout.truncated || stderr.truncated,
    }
    .bounded()
}
