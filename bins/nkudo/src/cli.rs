//! The command line: its words and their help.

mod access;
mod actions;
mod agents;
mod traces;
mod vms;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use nkudo_domain::AgentId;
use nkudo_terminal::Output;
use nkudo_terminal::logs::LogFlags;

pub(crate) use access::{KeyCommand, Keys, SiteCommand, Sites, TokenCommand, Tokens};
pub(crate) use actions::{ActionCommand, ActionFilter, Actions, Executions};
pub(crate) use agents::{AgentCommand, Agents};
pub(crate) use traces::Traces;
pub(crate) use vms::{Deed, VmCommand, VmDeed, VmFilter, Vms};

/// Sees and steers a fleet of hosts that run microVMs.
#[derive(Debug, Parser)]
#[command(
    name = "nkudo",
    disable_version_flag = true,
    after_help = "Examples:\n  nkudo agents\n  nkudo vms create --agent AGENT --name web-1 --memory 64MiB --kernel /boot/vmlinux --wait\n  \
        nkudo vms stop VM --wait\n  nkudo actions --status failure --output json\n\n\
        The token comes from --token-file or from NKUDO_TOKEN. Settings are also read from the environment \
        (NKUDO_SERVER, NKUDO_TOKEN_FILE, NKUDO_CA_FILE) and from the file (server, token_file, ca_file)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line of this process. One that is wrong ends it with exit code 2.
    pub(crate) fn read() -> Self {
        Self::try_read(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// A list's flags may stand alone or behind `list`. Before another word they would be for nothing: they are refused,
    /// but not the global ones, which clap's own `args_conflicts_with_subcommands` would refuse as well.
    fn try_read<T>(args: impl Iterator<Item = T>) -> Result<Self, clap::Error>
    where
        T: Into<std::ffi::OsString> + Clone,
    {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(args)?;
        let is_global =
            |id: &str| command.get_arguments().any(|arg| arg.get_id() == id && arg.is_global_set());
        let inner = matches.subcommand().and_then(|(_, group)| Some((group, group.subcommand_name()?)));
        let misplaced = inner.and_then(|(group, word)| {
            let given = |id: &&clap::Id| group.value_source(id.as_str()) == Some(ValueSource::CommandLine);
            let is_arg = |id: &&clap::Id| group.try_get_raw(id.as_str()).is_ok_and(|values| values.is_some());
            group
                .ids()
                .filter(is_arg)
                .filter(given)
                .find(|id| !is_global(id.as_str()))
                .map(|id| (id.clone(), word))
        });
        if let Some((flag, word)) = misplaced {
            let flag = flag.as_str().replace('_', "-");
            let sentence =
                format!("--{flag} stands before `{word}`; if it is one of its flags, write it behind\n");
            return Err(command.error(ErrorKind::ArgumentConflict, sentence));
        }
        Self::from_arg_matches(&matches)
    }
}

/// What every command takes, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The control plane [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// The file with the API token
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<String>,

    /// The certificate of the control plane's authority, for https (ca.pem in its data directory)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<String>,

    /// The configuration file [default: /etc/nkudo/nkudo.toml, when it is there; for the commands of this host
    /// /etc/nkudo/edge-agent.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where the agent of this host keeps its state, for status, check, renew and unenroll [default: /var/lib/nkudo-edge]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<String>,

    /// Form of the answer: text for people, json for scripts
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The agents of the fleet
    #[command(
        after_help = "Examples:\n  nkudo agents\n  nkudo agents --watch\n  nkudo agents show AGENT\n  \
        nkudo agents unenroll AGENT"
    )]
    Agents(Agents),

    /// The microVMs of the fleet
    #[command(after_help = "Examples:\n  nkudo vms --agent AGENT --state running\n  \
        nkudo vms create --agent AGENT -f vm.json --wait\n  nkudo vms stop VM --grace-seconds 10 --wait\n  \
        nkudo vms delete VM --delete-disks --wait")]
    Vms(Vms),

    /// The actions that were asked for
    #[command(after_help = "Examples:\n  nkudo actions --status failure --since 2026-01-02T03:04:05Z\n  \
        nkudo actions submit --agent AGENT -f actions.toml --wait\n  nkudo actions wait ACTION\n  \
        nkudo actions cancel ACTION")]
    Actions(Actions),

    /// The executions that agents reported, the newest first
    #[command(after_help = "Examples:\n  nkudo executions --agent AGENT --status failure\n  \
        nkudo executions --all --output json")]
    Executions(Executions),

    /// Enrolment tokens, which let hosts into the fleet
    #[command(
        after_help = "Examples:\n  nkudo tokens create --site lab --ttl 1h --uses 10\n  nkudo tokens\n  \
        nkudo tokens delete TOKEN_ID"
    )]
    Tokens(Tokens),

    /// API keys, which let people and programs ask
    #[command(
        after_help = "Examples:\n  nkudo keys create --role viewer\n  nkudo keys\n  nkudo keys delete KEY_ID"
    )]
    Keys(Keys),

    /// The sites of the fleet
    #[command(after_help = "Examples:\n  nkudo sites\n  nkudo sites create lab\n  nkudo sites delete lab")]
    Sites(Sites),

    /// The health of the control plane and its parts
    #[command(after_help = "Example:\n  nkudo health\n\nExit code 1 when the control plane is unhealthy.")]
    Health,

    /// This host's agent: enrolment, certificate, connection, VMs and queue
    #[command(after_help = "Example:\n  nkudo status --state-dir /var/lib/nkudo-edge --output json")]
    Status,

    /// Check whether this host can run microVMs
    #[command(after_help = "Example:\n  nkudo check\n\nExit code 1 when something stops this host.")]
    Check,

    /// Renew the certificate of this host's agent now; the daemon does it by itself in time
    #[command(after_help = "Example:\n  nkudo renew")]
    Renew,

    /// Take this host out of its fleet: the control plane revokes the certificate, then it is removed here
    #[command(after_help = "Examples:\n  nkudo unenroll\n  nkudo unenroll --force --delete-vms\n\n\
        For another host: nkudo agents unenroll AGENT")]
    Unenroll {
        /// Also when the control plane cannot be told
        #[arg(long)]
        force: bool,
        /// Delete the VMs of this host first
        #[arg(long, conflicts_with = "keep_vms")]
        delete_vms: bool,
        /// Leave the VMs as they are (the default)
        #[arg(long)]
        keep_vms: bool,
    },

    /// The log of an agent, or of the control plane itself; the newest line is the last
    #[command(after_help = "Examples:\n  nkudo logs --agent AGENT --level warn --since 6h\n  \
        nkudo logs --agent AGENT --action-id ACTION --json\n  nkudo logs --agent AGENT --follow\n  nkudo logs -q \"link closed\"\n\n\
        The control plane's own log is of all tenants: it is shown on its host only, with an admin key of the tenant default.")]
    Logs {
        /// Of this agent
        #[arg(long, value_name = "AGENT")]
        agent: Option<AgentId>,
        #[command(flatten)]
        flags: LogFlags,
    },

    /// Show version, commit and build profile
    #[command(after_help = "Example:\n  nkudo version --output json")]
    Version,

    /// Print the completions of a shell
    #[command(after_help = "Example:\n  nkudo completions bash > /etc/bash_completion.d/nkudo")]
    Completions { shell: Shell },

    /// Recent traces, the newest first, or one of them drawn: what an action waited for, and what failed
    #[command(after_help = "Examples:\n  nkudo traces --status error --since 6h\n  \
        nkudo traces --agent AGENT --query kernel\n  nkudo traces 4bf92f\n  \
        nkudo traces 4bf92f --format chrome --save trace.json\n\n\
        The file opens in Perfetto (ui.perfetto.dev); --format otlp is for a collector.")]
    Traces(Traces),
}

/// How much of a list is shown, and how often.
#[derive(Debug, Clone, Args)]
pub(crate) struct Listing {
    /// Most to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,

    /// Show all there are
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,

    /// Go on where another list ended (its next_cursor)
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,

    /// Show the list again every two seconds until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// How long an action may take, and whether its end is waited for.
#[derive(Debug, Clone, Args)]
pub(crate) struct Waiting {
    /// Wait for the end; exit code 1 when it is not a success
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long the action may take on its host, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, right: bool) {
        let read = Cli::try_read(["nkudo"].into_iter().chain(line.split(' ')));
        assert_eq!(read.is_ok(), right, "{line}: {read:?}");
    }

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere_and_others_where_they_count() {
        check("--output json vms list", true);
        check("vms --output json list", true);
        check("vms list --output json", true);
        check("vms --output json", true);
        check("vms --limit 3", true);
        check("vms list --limit 3", true);
        check("vms --limit 3 list", false);
        check("vms --all show 01890a5d-ac96-774b-bcce-b302099a8057", false);
        check("vms --all --limit 3", false);
        check("agents --server http://h:1 show 01890a5d-ac96-774b-bcce-b302099a8057", true);
        check("tokens --watch create", false);
    }
}
