//! The command line: its words and their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use nkudo_agent::config::{SCHEMA, Sources};
use nkudo_terminal::Output;
use nkudo_terminal::audit::AuditFlags;
use nkudo_terminal::logs::LogFlags;
use nkudo_terminal::traces::{Showing, TraceFilter};

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

    /// Enrol this host with a control plane; its key is made here and stays here
    #[command(
        after_help = "Example:\n  edge-agent enroll --control-plane https://cp.example.com:8443 --token nkt1....\n\n\
        A token comes from `control-plane token create` or `nkudo tokens create`."
    )]
    Enroll {
        /// Where the control plane is: https://HOST:8443
        #[arg(long, value_name = "URL")]
        control_plane: String,
        /// The enrolment token
        #[arg(long, value_name = "TOKEN")]
        token: String,
        /// Enrol anew although this host is enrolled
        #[arg(long)]
        force: bool,
    },

    /// Renew the certificate now; the daemon does it by itself in time
    #[command(after_help = "Example:\n  edge-agent renew")]
    Renew,

    /// Leave the fleet: the control plane revokes the certificate, then it is removed here
    #[command(after_help = "Examples:\n  edge-agent unenroll\n  edge-agent unenroll --force --delete-vms")]
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

    /// Send one heartbeat now and tell what came of it
    #[command(after_help = "Example:\n  edge-agent verify-heartbeat --output json")]
    VerifyHeartbeat,

    /// Show enrolment, certificate, connection, VMs and queue
    #[command(after_help = "Example:\n  edge-agent status --output json")]
    Status,

    /// Check whether this host can run microVMs
    #[command(after_help = "Example:\n  edge-agent check\n\nExit code 1 when something stops this host.")]
    Check,

    /// Compare the journal with what is on this host: leftovers, orphans, what is missing; and mend it
    #[command(
        after_help = "Examples:\n  edge-agent doctor\n  edge-agent doctor --output json\n  edge-agent doctor --fix\n  \
        edge-agent doctor --fix --purge-quarantine-older-than 30d\n\n\
        Without --fix nothing is altered and what --fix would do is told. --fix needs the agent stopped; vms run on. It moves\n\
        what is superfluous to STATE_DIR/quarantine and deletes nothing. Exit code 1 when something is left to be done."
    )]
    Doctor {
        /// Mend what can be mended
        #[arg(long)]
        fix: bool,
        /// Delete what has been in the quarantine for longer: 12h, 30d
        #[arg(long, value_name = "DURATION", requires = "fix")]
        purge_quarantine_older_than: Option<String>,
    },

    /// Show what this host is made of
    #[command(after_help = "Example:\n  edge-agent hostfacts --output json")]
    Hostfacts,

    /// List the microVMs of this host
    #[command(after_help = "Example:\n  edge-agent vms --output json")]
    Vms,

    /// Explain why something is as it is, with the evidence
    Explain {
        #[command(subcommand)]
        what: ExplainCommand,
    },

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

    /// Show the health of the daemon's parts, and why this host was away in the last day; or both since a time
    #[command(after_help = "Examples:\n  edge-agent health\n  edge-agent health --since 24h\n  \
            edge-agent health --since 2026-01-02T03:04:05Z --output json\n\n\
            Without the daemon its files say why this host was away. Exit code 1 when it is unhealthy or does not run.")]
    Health {
        /// Also show what changed since this time (RFC 3339), or since so long ago: 90s, 30m, 6h, 7d
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },

    /// Show the daemon's metrics
    #[command(
        after_help = "Examples:\n  edge-agent metrics\n  edge-agent metrics --name nkudo_vms_total --output json\n  \
            edge-agent metrics query nkudo_host_cpu_usage_percent --from 6h --function avg --chart"
    )]
    #[command(args_conflicts_with_subcommands = true)]
    Metrics {
        #[command(subcommand)]
        command: Option<MetricsCommand>,
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

    /// Search the daemon's log, or follow it; the newest line is the last
    #[command(
        after_help = "Examples:\n  edge-agent logs --level warn --since 6h\n  edge-agent logs --action-id ACTION --json\n  \
        edge-agent logs -q \"link closed\" --limit 20\n  edge-agent logs --follow --component executor\n\n\
        Without the daemon its files are searched."
    )]
    Logs(LogFlags),

    /// Show the newest lines of the audit log, or verify it: who did what, in a chain that nobody changes unnoticed
    #[command(
        after_help = "Examples:\n  edge-agent audit --since 6h\n  edge-agent audit --limit 500 --output json\n  \
        edge-agent audit verify\n  edge-agent audit verify --head 1204:9f86d08..."
    )]
    Audit(AuditFlags),

    /// Show version, commit and build profile
    #[command(after_help = "Example:\n  edge-agent version --output json")]
    Version,

    /// Print the completions of a shell
    #[command(after_help = "Example:\n  edge-agent completions bash > /etc/bash_completion.d/edge-agent")]
    Completions { shell: Shell },

    /// List recent traces, the newest first, or draw one: what an action waited for, and what failed
    #[command(
        after_help = "Examples:\n  edge-agent traces --status error --since 6h\n  edge-agent traces --vm VM --query kernel\n  \
            edge-agent traces 4bf92f\n  edge-agent traces 4bf92f --format chrome --save trace.json\n\n\
            The file opens in Perfetto (ui.perfetto.dev); --format otlp is for a collector."
    )]
    Traces(Traces),
}

impl Cli {
    /// The layers of configuration that this call gives.
    pub(crate) fn sources(&self) -> Sources {
        let flags = [
            ("metrics_addr", "metrics-addr", self.metrics_addr.clone()),
            ("log_format", "log-format", self.log_format.clone()),
            ("log_level", "log-level", self.log_level.clone()),
            ("state_dir", "state-dir", self.state_dir.clone()),
        ];
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Sources::new(&SCHEMA, self.config.clone(), flags, environment)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Explain the state of a VM: what the journal says, what is found on the host, why, and what comes next
    #[command(
        after_help = "Examples:\n  edge-agent explain vm web-1\n  edge-agent explain vm 01890a5d-ac96-774b-bcce-b302099a8057 --output json\n\n\
        It works with and without the daemon, and alters nothing."
    )]
    Vm {
        /// The VM's id or its name
        #[arg(value_name = "ID|NAME")]
        vm: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Traces {
    /// The trace to show: its id, or at least the first six digits
    #[arg(value_name = "ID", conflicts_with_all = ["TraceFilter", "limit"])]
    pub(crate) trace_id: Option<String>,
    #[command(flatten)]
    pub(crate) filter: TraceFilter,
    /// Most to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) showing: Showing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MetricsCommand {
    /// Ask what became of a metric: the last hour where nothing else is said
    #[command(
        after_help = "Examples:\n  edge-agent metrics query nkudo_vms_total --label state=running --from 7d --function max --step 1h\n  \
            edge-agent metrics query nkudo_heartbeats_sent_total --function rate --chart\n  \
            edge-agent metrics query nkudo_disk_usage_bytes --label 'path=\"/srv/a,b\"' --function max --step 1h\n  \
            edge-agent metrics query nkudo_vm_cpu_seconds_total --label 'vm_name=~\"web-.*\"' --function rate\n  \
            edge-agent metrics query nkudo_actions_duration_seconds --function p99 --from 1d\n\n\
            A point stands for the step that begins with it. Samples are kept as they were for a day, by hours for a week and\n\
            by days for a month ([history] in the configuration)."
    )]
    Query(HistoryQuery),
}

#[derive(Debug, Args)]
pub(crate) struct HistoryQuery {
    /// The metric's name; for a percentile that of the histogram
    pub(crate) name: String,
    /// raw, last, avg, min, max, sum, count, increase, rate, or a percentile like p50 or p99.9
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) function: Option<String>,
    /// Only series with this value of a label, as PromQL writes it: =, !=, =~, !~, and quotes around a value with a comma.
    /// Several are separated by commas, or given each with its own flag
    #[arg(long = "label", alias = "labels", value_name = "LABEL=VALUE")]
    pub(crate) labels: Vec<String>,
    /// From this time on (RFC 3339), or from so long ago: 90s, 30m, 6h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// How far apart points are: 15s, 5m, 1h; a sixtieth of the range where it is not said
    #[arg(long, value_name = "DURATION")]
    pub(crate) step: Option<String>,
    /// Draw it
    #[arg(long)]
    pub(crate) chart: bool,
}
