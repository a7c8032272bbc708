//! `cargo xtask`: the command line of the workflows.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, codegen, demo, lint, test};

/// Every workflow of the project
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole on this machine: an agent, real microVMs, a crash, an adoption
    Demo {
        /// End after everything was shown
        #[arg(long)]
        once: bool,
    },
    /// Run every test; installs what is missing first
    Test,
    /// Format, clippy, documentation, house rules
    Lint,
    /// Measure, side by side with peers
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Write what is generated
    Codegen {
        /// Only say whether it is current
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The agent: idle cost, overhead over bare QEMU, time to adoption
    Agent {
        /// Write the figures here too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo { once } => demo::run(once),
        Command::Test => test::run(),
        Command::Lint => lint::run(),
        Command::Bench { what: Bench::Agent { json } } => bench::agent(json.as_deref()),
        Command::Codegen { check } => codegen::run(check),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
