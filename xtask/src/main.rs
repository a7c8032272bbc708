//! `cargo xtask`: the command line of the workflows.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use xtask::{bench, chaos, codegen, demo, lint, load, test};

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
    Test {
        /// Say which lines of the libraries the tests run, and fail where that are too few
        #[arg(long)]
        coverage: bool,
        /// Only the tests of this package; may be given again
        #[arg(long, short, requires = "coverage", value_name = "PACKAGE")]
        package: Vec<String>,
    },
    /// Format, clippy, documentation, house rules
    Lint,
    /// Measure, side by side with peers
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Load one control plane with many agents
    Load {
        /// Agents, each with real mutual TLS and a journal of its own
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        agents: u32,
        /// How long each of the two phases takes: heartbeats only, then actions
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: u64,
        /// How often each agent sends a heartbeat, in milliseconds
        #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
        heartbeat_interval_ms: u64,
        /// Write the figures here too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Try to break the fleet: simulated worlds in which everything goes wrong, or with --real the programs themselves, killed
    Chaos {
        /// How many simulated worlds
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "real")]
        seeds: u64,
        /// The first seed
        #[arg(long, alias = "from", default_value_t = 0)]
        seed: u64,
        /// Plant known mistakes instead, and tell how many seeds each takes to be found
        #[arg(long, conflicts_with_all = ["seeds", "seed", "real", "json"])]
        bugs: bool,
        /// Kill the real agent and control plane while real microVMs come and go
        #[arg(long)]
        real: bool,
        /// How many programs are killed
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000), requires = "real")]
        kills: u64,
        /// Write the figures here too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
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
    /// The toolkit crates beside other libraries for the same work and beside a floor written by hand
    Toolkit {
        /// Write the figures here too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Instructions of the hottest paths, held against what was agreed
    Instructions {
        /// Agree to what is counted now
        #[arg(long)]
        agree: bool,
    },
    /// Durable actions: what they cost through the executor on this disk, and the replay of a large journal
    Actions {
        /// Write the figures here too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
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
        Command::Test { coverage: true, package } => test::coverage(&package),
        Command::Test { coverage: false, .. } => test::run(),
        Command::Lint => lint::run(),
        Command::Bench { what: Bench::Toolkit { json } } => bench::toolkit(json.as_deref()),
        Command::Bench { what: Bench::Instructions { agree } } => bench::instructions::run(agree),
        Command::Bench { what: Bench::Agent { json } } => bench::agent(json.as_deref()),
        Command::Bench { what: Bench::Actions { json } } => bench::durable_actions(json.as_deref()),
        Command::Load { agents, seconds, heartbeat_interval_ms, json } => {
            let heartbeat_interval = Duration::from_millis(heartbeat_interval_ms);
            load::run(&load::Load { agents, seconds, release: true, heartbeat_interval }, json.as_deref())
        }
        Command::Chaos { bugs: true, .. } => chaos::simulated::bugs(),
        Command::Chaos { real: true, kills, seed, json, .. } => {
            chaos::real::run(kills, seed, json.as_deref())
        }
        Command::Chaos { seeds, seed, json, .. } => chaos::simulated::seeds(seed, seeds, json.as_deref()),
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
