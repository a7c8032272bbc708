//! `actions` and `executions`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nkudo_api::time::WallTime;
use nkudo_domain::{ActionId, ActionStatus, ActionType, AgentId, ExecutionStatus, VmId};

use super::{Listing, Waiting};
use crate::query::Query;

#[derive(Debug, Args)]
pub(crate) struct Actions {
    #[command(subcommand)]
    pub(crate) command: Option<ActionCommand>,
    #[command(flatten)]
    pub(crate) filter: ActionFilter,
}

#[derive(Debug, Args)]
pub(crate) struct ActionFilter {
    /// Only those with this status: queued, delivered, running, success, failure, cancelled or expired
    #[arg(long)]
    pub(crate) status: Option<ActionStatus>,
    #[command(flatten)]
    pub(crate) of: Of,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// Whose, which and when.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Only those of this agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<AgentId>,
    /// Only those of this type, like MicroVMCreate
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) action_type: Option<ActionType>,
    /// Only those of this VM
    #[arg(long, value_name = "VM")]
    pub(crate) vm: Option<VmId>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<WallTime>,
    /// Not after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<WallTime>,
}

impl Of {
    /// The query with these filters.
    pub(crate) fn narrow(&self, query: Query) -> Query {
        query
            .with("agent_id", self.agent.as_ref())
            .with("action_type", self.action_type.as_ref())
            .with("vm_id", self.vm.as_ref())
            .with("since", self.since.as_ref())
            .with("until", self.until.as_ref())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    /// List the actions, the newest first (the same as without a word)
    List(ActionFilter),
    /// Show one action
    Show {
        /// The action's id
        action_id: ActionId,
    },
    /// Cancel an action
    Cancel {
        /// The action's id
        action_id: ActionId,
        /// Wait for its end; exit code 1 when it ended otherwise before
        #[arg(long)]
        wait: bool,
    },
    /// Wait for an action's end; exit code 1 when it is not a success
    Wait {
        /// The action's id
        action_id: ActionId,
        /// How long to wait, in seconds [default: a day and an hour]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        timeout_seconds: Option<u64>,
    },
    /// Ask an agent for the actions of a file, in their order
    #[command(after_help = "Examples:\n  nkudo actions submit --agent AGENT -f action.json\n  \
        nkudo actions submit --agent AGENT -f - --wait < actions.toml\n\n\
        The file holds one action, a list, or {\"actions\": [...]}, in JSON or TOML. It is validated as a whole before \
        anything is asked for.")]
    Submit {
        /// The agent whose host performs them
        #[arg(long, value_name = "AGENT")]
        agent: AgentId,
        /// The file, or - for standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        waiting: Waiting,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Executions {
    /// Only those with this status: running, success, failure or cancelled
    #[arg(long)]
    pub(crate) status: Option<ExecutionStatus>,
    #[command(flatten)]
    pub(crate) of: Of,
    #[command(flatten)]
    pub(crate) listing: Listing,
}
