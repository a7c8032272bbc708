//! `traces`.

use clap::Args;
use nkudo_domain::AgentId;
use nkudo_terminal::traces::{Showing, TraceFilter};

use super::Listing;

#[derive(Debug, Args)]
pub(crate) struct Traces {
    /// The trace to show: its id, or at least the first six digits
    #[arg(value_name = "ID", conflicts_with_all = ["TraceFilter", "Listing", "agent"])]
    pub(crate) trace_id: Option<String>,
    /// Only those with a step on this agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<AgentId>,
    #[command(flatten)]
    pub(crate) filter: TraceFilter,
    #[command(flatten)]
    pub(crate) listing: Listing,
    #[command(flatten)]
    pub(crate) showing: Showing,
}
