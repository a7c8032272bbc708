//! `completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use nkudo_terminal::{Failure, print};

pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "edge-agent", &mut script);
    print::painted(String::from_utf8_lossy(&script).trim_end())
}
