//! The control plane's books: what its database says, which survives it. Each change is a transaction, as it is there.

use std::collections::BTreeMap;

use nkudo_domain::{Action, ActionId, ActionStatus, VmId, VmState};

/// One action in the books.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) ordinal: u64,
    pub(crate) agent: usize,
    pub(crate) action: Action,
    pub(crate) status: ActionStatus,
    pub(crate) expires_at_ms: i64,
    pub(crate) sent: bool,
    pub(crate) cancel_asked: bool,
}

impl Entry {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running)
    }
}

/// The answer to a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    Unknown,
    AlreadyEnded,
    /// It was not sent and has ended.
    Done,
    /// Its agent is to be asked.
    Asked(usize),
}

/// The result of one action, as its agent tells it.
#[derive(Debug, Clone)]
pub(crate) struct ToldResult {
    pub(crate) seq: u64,
    pub(crate) action: Action,
    pub(crate) status: ActionStatus,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) entries: BTreeMap<ActionId, Entry>,
    last_ordinal: u64,
    /// By agent: the series of results and the last one recorded.
    outboxes: BTreeMap<usize, (String, u64)>,
    pub(crate) vms: BTreeMap<usize, BTreeMap<VmId, VmState>>,
}

impl Books {
    /// Takes an action in unless its id is known; whether it is new.
    pub(crate) fn ask(&mut self, agent: usize, action: &Action, expires_at_ms: i64) -> bool {
        if self.entries.contains_key(&action.action_id) {
            return false;
        }
        self.last_ordinal += 1;
        let entry = Entry {
            ordinal: self.last_ordinal,
            agent,
            action: action.clone(),
            status: ActionStatus::Queued,
            expires_at_ms,
            sent: false,
            cancel_asked: false,
        };
        self.entries.insert(action.action_id.clone(), entry);
        true
    }

    pub(crate) fn open_actions(&self, agent: usize, after: u64, limit: usize) -> Vec<Entry> {
        let mut open: Vec<&Entry> = self
            .entries
            .values()
            .filter(|entry| entry.agent == agent && entry.is_open() && entry.ordinal > after)
            .collect();
        open.sort_by_key(|entry| entry.ordinal);
        open.into_iter().take(limit).cloned().collect()
    }

    /// Notes that it is about to be sent; false when it has ended meanwhile.
    pub(crate) fn mark_sent(&mut self, action_id: &ActionId) -> bool {
        match self.entries.get_mut(action_id).filter(|entry| entry.is_open()) {
            Some(entry) => {
                entry.sent = true;
                true
            }
            None => false,
        }
    }

    pub(crate) fn mark_delivered(&mut self, agent: usize, action_id: &ActionId) {
        if let Some(entry) = self.of(agent, action_id)
            && entry.status == ActionStatus::Queued
        {
            entry.status = ActionStatus::Delivered;
        }
    }

    pub(crate) fn mark_started(&mut self, agent: usize, action_id: &ActionId) {
        if let Some(entry) = self.of(agent, action_id)
            && entry.sent
            && matches!(entry.status, ActionStatus::Queued | ActionStatus::Delivered)
        {
            entry.status = ActionStatus::Running;
        }
    }

    /// The agent will not run it.
    pub(crate) fn end_unrun(&mut self, agent: usize, action_id: &ActionId, status: ActionStatus) {
        if let Some(entry) = self.of(agent, action_id).filter(|entry| entry.is_open()) {
            entry.status = status;
        }
    }

    pub(crate) fn cancel(&mut self, action_id: &ActionId) -> Cancelled {
        let Some(entry) = self.entries.get_mut(action_id) else { return Cancelled::Unknown };
        if !entry.is_open() {
            return Cancelled::AlreadyEnded;
        }
        entry.cancel_asked = true;
        if entry.sent {
            return Cancelled::Asked(entry.agent);
        }
        entry.status = ActionStatus::Cancelled;
        Cancelled::Done
    }

    /// Ends what was not sent and is too late.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        let late = self.entries.values_mut().filter(|entry| {
            entry.status == ActionStatus::Queued && !entry.sent && entry.expires_at_ms <= now_ms
        });
        late.for_each(|entry| entry.status = ActionStatus::Expired);
    }

    /// Records a result, once; answers the last one that is recorded of this series.
    pub(crate) fn record(&mut self, agent: usize, outbox_id: &str, result: &ToldResult) -> u64 {
        let (id, recorded) = self.outboxes.entry(agent).or_default();
        if id != outbox_id {
            (*id, *recorded) = (outbox_id.to_owned(), 0);
        }
        if result.seq > *recorded {
            *recorded = result.seq;
            if let Some(entry) = self.of(agent, &result.action.action_id).filter(|entry| entry.is_open()) {
                entry.status = result.status;
            }
        }
        self.outboxes.get(&agent).map_or(0, |(_, recorded)| *recorded)
    }

    fn of(&mut self, agent: usize, action_id: &ActionId) -> Option<&mut Entry> {
        self.entries.get_mut(action_id).filter(|entry| entry.agent == agent)
    }
}
