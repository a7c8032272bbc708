//! One module a command.

pub(crate) mod access;
pub(crate) mod actions;
pub(crate) mod agents;
pub(crate) mod completions;
pub(crate) mod executions;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod logs;
pub(crate) mod traces;
pub(crate) mod version;
pub(crate) mod vms;

use nkudo_terminal::Failure;
use nkudo_terminal::host::Unenroll;

use crate::cli::{Cli, Command};
use crate::session::Session;
use crate::settings;

pub(crate) async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let output = global.output;
    let session = || Session::open(&settings::load(&global)?, output);
    match command {
        Command::Agents(agents) => agents::run(&session()?, agents).await,
        Command::Vms(vms) => Box::pin(vms::run(&session()?, vms)).await,
        Command::Actions(actions) => Box::pin(actions::run(&session()?, actions)).await,
        Command::Executions(executions) => executions::run(&session()?, executions).await,
        Command::Tokens(tokens) => access::tokens(&session()?, tokens).await,
        Command::Keys(keys) => access::keys(&session()?, keys).await,
        Command::Sites(sites) => access::sites(&session()?, sites).await,
        Command::Health => health::run(&session()?).await,
        Command::Logs { agent, flags } => logs::run(&session()?, agent, flags).await,
        // These are about this host: they ask its agent, and no control plane.
        Command::Status => host::status(&global).await,
        Command::Check => host::check(&global).await,
        Command::Renew => host::renew(&global).await,
        Command::Unenroll { force, delete_vms, keep_vms: _ } => {
            host::unenroll(&global, Unenroll { force, delete_vms }).await
        }
        Command::Version => version::run(output),
        Command::Completions { shell } => completions::run(shell),
        Command::Traces(traces) => Box::pin(traces::run(&session()?, traces)).await,
    }
}
