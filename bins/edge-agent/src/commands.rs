//! One module a command.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod executions;
pub(crate) mod health;
pub(crate) mod hostfacts;
pub(crate) mod log_level;
pub(crate) mod metrics;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod version;
pub(crate) mod vms;

use nkudo_agent::config::{Settings, Sources};
use nkudo_agent::offline::{OfflineView, socket_path};
use nkudo_client::{Client, ClientError};
use serde::de::DeserializeOwned;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

pub(crate) async fn dispatch(cli: Cli, sources: Sources, settings: Settings) -> Result<(), Failure> {
    let output = cli.output;
    match cli.command {
        Command::Run => run::run(sources, settings).await,
        Command::Apply { file, keep_going } => apply::run(&settings, &file, keep_going, output).await,
        Command::Status => status::run(&settings, output).await,
        Command::Check => check::run(&settings, output).await,
        Command::Hostfacts => hostfacts::run(output),
        Command::Vms => vms::run(&settings, output).await,
        Command::Executions { status, action_type, limit } => {
            executions::run(&settings, executions::Filter { status, action_type, limit }, output).await
        }
        Command::Health { since } => health::run(&settings, since, output).await,
        Command::Metrics { name } => metrics::run(&settings, name.as_deref(), output).await,
        Command::LogLevel { level } => log_level::run(&settings, level, output).await,
        Command::Version => version::run(output),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// What is asked of the daemon while it runs, and of the files otherwise.
async fn view<T: DeserializeOwned>(
    settings: &Settings,
    path: &str,
    offline: impl FnOnce(&OfflineView) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match client(settings).get(path).await {
        Ok(answer) => Ok(answer),
        Err(ClientError::NotRunning { .. }) => {
            offline(&OfflineView::read(settings).await.map_err(Failure::failed)?)
        }
        Err(error) => Err(client_failure(error)),
    }
}

fn client(settings: &Settings) -> Client {
    Client::unix(socket_path(&settings.state_dir))
}

/// A refusal by the daemon of what the user gave is the user's to mend: exit code 2.
fn client_failure(error: ClientError) -> Failure {
    match &error {
        ClientError::Problem(problem) if matches!(problem.status, 400 | 422) => Failure::refused(error),
        _ => Failure::failed(error),
    }
}
