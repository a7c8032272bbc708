//! QEMU passes the suite, and a provider that lies does not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nkudo_domain::{Exit, Machine, Observation, ProviderKind, VmId, VmSpec};
use nkudo_host::pidfd::Signal;
use nkudo_host::process::Identity;
use nkudo_providers::conformance::{Finding, Fixture, run};
use nkudo_providers::qemu::Qemu;
use nkudo_providers::{Counters, Findings, Probe, Provider, ProviderError};

use crate::world::{World, press_power_button, signal};

async fn findings(world: &World, provider: &dyn Provider, machine: Machine) -> Vec<Finding> {
    let obeys_button = machine == Machine::Q35;
    let power_off = |vm_id| press_power_button(&world.run_directory(vm_id));
    let fixture = Fixture {
        spec: &|| world.spec(machine, if obeys_button { "pm conformance" } else { "conformance" }),
        another: &|| Arc::new(world.qemu()),
        leftovers: &|vm_id| world.leftovers(vm_id),
        signs_of_life: Some(&|vm_id| {
            world.console(vm_id).matches("TICK").count().try_into().expect("a count fits 64 bits")
        }),
        kill: Some(&|vm_id| signal(vm_id, Signal::Kill)),
        guest_power_off: if obeys_button { Some(&power_off) } else { None },
    };
    run(provider, &fixture).await
}

#[tokio::test(flavor = "multi_thread")]
async fn q35_conforms() {
    let world = World::new();
    assert_eq!(findings(&world, &world.qemu(), Machine::Q35).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn microvm_conforms() {
    let world = World::new();
    assert_eq!(findings(&world, &world.qemu(), Machine::Microvm).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_pausing_is_found() {
    let world = World::new();
    let liar = Liar { honest: world.qemu(), says_paused: Default::default() };
    let findings = findings(&world, &liar, Machine::Microvm).await;
    let expected = Finding { check: "a whole life", detail: "a paused guest gives signs of life".to_owned() };
    assert!(findings.contains(&expected), "{findings:?}");
}

/// Answers well to a pause without doing it, and says that it is paused.
#[derive(Debug)]
struct Liar {
    honest: Qemu,
    says_paused: std::sync::Mutex<std::collections::HashSet<VmId>>,
}

#[async_trait]
impl Provider for Liar {
    fn kind(&self) -> ProviderKind {
        self.honest.kind()
    }
    async fn probe(&self) -> Result<Probe, ProviderError> {
        self.honest.probe().await
    }
    async fn create(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        self.honest.create(spec).await
    }
    async fn boot(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        self.honest.boot(spec).await
    }
    async fn power_off(&self, vm_id: VmId, grace: Duration) -> Result<(), ProviderError> {
        self.honest.power_off(vm_id, grace).await
    }
    async fn force_off(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.says_paused.lock().unwrap().remove(&vm_id);
        self.honest.force_off(vm_id).await
    }
    async fn pause(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.says_paused.lock().unwrap().insert(vm_id);
        Ok(())
    }
    async fn resume(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.says_paused.lock().unwrap().remove(&vm_id);
        self.honest.resume(vm_id).await
    }
    async fn delete(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.says_paused.lock().unwrap().remove(&vm_id);
        self.honest.delete(vm_id).await
    }
    async fn observe(&self, vm_id: VmId) -> Result<Observation, ProviderError> {
        let lie = self.says_paused.lock().unwrap().contains(&vm_id);
        if lie { Ok(Observation::Paused) } else { self.honest.observe(vm_id).await }
    }
    async fn evidence(&self, vm_id: VmId) -> Result<Findings, ProviderError> {
        self.honest.evidence(vm_id).await
    }
    async fn list(&self) -> Result<Vec<VmId>, ProviderError> {
        self.honest.list().await
    }
    async fn spec(&self, vm_id: VmId) -> Option<VmSpec> {
        self.honest.spec(vm_id).await
    }
    fn identity(&self, vm_id: VmId) -> Option<Identity> {
        self.honest.identity(vm_id)
    }
    async fn exited(&self, vm_id: VmId) -> Exit {
        self.honest.exited(vm_id).await
    }
    async fn counters(&self, vm_id: VmId) -> Option<Counters> {
        self.honest.counters(vm_id).await
    }
    async fn rotate(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.honest.rotate(vm_id).await
    }
}
