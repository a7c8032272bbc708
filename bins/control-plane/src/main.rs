//! `control-plane`: the server of a fleet, and its command line.

mod cli;
mod commands;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nkudo_terminal::Failure;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        // These need neither settings nor a runtime.
        Command::Version => commands::version(cli.output),
        Command::Completions { shell } => commands::completions(shell),
        _ => with_runtime(cli),
    };
    // Somebody who does not read the log does not keep the program from ending.
    nkudo_logging::flush(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("control-plane"),
    }
}

fn with_runtime(cli: Cli) -> Result<(), Failure> {
    let sources = cli.sources();
    let settings = sources.load().map_err(Failure::refused)?;
    let mut builder = match cli.command {
        Command::Serve => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().map_err(Failure::failed)?;
    let ended = runtime.block_on(commands::dispatch(cli, sources, settings));
    // A blocking call that hangs must not keep an ended program alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
