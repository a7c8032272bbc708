//! `nkudo`: the operator's command line of a fleet.

mod cli;
mod commands;
mod follow;
mod list;
mod query;
mod session;
mod settings;
mod submit;

use std::process::ExitCode;
use std::time::Duration;

use nkudo_terminal::Failure;

use crate::cli::{Cli, Command};

/// What stands before every complaint.
const PROGRAM: &str = "nkudo";

fn main() -> ExitCode {
    let cli = Cli::read();
    let ended = match cli.command {
        // These need neither settings nor a runtime.
        Command::Version => commands::version::run(cli.global.output),
        Command::Completions { shell } => commands::completions::run(shell),
        _ => with_runtime(cli),
    };
    // What a host's command logged; somebody who does not read it does not keep the program from ending.
    nkudo_logging::flush(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}

fn with_runtime(cli: Cli) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let ended = runtime.block_on(commands::dispatch(cli));
    // A name that is still being resolved must not keep an ended program alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}
