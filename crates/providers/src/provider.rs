//! The one trait that every hypervisor is behind.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use nkudo_domain::{Exit, Observation, ProviderKind, VmId, VmSpec};
use nkudo_host::cgroup::Throttling;
use nkudo_host::process::Identity;

use crate::error::ProviderError;
use crate::evidence::Findings;

/// What a provider found out about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The hypervisor's version, as it says it.
    pub version: String,
    /// How guest code is executed: `kvm`, `tcg`, `simulated`.
    pub acceleration: String,
}

/// What a VM has used since its process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub peak_resident_bytes: u64,
    pub block_read_bytes: u64,
    pub block_write_bytes: u64,
    pub block_read_operations: u64,
    pub block_write_operations: u64,
    /// Resets of the guest that its process survived.
    pub reboots: u64,
    /// None where no control group limits the process's CPU time.
    pub throttling: Option<Throttling>,
}

/// Performs single deeds on microVMs and reports what is so.
///
/// Every deed may be dropped at any await and asked again: it starts from what it finds. A deed answers `Ok` only
/// when what it is to bring about holds.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    fn kind(&self) -> ProviderKind;

    /// Whether it can be used on this host, and with what.
    async fn probe(&self) -> Result<Probe, ProviderError>;

    /// Checks what it can of the specification and makes the VM's run directory. No process yet.
    async fn create(&self, spec: &VmSpec) -> Result<(), ProviderError>;

    /// Boots a VM that was created and has no process. `Ok` once its hypervisor says that it runs.
    async fn boot(&self, spec: &VmSpec) -> Result<(), ProviderError>;

    /// Asks the guest to power off; after `grace` ends its process. `Ok` once the process is gone.
    async fn power_off(&self, vm_id: VmId, grace: Duration) -> Result<(), ProviderError>;

    /// Ends the VM's process, if there is one, and forgets why it ended: the VM is stopped.
    async fn force_off(&self, vm_id: VmId) -> Result<(), ProviderError>;

    async fn pause(&self, vm_id: VmId) -> Result<(), ProviderError>;

    async fn resume(&self, vm_id: VmId) -> Result<(), ProviderError>;

    /// Removes every trace of the VM: process, sockets, run directory; not its disks. Absent is fine.
    async fn delete(&self, vm_id: VmId) -> Result<(), ProviderError>;

    /// What is so, from evidence. Never alters anything.
    async fn observe(&self, vm_id: VmId) -> Result<Observation, ProviderError>;

    /// What [`Provider::observe`] goes by, told in full. Alters nothing, not even what would help: for people who look, as
    /// it is slower.
    async fn evidence(&self, vm_id: VmId) -> Result<Findings, ProviderError>;

    /// The VMs of which there is anything on this host. Alters nothing.
    async fn list(&self) -> Result<Vec<VmId>, ProviderError>;

    /// The specification that the VM's run directory holds.
    async fn spec(&self, vm_id: VmId) -> Option<VmSpec>;

    /// The process that is the VM, while there is one.
    fn identity(&self, vm_id: VmId) -> Option<Identity>;

    /// Ends when the VM's process has ended, and says why. Cancel safe. At once when there is none.
    async fn exited(&self, vm_id: VmId) -> Exit;

    /// What the VM has used so far; none without a process. Cheap enough for every few seconds; never waits for
    /// the hypervisor longer than a named bound.
    async fn counters(&self, vm_id: VmId) -> Option<Counters>;

    /// Bounds what the VM writes on the host (console log, event log). Called every few seconds.
    async fn rotate(&self, vm_id: VmId) -> Result<(), ProviderError>;
}
