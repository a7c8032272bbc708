//! Streams between hosts and their control plane, and what is on its way.

use std::collections::BTreeMap;

use nkudo_domain::{Action, ActionId, VmId, VmState};

use crate::books::ToldResult;

/// What an agent says.
#[derive(Debug, Clone)]
pub(crate) enum FromAgent {
    Hello {
        outbox_id: String,
    },
    Received {
        action_id: ActionId,
        answer: Answer,
    },
    Started {
        action_id: ActionId,
    },
    Result(Box<ToldResult>),
    /// All VMs of the host.
    Vms(BTreeMap<VmId, VmState>),
    VmChanged(VmId, Option<VmState>),
}

/// What an agent says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Busy,
    Refused,
    Expired,
    Cancelled,
}

/// What the control plane says.
#[derive(Debug, Clone)]
pub(crate) enum ToAgent {
    Hello { wall_ms: i64 },
    Deliver { action: Box<Action>, expires_at_ms: i64, cancel: bool, taken_in: bool },
    Cancel { action_id: ActionId },
    Acknowledge { seq: u64 },
}

/// One stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) agent: usize,
    /// The runs of the programs at its ends.
    pub(crate) agent_run: u64,
    pub(crate) control_run: u64,
    /// When the last message each way arrives: none overtakes another.
    pub(crate) up_us: u64,
    pub(crate) down_us: u64,
    /// What is sent, and what is on its way, is lost.
    pub(crate) broken: bool,
}

/// All streams there ever were.
#[derive(Debug, Default)]
pub(crate) struct Network {
    streams: Vec<Stream>,
    /// By host: nothing passes until then.
    blocked_until_us: BTreeMap<usize, u64>,
}

impl Network {
    pub(crate) fn open(&mut self, agent: usize, agent_run: u64, control_run: u64) -> usize {
        self.streams.push(Stream { agent, agent_run, control_run, ..Stream::default() });
        self.streams.len() - 1
    }

    pub(crate) fn stream(&mut self, number: usize) -> Option<&mut Stream> {
        self.streams.get_mut(number)
    }

    pub(crate) fn is_broken(&self, number: usize) -> bool {
        self.streams.get(number).is_none_or(|stream| stream.broken)
    }

    pub(crate) fn block(&mut self, agent: usize, until_us: u64) {
        let blocked = self.blocked_until_us.entry(agent).or_default();
        *blocked = until_us.max(*blocked);
    }

    pub(crate) fn heal(&mut self) {
        self.blocked_until_us.clear();
    }

    /// Until when nothing passes; in the past when it does.
    pub(crate) fn blocked_until_us(&self, agent: usize) -> u64 {
        self.blocked_until_us.get(&agent).copied().unwrap_or(0)
    }
}
