//! `edge-agent`: the daemon of one host, and its command line.

mod cli;
mod commands;
mod query;

use std::process::ExitCode;

use clap::Parser;
use nkudo_terminal::Failure;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        // These need neither settings nor a runtime.
        Command::Version => commands::version::run(cli.output),
        Command::Completions { shell } => commands::completions::run(shell),
        _ => with_runtime(cli),
    };
    // Somebody who does not read the log does not keep the program from ending.
    nkudo_logging::flush(std::time::Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("edge-agent"),
    }
}

fn with_runtime(cli: Cli) -> Result<(), Failure> {
    let sources = cli.sources();
    let settings = sources.load().map_err(Failure::refused)?;
    let mut builder = match cli.command {
        Command::Run => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            // The agent waits most of its time; its share of the host belongs to the VMs.
            builder.worker_threads(2);
            builder
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().map_err(Failure::failed)?;
    let ended = runtime.block_on(commands::dispatch(cli, sources, settings));
    // A blocking call that hangs must not keep an ended program alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}
