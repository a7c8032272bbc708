//! `completions`.

use clap::CommandFactory;
use clap_complete::Shell;
use nkudo_terminal::{Failure, print};

use crate::PROGRAM;
use crate::cli::Cli;

pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    print::painted(String::from_utf8_lossy(&script).trim_end())
}
