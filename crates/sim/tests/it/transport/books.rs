//! The books of the control plane: what survives its restarts.

use nkudo_domain::{Action, ActionId};
use serde_json::json;

/// What was asked for, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Books {
    entries: Vec<Entry>,
    /// Results up to this number are recorded.
    recorded_up_to: u64,
    /// Links that were opened.
    pub(super) links: u64,
    /// Results that came once more.
    pub(super) results_repeated: u64,
    pub(super) broken: Option<String>,
}

#[derive(Debug)]
struct Entry {
    action: Action,
    recorded: u32,
}

impl Books {
    /// Somebody asks for one more action.
    pub(super) fn ask(&mut self) -> ActionId {
        let body = json!({"action_id": format!("a{}", self.entries.len()), "action_type": "MicroVMPause",
            "params": {"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057"}});
        let origin = nkudo_api::action::Origin {
            action_id: "none".parse().unwrap(),
            trace_id: None,
            parent_span_id: None,
            correlation_id: None,
        };
        let action = nkudo_api::action::parse(&body, "", origin).unwrap();
        let action_id = action.action_id.clone();
        self.entries.push(Entry { action, recorded: 0 });
        action_id
    }

    /// Actions without a result after this ordinal, each with its own, from one on.
    pub(super) fn open_after(&self, ordinal: u64, limit: usize) -> Vec<(u64, Action)> {
        let numbered = (1..).zip(&self.entries);
        let open = numbered.filter(|(number, entry)| *number > ordinal && entry.recorded == 0);
        open.take(limit).map(|(number, entry)| (number, entry.action.clone())).collect()
    }

    /// Records a result, once, and answers up to which number all are.
    pub(super) fn record(&mut self, seq: u64, action_id: &ActionId) -> u64 {
        if seq <= self.recorded_up_to {
            self.results_repeated += 1;
            return self.recorded_up_to;
        }
        if seq != self.recorded_up_to + 1 {
            self.broken = Some(format!("result {seq} came after {}", self.recorded_up_to));
        }
        self.recorded_up_to = seq;
        match self.entries.iter_mut().find(|entry| entry.action.action_id == *action_id) {
            Some(entry) => entry.recorded += 1,
            None => self.broken = Some(format!("nobody asked for {action_id}")),
        }
        seq
    }

    pub(super) fn all_ended(&self) -> bool {
        self.entries.iter().all(|entry| entry.recorded > 0)
    }

    pub(super) fn asked(&self) -> impl Iterator<Item = &ActionId> {
        self.entries.iter().map(|entry| &entry.action.action_id)
    }

    pub(super) fn recorded(&self) -> impl Iterator<Item = (&ActionId, u32)> {
        self.entries.iter().map(|entry| (&entry.action.action_id, entry.recorded))
    }
}
