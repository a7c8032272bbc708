//! One module a command.

pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod executions;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod hostfacts;
pub(crate) mod log_level;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod run;
pub(crate) mod traces;
pub(crate) mod verify_heartbeat;
pub(crate) mod version;
pub(crate) mod vms;

use nkudo_agent::config::{Settings, Sources};

use nkudo_terminal::audit::audit;
use nkudo_terminal::{Failure, host};

use crate::cli::{Cli, Command, ExplainCommand, MetricsCommand};

pub(crate) async fn dispatch(cli: Cli, sources: Sources, settings: Settings) -> Result<(), Failure> {
    let output = cli.output;
    match cli.command {
        Command::Run => run::run(sources, settings).await,
        Command::Apply { file, keep_going } => apply::run(&settings, &file, keep_going, output).await,
        Command::Status => host::status(&settings, output).await,
        Command::Check => host::check(&settings, output).await,
        Command::Doctor { fix, purge_quarantine_older_than } => {
            doctor::run(&settings, fix, purge_quarantine_older_than.as_deref(), output).await
        }
        Command::Enroll { control_plane, token, force } => {
            enroll::run(&settings, &control_plane, &token, force, output).await
        }
        Command::Renew => host::renew(&settings, output).await,
        Command::Unenroll { force, delete_vms, keep_vms: _ } => {
            host::unenroll(&settings, host::Unenroll { force, delete_vms }, output).await
        }
        Command::VerifyHeartbeat => verify_heartbeat::run(&settings, output).await,
        Command::Hostfacts => hostfacts::run(output),
        Command::Vms => vms::run(&settings, output).await,
        Command::Explain { what: ExplainCommand::Vm { vm } } => explain::run(&settings, &vm, output).await,
        Command::Executions { status, action_type, limit } => {
            executions::run(&settings, executions::Filter { status, action_type, limit }, output).await
        }
        Command::Health { since } => health::run(&settings, since, output).await,
        Command::Metrics { command: None, name } => metrics::run(&settings, name.as_deref(), output).await,
        Command::Metrics { command: Some(MetricsCommand::Query(query)), .. } => {
            history::run(&settings, query, output).await
        }
        Command::LogLevel { level } => log_level::run(&settings, level, output).await,
        Command::Logs(flags) => logs::run(&settings, flags, output).await,
        Command::Audit(flags) => audit(&nkudo_agent::audit::place(&settings.state_dir), flags, output),
        Command::Version => version::run(output),
        Command::Completions { shell } => completions::run(shell),
        Command::Traces(traces) => traces::run(&settings, traces, output).await,
    }
}
