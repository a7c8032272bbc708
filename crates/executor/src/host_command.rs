//! One command of the host, from its start until nothing of it is left.

use std::ffi::OsString;
use std::time::Instant;

use nkudo_domain::{ActionId, CommandOutput, HostCommand, ResourceUsage};
use nkudo_host::contained::{self, Captured, Contained, Ended, Owner, Running};
use nkudo_host::spawn::SpawnError;
use nkudo_tracker::{CommandEnd, CommandReport};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::error::chain;

/// Where programs are that a command names without their path, unless it says otherwise itself.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command to its end, or until `interrupt`; then it is ended with all that it has started.
pub(crate) async fn run(
    owner: Owner,
    action_id: ActionId,
    command: Box<HostCommand>,
    interrupt: CancellationToken,
) -> CommandReport {
    let began = Instant::now();
    // It looks at every process of the host before it starts one. Dropped here, what it has started is ended.
    let started = tokio::task::spawn_blocking(move || start(&owner, &action_id, &command)).await;
    let started =
        started.map_err(|error| chain(&error)).and_then(|started| started.map_err(|error| chain(&error)));
    let mut running = match started {
        Ok(running) => running,
        Err(error) => {
            Span::current().record("error", &error);
            return CommandReport {
                end: CommandEnd::NotStarted { error },
                output: None,
                usage: ResourceUsage::default(),
            };
        }
    };
    // Waiting holds no state: what is dropped here is asked for again below.
    let interrupted = tokio::select! {
        biased;
        _ = running.ended() => false,
        () = interrupt.cancelled() => {
            running.kill().await;
            true
        }
    };
    let Ended { exit, stdout, stderr, cpu, peak_memory_bytes, left } = running.ended().await;
    if !left.is_empty() {
        let pids: Vec<u32> = left.iter().map(|process| process.pid).collect();
        tracing::error!(?pids, "processes of a command do not end; the kernel holds them");
    }
    let end = match exit.code {
        _ if interrupted => CommandEnd::Interrupted,
        Some(status) => CommandEnd::Exited(status),
        None => CommandEnd::Killed { signal: exit.signal },
    };
    Span::current().record("exit_code", exit.code);
    let elapsed = began.elapsed().as_secs_f64();
    let cpu_percent = if elapsed > 0.0 { 100.0 * cpu.as_secs_f64() / elapsed } else { 0.0 };
    CommandReport {
        end,
        output: Some(output(exit.code.filter(|_| !interrupted), &stdout, &stderr)),
        usage: ResourceUsage {
            cpu_percent: (cpu_percent * 100.0).round() / 100.0,
            memory_bytes: peak_memory_bytes,
        },
    }
}

fn start(owner: &Owner, action_id: &ActionId, command: &HostCommand) -> Result<Running, SpawnError> {
    let args: Vec<OsString> = command.args.iter().map(OsString::from).collect();
    let mut env: Vec<(OsString, OsString)> = vec![("PATH".into(), PATH.into())];
    env.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
    contained::start(Contained {
        program: &command.program,
        args: &args,
        cwd: &command.dir,
        env: &env,
        name: action_id.as_str(),
        owner,
        output_max: CommandOutput::TEXT_MAX_BYTES,
    })
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
