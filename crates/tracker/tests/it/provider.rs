//! A model of what a provider does, and of how it may fail at it.

use std::collections::BTreeMap;

use nkudo_domain::{Deed, Exit, Observation, ProviderKind, VmId, VmSpec};
use nkudo_tracker::{DeedFailure, Found, Work};

pub(crate) const KIND: ProviderKind = ProviderKind::Simulated;

/// What becomes of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Fails {
        transient: bool,
        left: Part,
    },
    /// The provider says that it is done and did nothing.
    Lies,
    /// It never ends by itself.
    Hangs,
}

/// How much of a deed was done when it ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    Half,
    Whole,
}

#[derive(Debug, Clone)]
pub(crate) struct ProvidedVm {
    pub(crate) spec: VmSpec,
    pub(crate) observation: Observation,
}

/// Everything a provider has on the host; it outlives the tracker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provider {
    pub(crate) vms: BTreeMap<VmId, ProvidedVm>,
    /// VMs ever made and booted.
    pub(crate) creates: u32,
    pub(crate) boots: u32,
}

impl Provider {
    pub(crate) fn observe(&self, vm_id: VmId) -> Observation {
        self.vms.get(&vm_id).map_or(Observation::Absent, |vm| vm.observation.clone())
    }

    pub(crate) fn set(&mut self, vm_id: VmId, observation: Observation) {
        self.vms.get_mut(&vm_id).expect("the test made this vm").observation = observation;
    }

    pub(crate) fn found(&self) -> Vec<Found> {
        let found = |(vm_id, vm): (&VmId, &ProvidedVm)| Found {
            vm_id: *vm_id,
            provider: KIND,
            spec: Some(vm.spec.clone()),
            observation: vm.observation.clone(),
        };
        self.vms.iter().map(found).collect()
    }

    pub(crate) fn end(&mut self, work: &Work, fate: Fate) -> Result<(), DeedFailure> {
        match fate {
            Fate::Done => self.perform(work),
            Fate::Lies => Ok(()),
            Fate::Fails { transient, left } => {
                self.perform_part(work, left);
                Err(DeedFailure::Failed { error: "the host is out of luck".to_owned(), transient })
            }
            Fate::Hangs => panic!("a hanging deed ends by an interruption only: {work:?}"),
        }
    }

    fn perform(&mut self, work: &Work) -> Result<(), DeedFailure> {
        let vm_id = work.spec.vm_id;
        let refuse = |error: &str| Err(DeedFailure::Failed { error: error.to_owned(), transient: false });
        let found = self.observe(vm_id);
        match work.deed {
            Deed::Create => {
                if !work.afresh && found != Observation::Absent {
                    return refuse("its run directory exists");
                }
                let observation = self.prepared(work.autostart);
                self.vms.insert(vm_id, ProvidedVm { spec: (*work.spec).clone(), observation });
                self.creates += 1;
            }
            Deed::Boot if found == Observation::Absent => return refuse("it has no run directory"),
            Deed::Boot => {
                if !work.afresh && !matches!(found, Observation::Stopped(_)) {
                    return refuse("it has a process");
                }
                let observation = self.prepared(true);
                self.set(vm_id, observation);
            }
            Deed::PowerOff => return self.end_process(vm_id, Exit::GuestPoweredOff),
            Deed::ForceOff | Deed::SettleStopped => return self.end_process(vm_id, killed()),
            Deed::Pause if found == Observation::Running => self.set(vm_id, Observation::Paused),
            Deed::Resume if found == Observation::Paused => self.set(vm_id, Observation::Running),
            Deed::Pause | Deed::Resume => return refuse("it cannot do that now"),
            Deed::Delete => drop(self.vms.remove(&vm_id)),
        }
        Ok(())
    }

    fn prepared(&mut self, boot: bool) -> Observation {
        self.boots += u32::from(boot);
        if boot { Observation::Running } else { Observation::Stopped(None) }
    }

    fn end_process(&mut self, vm_id: VmId, exit: Exit) -> Result<(), DeedFailure> {
        match self.observe(vm_id) {
            Observation::Absent => {
                Err(DeedFailure::Failed { error: "it has no run directory".to_owned(), transient: false })
            }
            Observation::Stopped(_) => Ok(()),
            Observation::Running | Observation::Paused | Observation::Unresponsive => {
                self.set(vm_id, Observation::Stopped(Some(exit)));
                Ok(())
            }
        }
    }

    /// Leaves the deed in the middle.
    pub(crate) fn perform_part(&mut self, work: &Work, part: Part) {
        let vm_id = work.spec.vm_id;
        match (part, work.deed) {
            (Part::Nothing, _) => {}
            (Part::Whole, _) => drop(self.perform(work)),
            (Part::Half, Deed::Create) => {
                let half = ProvidedVm {
                    spec: (*work.spec).clone(),
                    observation: if work.autostart {
                        Observation::Unresponsive
                    } else {
                        Observation::Stopped(None)
                    },
                };
                self.vms.insert(vm_id, half);
            }
            (Part::Half, Deed::Boot) if self.vms.contains_key(&vm_id) => {
                self.set(vm_id, Observation::Unresponsive);
            }
            (Part::Half, Deed::Delete) => drop(self.end_process(vm_id, killed())),
            (
                Part::Half,
                Deed::Boot
                | Deed::PowerOff
                | Deed::ForceOff
                | Deed::SettleStopped
                | Deed::Pause
                | Deed::Resume,
            ) => {}
        }
    }
}

pub(crate) fn killed() -> Exit {
    Exit::Died("killed by signal 9".to_owned())
}

pub(crate) fn killed_by_reboot() -> Observation {
    Observation::Stopped(Some(Exit::HostRebooted))
}
