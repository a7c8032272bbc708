//! `agents`.

use clap::{Args, Subcommand};
use nkudo_domain::{AgentId, SiteId};

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
    /// Take an agent out of the fleet and revoke its certificate; its VMs stay as they are
    Unenroll {
        /// The agent's id
        agent_id: AgentId,
    },
}
