//! Microvms without a hypervisor, for load and for faults.
//!
//! The VMs, and one appended line for each deed that altered something, live in one file of JSON lines:
//! `{"deed", "vm_id", "state", "at_ms"}`, and `spec` in the line of a create. A line is written and synced before
//! its deed answers, so the VMs outlive the program, and whoever reads the file sees each deed as often as it was
//! done. For that the file is never shortened: it is a record for tests, not for years of service.
//!
//! Labels of a VM's specification steer what happens to it:
//!
//! | label | meaning |
//! |---|---|
//! | `simulated.boot_ms` | a boot takes that long |
//! | `simulated.delay_ms` | every deed takes that long, before anything is altered |
//! | `simulated.fail` | a deed (`create`, `boot`, `pause`, `resume`, `power_off`, `force_off`, `delete`) that always fails |
//! | `simulated.fail_times` | that deed, or any when none is named, fails transiently so many times, then no more |
//! | `simulated.hang` | a deed that never ends |
//! | `simulated.exit_after_ms` | so long after each boot the VM dies by itself |
//! | `simulated.silent_after_ms` | so long after each boot it does not say any more how it is |
//! | `simulated.lie` | a deed that answers well without being done |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nkudo_domain::{Exit, Observation, ProviderKind, VmId, VmSpec};
use nkudo_host::clock;
use nkudo_host::process::Identity;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

mod faults;
mod ledger;

use faults::Faults;
use ledger::{Ledger, Vm};

use crate::error::ProviderError;
use crate::evidence::{Fact, Findings};
use crate::provider::{Counters, Probe, Provider};

/// Most VMs whose failures are counted down; those of further VMs do not fail.
const FAILING_VMS_MAX: usize = 4096;

/// Where simulated VMs live.
#[derive(Debug, Clone)]
pub struct SimulatedConfig {
    /// The file of deeds; it is made when it is not there.
    pub file: PathBuf,
    /// Without the file: for load, where nothing has to outlive the program.
    pub memory_only: bool,
}

/// The simulated provider.
#[derive(Debug)]
pub struct Simulated {
    config: SimulatedConfig,
    /// None until it is first needed.
    ledger: Mutex<Option<Ledger>>,
    /// How many failures each VM has had of those that `simulated.fail_times` gives it.
    failures: Mutex<BTreeMap<VmId, u32>>,
    changed: Notify,
}

/// What is done to a VM, by its name in labels and lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    Create,
    Boot,
    PowerOff,
    ForceOff,
    Pause,
    Resume,
    Delete,
}

/// How a VM is after a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Stopped,
    Running,
    Paused,
    Deleted,
}

impl Simulated {
    /// A provider that takes up the VMs of its file when it is first asked for something.
    pub fn new(config: SimulatedConfig) -> Self {
        Self { config, ledger: Mutex::default(), failures: Mutex::default(), changed: Notify::new() }
    }

    /// The VMs that a file of deeds tells of. The file is not touched; one that is not there tells of none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn vms_in(file: &Path) -> Result<Vec<VmId>, ProviderError> {
        Ok(Ledger::read(file)?.vm_ids())
    }

    fn with_ledger<T>(
        &self,
        read: impl FnOnce(&mut Ledger) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = match &mut *ledger {
            Some(ledger) => ledger,
            none if self.config.memory_only => none.insert(Ledger::in_memory()),
            none => none.insert(Ledger::open(self.config.file.clone())?),
        };
        read(ledger)
    }

    fn vm(&self, vm_id: VmId) -> Result<Option<Vm>, ProviderError> {
        self.with_ledger(|ledger| Ok(ledger.vm(vm_id).cloned()))
    }

    fn spec_of(&self, vm_id: VmId) -> Result<Option<VmSpec>, ProviderError> {
        Ok(self.vm(vm_id)?.map(|vm| vm.spec))
    }

    /// Lets the VM's faults have their turn. Tells whether the deed is to be done at all.
    async fn faults(&self, vm_id: VmId, spec: Option<&VmSpec>, deed: Deed) -> Result<bool, ProviderError> {
        let Some(spec) = spec else { return Ok(true) };
        let faults =
            Faults::of(spec).map_err(|detail| ProviderError::Simulated { detail, transient: false })?;
        let takes = faults.takes(deed);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if faults.hangs(deed) {
            std::future::pending::<()>().await;
        }
        let failures_so_far = self.failures_so_far(vm_id);
        match faults.failure(deed, failures_so_far) {
            Some(failure) => {
                if failure.transient {
                    self.count_failure(vm_id);
                }
                let detail = format!("simulated failure of {}", faults::word(deed));
                Err(ProviderError::Simulated { detail, transient: failure.transient })
            }
            None => Ok(!faults.lies(deed)),
        }
    }

    fn failures_so_far(&self, vm_id: VmId) -> u32 {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let full = failures.len() >= FAILING_VMS_MAX;
        failures.get(&vm_id).copied().unwrap_or(if full { u32::MAX } else { 0 })
    }

    fn count_failure(&self, vm_id: VmId) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(vm_id).or_default() += 1;
    }

    /// Alters one VM by what `decide` finds right for how it is now, and records it before it answers.
    fn record(
        &self,
        vm_id: VmId,
        deed: Deed,
        decide: impl FnOnce(Option<&Vm>, i64) -> Result<Option<(State, Option<VmSpec>)>, ProviderError>,
    ) -> Result<(), ProviderError> {
        let now_ms = clock::wall_ms();
        let altered = self.with_ledger(|ledger| match decide(ledger.vm(vm_id), now_ms)? {
            Some((state, spec)) => ledger.append(deed, vm_id, state, now_ms, spec).map(|()| true),
            None => Ok(false),
        })?;
        if altered {
            self.changed.notify_waiters();
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Simulated {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Simulated
    }

    async fn probe(&self) -> Result<Probe, ProviderError> {
        self.with_ledger(|_| Ok(()))?;
        Ok(Probe { version: env!("CARGO_PKG_VERSION").to_owned(), acceleration: "simulated".to_owned() })
    }

    async fn create(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        require_kernel(&spec.kernel)?;
        if !self.faults(spec.vm_id, Some(spec), Deed::Create).await? {
            return Ok(());
        }
        self.record(spec.vm_id, Deed::Create, |vm, now_ms| match vm {
            Some(vm) if vm.spec == *spec => Ok(None),
            Some(vm) if vm.living(now_ms).is_some() => Err(ProviderError::StillAlive { vm_id: spec.vm_id }),
            Some(_) | None => Ok(Some((State::Stopped, Some(spec.clone())))),
        })
    }

    async fn boot(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        let vm_id = spec.vm_id;
        require_kernel(&spec.kernel)?;
        // Before the wait, as a hypervisor would find out, and once more when the deed is done.
        let bootable = |vm: Option<&Vm>, now_ms| match vm {
            None => Err(not_created(vm_id)),
            Some(vm) if vm.living(now_ms).is_some() => Err(ProviderError::StillAlive { vm_id }),
            Some(_) => Ok(Some((State::Running, None))),
        };
        bootable(self.vm(vm_id)?.as_ref(), clock::wall_ms())?;
        if !self.faults(vm_id, Some(spec), Deed::Boot).await? {
            return Ok(());
        }
        self.record(vm_id, Deed::Boot, bootable)
    }

    async fn power_off(&self, vm_id: VmId, _grace: Duration) -> Result<(), ProviderError> {
        let spec = self.spec_of(vm_id)?;
        if !self.faults(vm_id, spec.as_ref(), Deed::PowerOff).await? {
            return Ok(());
        }
        self.record(vm_id, Deed::PowerOff, |vm, now_ms| match vm {
            Some(vm) if vm.living(now_ms).is_some() => Ok(Some((State::Stopped, None))),
            Some(_) | None => Ok(None),
        })
    }

    async fn force_off(&self, vm_id: VmId) -> Result<(), ProviderError> {
        let spec = self.spec_of(vm_id)?;
        if !self.faults(vm_id, spec.as_ref(), Deed::ForceOff).await? {
            return Ok(());
        }
        self.record(vm_id, Deed::ForceOff, |vm, now_ms| match vm.map(|vm| vm.observation(now_ms)) {
            None | Some(Observation::Stopped(None) | Observation::Absent) => Ok(None),
            Some(_) => Ok(Some((State::Stopped, None))),
        })
    }

    async fn pause(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.suspend(vm_id, Deed::Pause, State::Paused).await
    }

    async fn resume(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.suspend(vm_id, Deed::Resume, State::Running).await
    }

    async fn delete(&self, vm_id: VmId) -> Result<(), ProviderError> {
        let spec = self.spec_of(vm_id)?;
        if !self.faults(vm_id, spec.as_ref(), Deed::Delete).await? {
            return Ok(());
        }
        if spec.is_some() {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&vm_id);
        }
        self.record(vm_id, Deed::Delete, |vm, _| Ok(vm.map(|_| (State::Deleted, None))))
    }

    async fn observe(&self, vm_id: VmId) -> Result<Observation, ProviderError> {
        let now_ms = clock::wall_ms();
        Ok(self.vm(vm_id)?.map_or(Observation::Absent, |vm| vm.observation(now_ms)))
    }

    async fn evidence(&self, vm_id: VmId) -> Result<Findings, ProviderError> {
        let observation = self.observe(vm_id).await?;
        let path = self.config.file.display();
        let (there, why) = match &observation {
            Observation::Absent => (false, "no line of the file of simulated deeds tells of it".to_owned()),
            Observation::Running => (true, "its last deed left it running".to_owned()),
            Observation::Paused => (true, "its last deed left it paused".to_owned()),
            Observation::Unresponsive => {
                (true, "its label simulated.silent_after_ms keeps it from saying how it is".to_owned())
            }
            Observation::Stopped(None) => {
                (true, "it was never started, or it was stopped on request".to_owned())
            }
            Observation::Stopped(Some(exit)) => (true, format!("it ended: {exit}")),
        };
        let is = if there { "tells of it" } else { "does not tell of it" };
        let facts = vec![Fact::seen("deeds", there, format!("{path} {is}"))];
        Ok(Findings { facts, events: Vec::new(), observation, why })
    }

    async fn list(&self) -> Result<Vec<VmId>, ProviderError> {
        self.with_ledger(|ledger| Ok(ledger.vm_ids()))
    }

    async fn spec(&self, vm_id: VmId) -> Option<VmSpec> {
        self.spec_of(vm_id).ok().flatten()
    }

    fn identity(&self, _vm_id: VmId) -> Option<Identity> {
        None
    }

    async fn exited(&self, vm_id: VmId) -> Exit {
        loop {
            // Listens before it looks, so that nothing is missed in between.
            let changed = self.changed.notified();
            let now_ms = clock::wall_ms();
            let Ok(Some(vm)) = self.vm(vm_id) else { return gone() };
            let dies_in = match vm.observation(now_ms) {
                Observation::Stopped(exit) => return exit.unwrap_or_else(gone),
                Observation::Absent => return gone(),
                Observation::Running | Observation::Paused | Observation::Unresponsive => vm.dies_in(now_ms),
            };
            match dies_in {
                // Whichever comes first, or the caller letting go: nothing is lost, it is looked at again.
                Some(left) => drop(tokio::time::timeout(left, changed).await),
                None => changed.await,
            }
        }
    }

    async fn counters(&self, vm_id: VmId) -> Option<Counters> {
        let now_ms = clock::wall_ms();
        self.vm(vm_id).ok()??.living(now_ms).map(|_| Counters::default())
    }

    async fn rotate(&self, _vm_id: VmId) -> Result<(), ProviderError> {
        Ok(())
    }
}

impl Simulated {
    async fn suspend(&self, vm_id: VmId, deed: Deed, wanted: State) -> Result<(), ProviderError> {
        let spec = self.spec_of(vm_id)?;
        if !self.faults(vm_id, spec.as_ref(), deed).await? {
            return Ok(());
        }
        self.record(vm_id, deed, |vm, now_ms| match vm.and_then(|vm| vm.living(now_ms)) {
            None => Err(ProviderError::NotRunning { vm_id }),
            Some(state) => Ok((state != wanted).then_some((wanted, None))),
        })
    }
}

fn require_kernel(path: &Path) -> Result<(), ProviderError> {
    let unreadable = |source| ProviderError::KernelUnreadable { path: path.to_owned(), source };
    std::fs::metadata(path).map(drop).map_err(unreadable)
}

fn not_created(vm_id: VmId) -> ProviderError {
    ProviderError::Simulated { detail: format!("vm {vm_id} was not created"), transient: false }
}

fn gone() -> Exit {
    Exit::Died("it was ended on request".to_owned())
}
