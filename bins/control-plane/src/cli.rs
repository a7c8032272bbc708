//! The command line: its words and their help.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use nkudo_control::config::{SCHEMA, Sources};
use nkudo_domain::{Role, SiteId, TenantId};
use nkudo_terminal::Output;
use nkudo_terminal::audit::AuditFlags;

/// Serves a fleet of edge agents and the people who steer it.
#[derive(Debug, Parser)]
#[command(
    name = "control-plane",
    disable_version_flag = true,
    after_help = "Examples:\n  control-plane serve --data-dir /var/lib/nkudo\n  \
        control-plane token create --data-dir /var/lib/nkudo --ttl 1h\n\n\
        Every flag can be set in the environment (NKUDO_CP_DATA_DIR) and in the file (data_dir)."
)]
pub(crate) struct Cli {
    /// Where the control plane keeps its state [default: /var/lib/nkudo]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,

    /// Where agents connect, and operators over TLS [default: 0.0.0.0:8443]
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<String>,

    /// Where the local operator connects [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDR")]
    http_listen: Option<String>,

    /// The database [default: SQLite in the data directory]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,

    /// A name or address that agents use for this server, besides its own; may be given several times
    #[arg(long, global = true, value_name = "NAME")]
    server_name: Vec<String>,

    /// How often agents are to be heard of [default: 15s]
    #[arg(long, global = true, value_name = "DURATION")]
    heartbeat_interval: Option<String>,

    /// How long an agent's certificate is good [default: 720h]
    #[arg(long, global = true, value_name = "DURATION")]
    certificate_lifetime: Option<String>,

    /// How long an action may wait for its agent [default: 1h]
    #[arg(long, global = true, value_name = "DURATION")]
    action_lifetime: Option<String>,

    /// Form of log lines: text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,

    /// Least level that is logged: debug, info, warn or error [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,

    /// The configuration file [default: /etc/nkudo/control-plane.toml, when it is there]
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
    /// Run the server; the first start makes the certificate authority and admin.token
    #[command(after_help = "Example:\n  control-plane serve --listen 0.0.0.0:8443 --log-format json")]
    Serve,

    /// Make an enrolment token
    #[command(subcommand)]
    Token(Token),

    /// Make an API key
    #[command(subcommand)]
    Key(Key),

    /// Make or delete a tenant
    #[command(subcommand)]
    Tenant(Tenant),

    /// Show the newest lines of the audit log, or verify it: who did what, in a chain that nobody changes unnoticed
    #[command(after_help = "Examples:\n  control-plane audit --data-dir /var/lib/nkudo --since 6h\n  \
        control-plane audit verify --data-dir /var/lib/nkudo")]
    Audit(AuditFlags),

    /// Show version, commit and build profile
    #[command(after_help = "Example:\n  control-plane version --output json")]
    Version,

    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  control-plane completions bash > /etc/bash_completion.d/control-plane"
    )]
    Completions { shell: Shell },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make an enrolment token: it lets a host in and tells it whom to trust
    #[command(
        after_help = "Example:\n  control-plane token create --data-dir /var/lib/nkudo --site lab --ttl 1h --uses 5"
    )]
    Create {
        /// The site of the agents that it lets in; made when there is none
        #[arg(long, default_value_t)]
        site: SiteId,
        /// Their tenant; made when there is none
        #[arg(long, default_value_t)]
        tenant: TenantId,
        /// How long it is good: 30m, 1h, 7d
        #[arg(long, default_value = "1h", value_name = "DURATION")]
        ttl: String,
        /// How many agents it lets in
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        uses: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make an API key; it is shown once
    #[command(after_help = "Example:\n  control-plane key create --data-dir /var/lib/nkudo --role viewer")]
    Create {
        /// viewer, operator or admin
        #[arg(long)]
        role: Role,
        /// The tenant that it belongs to; made when there is none
        #[arg(long, default_value_t)]
        tenant: TenantId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant
    Create { name: TenantId },
    /// Delete a tenant with its agents, actions, tokens and keys
    Delete { name: TenantId },
}

impl Cli {
    /// The layers of configuration that this call gives.
    pub(crate) fn sources(&self) -> Sources {
        let names = (!self.server_name.is_empty()).then(|| self.server_name.join(","));
        let flags = [
            ("data_dir", "data-dir", self.data_dir.clone()),
            ("listen", "listen", self.listen.clone()),
            ("http_listen", "http-listen", self.http_listen.clone()),
            ("database_url", "database-url", self.database_url.clone()),
            ("server_names", "server-name", names),
            ("heartbeat_interval", "heartbeat-interval", self.heartbeat_interval.clone()),
            ("certificate_lifetime", "certificate-lifetime", self.certificate_lifetime.clone()),
            ("action_lifetime", "action-lifetime", self.action_lifetime.clone()),
            ("log_format", "log-format", self.log_format.clone()),
            ("log_level", "log-level", self.log_level.clone()),
        ];
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Sources::new(&SCHEMA, self.config.clone(), flags, environment)
    }
}
