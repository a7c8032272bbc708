//! A provider that does what the simulated one cannot: it does not list, does not say, or panics.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use nkudo_domain::{Exit, Observation, ProviderKind, VmId, VmSpec};
use nkudo_host::process::{self, Identity};
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_providers::{Counters, Findings, Probe, Provider, ProviderError};

/// What it does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    List,
    /// It answers with an error.
    Observe,
    /// It never answers.
    ObserveEver,
    PausePanics,
}

/// VMs that are simulated; each is this test's own process.
#[derive(Debug)]
pub(crate) struct Stubborn {
    vms: Simulated,
    refusal: Mutex<Option<Refusal>>,
}

impl Stubborn {
    pub(crate) fn new(refusal: Option<Refusal>) -> Self {
        let vms = Simulated::new(SimulatedConfig { file: "/nowhere".into(), memory_only: true });
        Self { vms, refusal: Mutex::new(refusal) }
    }

    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    fn refuses(&self, what: Refusal) -> bool {
        *self.refusal.lock().unwrap() == Some(what)
    }
}

fn refused(detail: &str) -> ProviderError {
    ProviderError::Simulated { detail: detail.to_owned(), transient: false }
}

#[async_trait]
impl Provider for Stubborn {
    fn kind(&self) -> ProviderKind {
        self.vms.kind()
    }

    async fn probe(&self) -> Result<Probe, ProviderError> {
        self.vms.probe().await
    }

    async fn create(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        self.vms.create(spec).await
    }

    async fn boot(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        self.vms.boot(spec).await
    }

    async fn power_off(&self, vm_id: VmId, grace: Duration) -> Result<(), ProviderError> {
        self.vms.power_off(vm_id, grace).await
    }

    async fn force_off(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.vms.force_off(vm_id).await
    }

    async fn pause(&self, vm_id: VmId) -> Result<(), ProviderError> {
        assert!(!self.refuses(Refusal::PausePanics), "planted");
        self.vms.pause(vm_id).await
    }

    async fn resume(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.vms.resume(vm_id).await
    }

    async fn delete(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.vms.delete(vm_id).await
    }

    async fn observe(&self, vm_id: VmId) -> Result<Observation, ProviderError> {
        if self.refuses(Refusal::ObserveEver) {
            std::future::pending::<()>().await;
        }
        if self.refuses(Refusal::Observe) {
            return Err(refused("nothing is said"));
        }
        self.vms.observe(vm_id).await
    }

    async fn evidence(&self, vm_id: VmId) -> Result<Findings, ProviderError> {
        self.vms.evidence(vm_id).await
    }

    async fn list(&self) -> Result<Vec<VmId>, ProviderError> {
        if self.refuses(Refusal::List) { Err(refused("nothing is listed")) } else { self.vms.list().await }
    }

    async fn spec(&self, vm_id: VmId) -> Option<VmSpec> {
        self.vms.spec(vm_id).await
    }

    fn identity(&self, _: VmId) -> Option<Identity> {
        process::identity(std::process::id())
    }

    async fn exited(&self, vm_id: VmId) -> Exit {
        self.vms.exited(vm_id).await
    }

    async fn counters(&self, vm_id: VmId) -> Option<Counters> {
        self.vms.counters(vm_id).await
    }

    async fn rotate(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.vms.rotate(vm_id).await
    }
}
