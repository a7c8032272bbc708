//! What is asked of this host's agent, in process: edge-agent's commands of the same names.

use nkudo_agent::config::{SCHEMA, Settings, Sources};
use nkudo_terminal::Failure;
use nkudo_terminal::host::{self, Unenroll};

use crate::cli::Global;
use crate::settings::environment;

pub(crate) async fn status(global: &Global) -> Result<(), Failure> {
    host::status(&settings(global)?, global.output).await
}

pub(crate) async fn check(global: &Global) -> Result<(), Failure> {
    host::check(&settings(global)?, global.output).await
}

pub(crate) async fn renew(global: &Global) -> Result<(), Failure> {
    host::renew(&settings(global)?, global.output).await
}

pub(crate) async fn unenroll(global: &Global, how: Unenroll) -> Result<(), Failure> {
    host::unenroll(&settings(global)?, how, global.output).await
}

/// The agent's settings, as the agent reads them: `--state-dir` over its environment over its file.
fn settings(global: &Global) -> Result<Settings, Failure> {
    let flags = [("state_dir", "state-dir", global.state_dir.clone())];
    Sources::new(&SCHEMA, global.config.clone(), flags, environment()).load().map_err(Failure::refused)
}
