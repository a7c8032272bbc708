//! Which actions go onto an agent's stream, and when.

use std::collections::{BTreeMap, HashMap};

use nkudo_domain::ActionId;

/// Deliveries on their way and not answered, at most.
const WINDOW: usize = 64;
/// How long a host that had no room is left alone, in milliseconds.
const BUSY_WAIT_MS: u64 = 2_000;
/// A time that never comes.
const TRYING: u64 = u64::MAX;

/// What the owner of the books is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// Open actions after this ordinal, at most so many.
    After { ordinal: u64, limit: usize },
    /// Open actions from this ordinal on once more: the host had no room for this one.
    Again { ordinal: u64 },
}

/// The deliveries of one stream. Every stream begins with all open actions of its agent: what was delivered on an
/// earlier one and has no result is delivered again, and the agent answers that it knows it. Times are monotonic
/// milliseconds.
#[derive(Debug, Default)]
pub struct Dispatch {
    /// Every action up to this ordinal has been fetched.
    fetched: u64,
    /// There may be actions after `fetched`.
    more: bool,
    /// Ordinals of what was sent and not answered.
    unanswered: HashMap<ActionId, u64>,
    /// What the host had no room for: ordinal and when to try again, [`TRYING`] while it is on its way once more.
    busy: BTreeMap<u64, u64>,
}

impl Dispatch {
    /// A stream that was just opened.
    pub fn opened() -> Self {
        Self { more: true, ..Self::default() }
    }

    /// Somebody asked for an action of this agent.
    pub fn wake(&mut self) {
        self.more = true;
    }

    /// What to fetch from the books now; none while there is nothing to do or no room.
    pub fn fetch(&self, now_ms: u64) -> Option<Fetch> {
        let room = WINDOW.saturating_sub(self.unanswered.len());
        if room == 0 {
            return None;
        }
        let due = self.busy.iter().find(|(_, at_ms)| **at_ms <= now_ms);
        if let Some((ordinal, _)) = due {
            return Some(Fetch::Again { ordinal: *ordinal });
        }
        // What a busy host was asked for stays in order: nothing overtakes it.
        (self.more && self.busy.is_empty()).then_some(Fetch::After { ordinal: self.fetched, limit: room })
    }

    /// When [`Dispatch::fetch`] has to be asked again although nothing happened.
    pub fn next_wake_ms(&self) -> Option<u64> {
        self.busy.values().min().copied().filter(|at_ms| *at_ms != TRYING)
    }

    /// The books answered [`Fetch::After`] with fewer actions than the limit, so that there are no more for now.
    pub fn drained(&mut self) {
        self.more = false;
    }

    /// An action is sent.
    pub fn sent(&mut self, ordinal: u64, action_id: ActionId) {
        self.fetched = self.fetched.max(ordinal);
        if let Some(at_ms) = self.busy.get_mut(&ordinal) {
            *at_ms = TRYING;
        }
        self.unanswered.insert(action_id, ordinal);
    }

    /// An action of that ordinal need not be sent: it has ended meanwhile.
    pub fn skipped(&mut self, ordinal: u64) {
        self.fetched = self.fetched.max(ordinal);
        self.busy.remove(&ordinal);
    }

    /// The agent has answered for it.
    pub fn answered(&mut self, action_id: &ActionId) {
        if let Some(ordinal) = self.unanswered.remove(action_id) {
            self.busy.remove(&ordinal);
        }
    }

    /// The agent has no room for it now.
    pub fn busy(&mut self, action_id: &ActionId, now_ms: u64) {
        if let Some(ordinal) = self.unanswered.remove(action_id) {
            self.busy.insert(ordinal, now_ms.saturating_add(BUSY_WAIT_MS));
        }
    }

    /// Whether the agent had no room for something that it has not taken in since.
    pub fn is_held(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Deliveries on their way.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ActionId {
        format!("a{number}").parse().unwrap()
    }

    #[test]
    fn deliveries_are_bounded_and_go_on_when_they_are_answered() {
        let mut dispatch = Dispatch::opened();
        assert_eq!(dispatch.fetch(0), Some(Fetch::After { ordinal: 0, limit: 64 }));
        (1..=64).for_each(|number| dispatch.sent(number as u64 * 10, id(number)));
        assert_eq!(dispatch.fetch(0), None, "the window is full");
        dispatch.answered(&id(1));
        assert_eq!(dispatch.fetch(0), Some(Fetch::After { ordinal: 640, limit: 1 }));
        dispatch.drained();
        assert_eq!(dispatch.fetch(0), None);
        dispatch.wake();
        assert_eq!(dispatch.fetch(0), Some(Fetch::After { ordinal: 640, limit: 1 }));
        dispatch.skipped(650);
        assert_eq!(dispatch.fetch(0), Some(Fetch::After { ordinal: 650, limit: 1 }));
        assert_eq!(dispatch.unanswered(), 63);
    }

    #[test]
    fn a_host_without_room_is_asked_again_and_nothing_overtakes() {
        let mut dispatch = Dispatch::opened();
        dispatch.sent(5, id(1));
        dispatch.busy(&id(1), 1_000);
        assert!(dispatch.is_held());
        assert_eq!(dispatch.fetch(1_000), None);
        assert_eq!(dispatch.next_wake_ms(), Some(3_000));
        assert_eq!(dispatch.fetch(3_000), Some(Fetch::Again { ordinal: 5 }));
        dispatch.sent(5, id(1));
        assert!(dispatch.is_held(), "it is not known yet whether there is room");
        assert_eq!((dispatch.fetch(9_000), dispatch.next_wake_ms()), (None, None));
        dispatch.busy(&id(1), 3_500);
        assert_eq!((dispatch.fetch(5_000), dispatch.next_wake_ms()), (None, Some(5_500)));
        dispatch.sent(5, id(1));
        dispatch.answered(&id(1));
        assert!(!dispatch.is_held());
        assert_eq!(dispatch.fetch(3_000), Some(Fetch::After { ordinal: 5, limit: 64 }));
        dispatch.busy(&id(9), 0);
        assert_eq!(dispatch.next_wake_ms(), None, "an answer for what was not sent changes nothing");
    }
}
