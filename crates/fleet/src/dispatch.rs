//! Which actions go onto an agent's stream, and when.

use std::collections::{BTreeMap, HashMap, HashSet};

use nkudo_domain::{Action, ActionId, ActionType};

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
    /// Of the open actions after this ordinal, at most [`OVERTAKING_LOOK`], the queued deletes that [`overtaking`] names, at
    /// most so many: the host has no room for what comes before them, and they may make some.
    Deletes { after: u64, room: usize },
}

/// How many open actions are looked at for deletes that may overtake.
pub const OVERTAKING_LOOK: usize = 1_000;

/// The ordinals of those deletes among queued actions, in their order, of whose VM nothing is queued before them. Such a delete
/// comes to the same before the others; what it makes room for, a name among it, they may find free then.
pub fn overtaking<'a>(queued: impl IntoIterator<Item = (u64, &'a Action)>) -> Vec<u64> {
    let mut seen = HashSet::new();
    let may = queued.into_iter().filter(|(_, action)| {
        let is_first = action.request.vm_id().is_some_and(|vm_id| seen.insert(vm_id));
        is_first && action.request.action_type() == ActionType::Delete
    });
    may.map(|(ordinal, _)| ordinal).collect()
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
    /// While the host has no room: there may be deletes that have not been looked for.
    deletes_due: bool,
}

impl Dispatch {
    /// A stream that was just opened.
    pub fn opened() -> Self {
        Self { more: true, ..Self::default() }
    }

    /// Somebody asked for an action of this agent.
    pub fn wake(&mut self) {
        self.more = true;
        self.deletes_due = true;
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
        if self.is_held() {
            // What is on its way may be held too: no delete of its VM goes before it.
            let first = self.busy.keys().chain(self.unanswered.values()).min().copied().unwrap_or(0);
            return self.deletes_due.then_some(Fetch::Deletes { after: first.saturating_sub(1), room });
        }
        // What a busy host was asked for stays in order: nothing but deletes overtakes it.
        self.more.then_some(Fetch::After { ordinal: self.fetched, limit: room })
    }

    /// When [`Dispatch::fetch`] has to be asked again although nothing happened.
    pub fn next_wake_ms(&self) -> Option<u64> {
        self.busy.values().min().copied().filter(|at_ms| *at_ms != TRYING)
    }

    /// The books answered [`Fetch::After`] with fewer actions than the limit, so that there are no more for now.
    pub fn drained(&mut self) {
        self.more = false;
    }

    /// The books answered [`Fetch::Deletes`].
    pub fn deletes_fetched(&mut self) {
        self.deletes_due = false;
    }

    /// An action is sent.
    pub fn sent(&mut self, ordinal: u64, action_id: ActionId) {
        self.pass(ordinal);
        if let Some(at_ms) = self.busy.get_mut(&ordinal) {
            *at_ms = TRYING;
        }
        self.unanswered.insert(action_id, ordinal);
    }

    /// An action of that ordinal need not be sent: it has ended meanwhile.
    pub fn skipped(&mut self, ordinal: u64) {
        self.pass(ordinal);
        self.busy.remove(&ordinal);
    }

    /// What overtakes leaves those between it and the others to be fetched in their turn, and is fetched with them once more.
    fn pass(&mut self, ordinal: u64) {
        if self.busy.is_empty() {
            self.fetched = self.fetched.max(ordinal);
        }
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
            self.deletes_due = true;
        }
    }

    /// Whether the agent had no room for something that it has not taken in since.
    pub fn is_held(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Whether it was sent and is not answered.
    pub fn is_on_its_way(&self, action_id: &ActionId) -> bool {
        self.unanswered.contains_key(action_id)
    }

    /// Deliveries on their way.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nkudo_domain::{AskedBy, DeleteVm, Request, VmId};

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
        assert_eq!(dispatch.fetch(1_000), Some(Fetch::Deletes { after: 4, room: 64 }));
        // The second of two that come later may go first.
        dispatch.sent(7, id(3));
        dispatch.deletes_fetched();
        assert!(dispatch.is_on_its_way(&id(3)));
        assert_eq!(dispatch.fetch(1_000), None);
        dispatch.sent(2, id(2));
        dispatch.wake();
        assert_eq!(
            dispatch.fetch(1_000),
            Some(Fetch::Deletes { after: 1, room: 62 }),
            "with what is on its way"
        );
        dispatch.answered(&id(2));
        dispatch.deletes_fetched();
        assert_eq!(dispatch.fetch(1_000), None);
        dispatch.answered(&id(3));
        assert_eq!(dispatch.next_wake_ms(), Some(3_000));
        assert_eq!(dispatch.fetch(3_000), Some(Fetch::Again { ordinal: 5 }));
        dispatch.sent(5, id(1));
        assert!(dispatch.is_held(), "it is not known yet whether there is room");
        assert_eq!((dispatch.fetch(9_000), dispatch.next_wake_ms()), (None, None));
        dispatch.busy(&id(1), 3_500);
        dispatch.deletes_fetched();
        assert_eq!((dispatch.fetch(5_000), dispatch.next_wake_ms()), (None, Some(5_500)));
        dispatch.wake();
        assert_eq!(dispatch.fetch(5_000), Some(Fetch::Deletes { after: 4, room: 64 }));
        dispatch.sent(5, id(1));
        dispatch.answered(&id(1));
        assert!(!dispatch.is_held());
        assert_eq!(
            dispatch.fetch(3_000),
            Some(Fetch::After { ordinal: 5, limit: 64 }),
            "with what was overtaken"
        );
        dispatch.busy(&id(9), 0);
        assert_eq!(dispatch.next_wake_ms(), None, "an answer for what was not sent changes nothing");
    }

    #[test]
    fn a_delete_overtakes_where_nothing_of_its_vm_is_queued_before_it() {
        let action = |vm: u32, request: fn(VmId) -> Request| Action {
            action_id: id(1),
            timeout: Duration::ZERO,
            request: request(format!("01890a5d-ac96-774b-bcce-{vm:012}").parse().unwrap()),
            trace_id: None,
            parent_span_id: None,
            correlation_id: None,
            asked_by: AskedBy::ControlPlane,
            start_within: None,
        };
        let delete: fn(VmId) -> Request = |vm_id| Request::Delete(DeleteVm { vm_id, delete_disks: false });
        let queued = [
            action(1, Request::Pause),
            action(2, delete),
            action(1, delete),
            action(2, delete),
            action(3, Request::Start),
            action(4, delete),
        ];
        assert_eq!(overtaking((10..).zip(&queued)), [11, 15]);
    }
}
