//! `agents`.

use clap::{Args, Subcommand};
use nkudo_domain::{AgentId, OutageCause, SiteId};

use super::Listing;

#[derive(Debug, Args)]
pub(crate) struct Agents {
    #[command(subcommand)]
    pub(crate) command: Option<AgentCommand>,
    #[command(flatten)]
    pub(crate) filter: AgentFilter,
}

#[derive(Debug, Args)]
pub(crate) struct AgentFilter {
    /// Only those of this site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List the agents (the same as without a word)
    List(AgentFilter),
    /// Show one agent
    Show {
        /// The agent's id
        agent_id: AgentId,
    },
    /// List why an agent was away and for how long, the last first
    #[command(after_help = "Example:\n  nkudo agents outages AGENT_ID --since 24h")]
    Outages {
        /// The agent's id
        agent_id: AgentId,
        /// Only of this cause: link, control_plane, credentials, suspend, clock_step, crash, reboot or stopped
        #[arg(long)]
        cause: Option<OutageCause>,
        /// Only those that ended after this time (RFC 3339), or after so long ago: 90s, 30m, 6h, 7d
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Take an agent out of the fleet and revoke its certificate; its VMs stay as they are
    Unenroll {
        /// The agent's id
        agent_id: AgentId,
    },
}
