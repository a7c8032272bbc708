//! The command line: its words and their help.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use nkudo_agent::config::{
    ENVIRONMENT_PREFIX, Raw, RawValue, Source, Sources, read_environment, unknown_variables,
};

/// Runs microVMs on this host and tells how they do.
#[derive(Debug, Parser)]
#[command(
    name = "edge-agent",
    disable_version_flag = true,
    after_help = "Examples:\n  edge-agent run\n  edge-agent apply -f vm.json\n  edge-agent status --output json\n\n\
        Every flag can be set in the environment (NKUDO_EDGE_STATE_DIR) and in the file (state_dir)."
)]
pub(crate) struct Cli {
    /// Where /metrics, /healthz and /readyz are served; `:PORT` means all interfaces [default: :9090]
    #[arg(long, global = true, value_name = "ADDR")]
    metrics_addr: Option<String>,

    /// Form of log lines: text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,

    /// Least level that is logged: debug, info, warn or error [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Where the agent keeps its state [default: /var/lib/nkudo-edge]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<String>,

    /// The configuration file [default: /etc/nkudo/edge-agent.toml, when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Form of the answer: text for people, json for scripts
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon: keep VMs, take actions, serve metrics
    #[command(
        after_help = "Example:\n  edge-agent run --state-dir /var/lib/nkudo-edge --metrics-addr :9090 --log-format json"
    )]
    Run,

    /// Perform actions from a file, with or without the daemon
    #[command(after_help = "Examples:\n  edge-agent apply -f vm.json\n  edge-agent apply -f - < vm.toml\n\n\
        The file holds one action, a list, or {\"actions\": [...]}, in JSON or TOML:\n  \
        {\"action_type\": \"MicroVMCreate\", \"params\": {\"vm_id\": \"01890a5d-ac96-774b-bcce-b302099a8057\",\n   \
        \"vm_name\": \"web-1\", \"vcpus\": 1, \"memory_bytes\": 67108864, \"kernel\": \"/boot/vmlinux\"}}")]
    Apply {
        /// The file, or - for standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Go on after an action that failed
        #[arg(long)]
        keep_going: bool,
    },

    /// Show enrolment, certificate, connection, VMs and queue
    #[command(after_help = "Example:\n  edge-agent status --output json")]
    Status,

    /// Check whether this host can run microVMs
    #[command(after_help = "Example:\n  edge-agent check\n\nExit code 1 when something stops this host.")]
    Check,

    /// Show what this host is made of
    #[command(after_help = "Example:\n  edge-agent hostfacts --output json")]
    Hostfacts,

    /// List the microVMs of this host
    #[command(after_help = "Example:\n  edge-agent vms --output json")]
    Vms,

    /// List executions, the newest first
    #[command(
        after_help = "Examples:\n  edge-agent executions --status failure\n  edge-agent executions --limit 5 --output json"
    )]
    Executions {
        /// Only those of this status: running, success, failure or cancelled
        #[arg(long)]
        status: Option<String>,
        /// Only those of this action type
        #[arg(long)]
        action_type: Option<String>,
        /// Most to show
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },

    /// Show the health of the daemon's parts, or how it changed
    #[command(
        after_help = "Examples:\n  edge-agent health\n  edge-agent health --since 2026-01-02T03:04:05Z"
    )]
    Health {
        /// Show the changes since this time (RFC 3339)
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },

    /// Show the daemon's metrics
    #[command(
        after_help = "Examples:\n  edge-agent metrics\n  edge-agent metrics --name nkudo_vms_total --output json"
    )]
    Metrics {
        /// Only metrics whose name begins so
        #[arg(long, value_name = "PREFIX")]
        name: Option<String>,
    },

    /// Show or set the daemon's log level, without a restart
    #[command(after_help = "Examples:\n  edge-agent log-level\n  edge-agent log-level debug")]
    LogLevel {
        /// debug, info, warn or error
        level: Option<String>,
    },

    /// Show version, commit and build profile
    #[command(after_help = "Example:\n  edge-agent version --output json")]
    Version,

    /// Print the completions of a shell
    #[command(after_help = "Example:\n  edge-agent completions bash > /etc/bash_completion.d/edge-agent")]
    Completions { shell: Shell },
}

impl Cli {
    /// The layers of configuration that this call gives.
    pub(crate) fn sources(&self) -> Sources {
        let flags = [
            ("metrics_addr", "metrics-addr", &self.metrics_addr),
            ("log_format", "log-format", &self.log_format),
            ("log_level", "log-level", &self.log_level),
            ("state_dir", "state-dir", &self.state_dir),
        ];
        let flags = flags.into_iter().filter_map(|(key, flag, value)| {
            let value = RawValue::Text(value.clone()?);
            Some(Raw { key: key.to_owned(), value, source: Source::Flag(flag) })
        });
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = environment.iter().find(|(name, _)| name == "NKUDO_EDGE_CONFIG");
        let file = self.config.clone().or_else(|| named.map(|(_, value)| PathBuf::from(value)));
        let names = environment.iter().map(|(name, _)| name.as_str());
        let unknown_variables = unknown_variables(ENVIRONMENT_PREFIX, names);
        let environment = read_environment(ENVIRONMENT_PREFIX, environment.into_iter());
        Sources { file, environment, unknown_variables, flags: flags.collect() }
    }
}
