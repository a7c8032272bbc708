//! What the command lines share: the form of their answers, their failures and exit codes, and the commands that act on
//! this host.
//!
//! The principal type is [`Failure`], what a command ends with when it does not end well. [`mod@print`] writes answers on
//! standard output. [`host`] has the commands that `edge-agent` and `nkudo` both have, [`daemon`] asks the agent of
//! this host, [`logs`], [`outages`] and [`health`] show lines, outages and the parts of a program wherever they come from, [`mod@audit`] the audit log, and [`perform`] has
//! it perform actions, with or without its daemon.
//!
//! **Invariant:** answers go to standard output and nothing else does; complaints and progress go to standard error.

pub mod audit;
pub mod daemon;
mod failure;
pub mod health;
pub mod host;
pub mod logs;
pub mod outages;
pub mod perform;
pub mod print;
pub mod traces;

pub use failure::Failure;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}
