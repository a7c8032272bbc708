//! What can be seen of a [`World`], and what must be so in it.

use std::collections::BTreeMap;

use nkudo_domain::{ActionId, Deed, Execution, Observation, Outcome, VmId, VmState};
use nkudo_tracker::{Phase, Tracker};

use crate::asking::vm_id;
use crate::world::{World, ends};

impl World {
    pub(crate) fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.tracker.action(&id.parse().unwrap())?.outcome()
    }

    #[track_caller]
    pub(crate) fn execution(&self, id: &str) -> &Execution {
        let tracked = self.tracker.action(&id.parse().unwrap()).unwrap();
        tracked.execution.as_ref().expect("the action started")
    }

    #[track_caller]
    pub(crate) fn phase(&self, id: &str) -> &Phase {
        &self.tracker.action(&id.parse().unwrap()).unwrap().phase
    }

    pub(crate) fn state(&self, n: u32) -> Option<VmState> {
        self.tracker.vm(vm_id(n)).map(|vm| vm.state)
    }

    pub(crate) fn reason(&self, n: u32) -> Option<&str> {
        self.tracker.vm(vm_id(n))?.reason.as_deref()
    }

    /// The deeds begun for an action.
    pub(crate) fn deeds_of(&self, id: &str) -> Vec<Deed> {
        self.performed
            .iter()
            .filter(|(action_id, _)| action_id.as_str() == id)
            .map(|(_, deed)| *deed)
            .collect()
    }

    #[track_caller]
    pub(crate) fn check_vms(&self) {
        self.check_vms_in("now");
    }

    /// What the tracker holds of each VM is what the provider has.
    #[track_caller]
    pub(crate) fn check_vms_in(&self, context: &str) {
        let held: BTreeMap<VmId, VmState> = self.tracker.vms().map(|(vm_id, vm)| (vm_id, vm.state)).collect();
        assert_eq!(
            held.keys().collect::<Vec<_>>(),
            self.provider.vms.keys().collect::<Vec<_>>(),
            "{context}: the vms held are the vms there"
        );
        for (vm_id, vm) in &self.provider.vms {
            let allowed: &[VmState] = match vm.observation {
                Observation::Running => &[VmState::Running],
                Observation::Paused => &[VmState::Paused],
                Observation::Stopped(_) => &[VmState::Stopped, VmState::Failed],
                Observation::Unresponsive => &[VmState::Unknown],
                Observation::Absent => &[],
            };
            assert!(
                allowed.contains(&held[vm_id]),
                "{context}: {vm_id} is {:?}, held as {}",
                vm.observation,
                held[vm_id]
            );
        }
    }

    /// Ends in the journal of an action, over all runs.
    pub(crate) fn ends_of(&self, action_id: &ActionId) -> usize {
        self.journal.iter().filter(|record| ends(record, action_id)).count()
    }
}

pub(crate) fn success(changed: bool) -> Outcome {
    Outcome::Success { changed }
}

pub(crate) fn failure(error: &str) -> Outcome {
    Outcome::Failure { error: error.to_owned() }
}

/// What can be seen of a tracker, for comparing two.
pub(crate) fn observable(tracker: &Tracker) -> String {
    let mut actions: Vec<String> = tracker
        .actions()
        .map(|t| format!("{:?} {:?} {:?} {:?}", t.action, t.admitted, t.phase, t.execution))
        .collect();
    actions.sort();
    let vms: Vec<String> = tracker
        .vms()
        .map(|(_, vm)| {
            format!(
                "{:?} {} {:?} {} {} {}",
                vm.spec, vm.state, vm.reason, vm.incarnation, vm.since_ms, vm.restarts
            )
        })
        .collect();
    let executions: Vec<_> = tracker.executions().collect();
    format!("{actions:#?}\n{vms:#?}\n{executions:#?}\n{:#?}\n{}", tracker.aggregates(), tracker.queue_depth())
}
