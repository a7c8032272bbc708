//! Records that could not be read, and what must not be done without them.
//!
//! What was admitted may have ended by a record that is lost, and what came after it too: to do it now could be to do it
//! twice, and in the wrong order. So nothing of it is done any more where such a record may have been durable; its asker is
//! told that nobody knows how it ended.

use std::collections::BTreeMap;

use nkudo_domain::{ActionId, Lane, Observation, Outcome, Request, VmId};

use crate::config::Now;
use crate::decide::deed_again;
use crate::message::Found;
use crate::record::VmChange;
use crate::tracker::Tracker;

/// Told of an action that was taken in, and of whose end there may have been a record.
const OUTCOME_UNKNOWN: &str = "interrupted, outcome unknown: records of this host's journal were lost; look at what is there before you ask again";

/// What is missing of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Lost {
    #[default]
    Nothing,
    /// What was being written when the host went down; none of it was durable.
    Unwritten,
    /// Maybe the end of something that was told.
    Ends,
}

impl Lost {
    /// What a damage comes to. `is_cut_off` says that it looks like a write that was cut off, `was_synced` that what is lost
    /// was durable for sure, `has_stayed_up` that the host has not gone down since the records were last read: as long as it
    /// stays up, the kernel keeps all that a killed program has written, and only a write that was cut off costs nothing.
    pub const fn judge(is_cut_off: bool, was_synced: bool, has_stayed_up: bool) -> Self {
        if was_synced || (has_stayed_up && !is_cut_off) { Self::Ends } else { Self::Unwritten }
    }
}

impl Tracker {
    /// Ends everything that had not ended by the records that are left. VMs are what was found of them.
    pub(crate) fn give_up_on_lost(&mut self, found: &BTreeMap<VmId, Found>, now: Now) {
        let open: Vec<ActionId> = self.live().map(|tracked| tracked.action.action_id.clone()).collect();
        for action_id in open {
            let change = self.left_by(&action_id, found, now);
            self.conclude(&action_id, Outcome::Failure { error: OUTCOME_UNKNOWN.to_owned() }, change, now);
        }
    }

    /// Ends the commands that wait by the records that are left. What is lost was most likely never durable, and then none of them
    /// was begun; but a rotten bit may look the same, and a command is the one thing that must not be done again in any case.
    pub(crate) fn give_up_on_queued_commands(&mut self, now: Now) {
        let queued: Vec<ActionId> = self.lanes.get(&Lane::Commands).into_iter().flatten().cloned().collect();
        for action_id in queued {
            self.conclude(&action_id, Outcome::Failure { error: OUTCOME_UNKNOWN.to_owned() }, None, now);
        }
    }

    /// What an action has left of its VM, if it may have done something.
    fn left_by(&mut self, action_id: &ActionId, found: &BTreeMap<VmId, Found>, now: Now) -> Option<VmChange> {
        let tracked = self.actions.get(action_id)?;
        let has_begun = tracked.has_begun();
        let request = &tracked.action.request;
        let vm_id = request.vm_id()?;
        let observation = found.get(&vm_id).map_or(&Observation::Absent, |found| &found.observation);
        let deed = deed_again(request, observation)?;
        let comes_or_goes = match request {
            Request::Create(_) => true,
            // That the VM is gone does not prove that its disks are.
            Request::Delete(delete) => !delete.delete_disks,
            Request::Start(_)
            | Request::Stop(_)
            | Request::Pause(_)
            | Request::Resume(_)
            | Request::Execute(_) => false,
        };
        let half_made = matches!(request, Request::Create(create) if create.autostart)
            && *observation == Observation::Stopped(None);
        if comes_or_goes && *observation == Observation::Absent {
            let gone = self.vms.remove(&vm_id)?;
            return Some(VmChange::Gone { vm_id, vm_name: gone.spec.vm_name.clone() });
        }
        if !has_begun {
            return None;
        }
        let vm = self.vms.get_mut(&vm_id)?;
        if half_made {
            vm.leave_remains(now)
        } else {
            vm.take_after(deed, observation, now)
        }
        self.vm_change(vm_id)
    }
}
