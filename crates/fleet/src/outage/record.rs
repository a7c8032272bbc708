//! What a ledger is written down as.

use nkudo_domain::AgentId;
use serde::{Deserialize, Serialize};

use super::gap::Gap;
use super::{Moment, Outage};

/// One thing that became known. A ledger that is given its records in their order is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The ledger's name, which goes with its numbers.
    Ledger { id: String },
    /// A daemon began its life.
    Began { boot_id: String, at: Moment },
    /// It lives.
    Alive { at: Moment },
    /// It ended in order; `fault` says which part failed for good, where that is why.
    Ended { at: Moment, fault: Option<String> },
    /// A gap is open, or its cause is known.
    Open { gap: Gap },
    /// How the open gap does.
    Still { gap: Gap },
    /// An outage is over; `closes` says that it was the open gap.
    Over { entry: Entry, closes: bool },
    /// The control plane has all up to this number.
    Acknowledged { seq: u64 },
}

impl Record {
    /// Whether it has to survive a loss of power. The others come again within a minute.
    pub fn is_dear(&self) -> bool {
        match self {
            Self::Ledger { .. }
            | Self::Began { .. }
            | Self::Ended { .. }
            | Self::Open { .. }
            | Self::Over { .. }
            | Self::Acknowledged { .. } => true,
            Self::Alive { .. } | Self::Still { .. } => false,
        }
    }
}

/// An outage with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, in the order in which they ended.
    pub seq: u64,
    /// Who the host was; nobody else's control plane is told.
    pub agent_id: Option<AgentId>,
    pub outage: Outage,
}
