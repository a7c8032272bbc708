//! The handles that the agent's parts write to.

use std::path::Path;
use std::time::Duration;

use nkudo_domain::{ActionType, ProviderKind, VmId, VmName, VmState};
use nkudo_metrics_core::{Desc, Registry};

use crate::actions::{self, Actions};
use crate::certificate::{self, Certificate};
use crate::health::{self, Health};
use crate::heartbeats::{self, Heartbeats};
use crate::history::{self, HistoryMetrics};
use crate::host::{self, Host};
use crate::journal::{self, JournalMetrics};
use crate::outages::{self, OutageMetrics};
use crate::providers::{self, Providers};
use crate::vms::{self, VmReading, Vms};

/// The agent's own metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentMetrics {
    pub journal: JournalMetrics,
    pub history: HistoryMetrics,
    pub outages: OutageMetrics,
    actions: Actions,
    certificate: Certificate,
    health: Health,
    heartbeats: Heartbeats,
    host: Host,
    providers: Providers,
    vms: Vms,
}

/// What [`AgentMetrics::register`] registers.
pub(crate) fn descs() -> Vec<Desc> {
    [
        actions::descs(),
        certificate::descs(),
        health::descs(),
        heartbeats::descs(),
        history::descs(),
        host::descs(),
        journal::descs(),
        outages::descs(),
        providers::descs(),
        vms::descs(),
    ]
    .concat()
}

impl AgentMetrics {
    /// Registers all of them. States, and pairs of action type and status, are there from now on, at zero.
    ///
    /// # Panics
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Self {
        Self {
            journal: JournalMetrics::register(registry),
            history: HistoryMetrics::register(registry),
            outages: OutageMetrics::register(registry),
            actions: Actions::register(registry),
            certificate: Certificate::register(registry),
            health: Health::register(registry),
            heartbeats: Heartbeats::register(registry),
            host: Host::register(registry),
            providers: Providers::register(registry),
            vms: Vms::register(registry),
        }
    }
}

/// Actions.
impl AgentMetrics {
    /// An execution ended with `success` or `failure`.
    pub fn action_executed(&self, action_type: ActionType, status: &'static str) {
        self.actions.executed(action_type, status);
    }

    /// An action ended without starting: `cancelled`, `expired` or `timed_out`.
    pub fn action_ended(&self, action_type: ActionType, status: &'static str) {
        self.actions.ended(action_type, status);
    }

    /// How long an execution took.
    pub fn action_duration(&self, action_type: ActionType, duration_ms: u64) {
        self.actions.duration(action_type, Duration::from_millis(duration_ms));
    }

    /// How often an execution was tried again.
    pub fn action_retries(&self, action_type: ActionType, retries: u32) {
        self.actions.retries(action_type, retries);
    }
}

/// VMs. What is measured of one that is not shown is dropped, so that a late reading brings no deleted VM back.
impl AgentMetrics {
    /// How many VMs are in a state.
    pub fn vms(&self, state: VmState, count: u64) {
        self.vms.count(state, count);
    }

    /// Shows a VM with its configured size.
    pub fn vm_configured(&self, vm_id: VmId, vm_name: &VmName, vcpus: u32, memory_bytes: u64) {
        self.vms.configured(vm_id, vm_name, vcpus, memory_bytes);
    }

    /// How often a VM's policy has started it again.
    pub fn vm_restarts(&self, vm_id: VmId, vm_name: &VmName, restarts: u64) {
        self.vms.restarts(vm_id, vm_name, restarts);
    }

    /// What a VM's process has used.
    pub fn vm_counters(&self, vm_id: VmId, vm_name: &VmName, reading: &VmReading) {
        self.vms.counters(vm_id, vm_name, reading);
    }

    /// A VM's process ended: there is no memory to show.
    pub fn vm_process_ended(&self, vm_id: VmId, vm_name: &VmName) {
        self.vms.process_ended(vm_id, vm_name);
    }

    /// Removes every series of a VM.
    pub fn forget_vm(&self, vm_id: VmId, vm_name: &VmName) {
        self.vms.forget(vm_id, vm_name);
    }
}

/// The host, the agent and what it talks to.
impl AgentMetrics {
    /// 0 to 100, of the whole host.
    pub fn host_cpu_usage_percent(&self, percent: f64) {
        self.host.cpu_usage_percent(percent);
    }

    pub fn host_memory_usage_bytes(&self, bytes: u64) {
        self.host.memory_usage_bytes(bytes);
    }

    /// What a kind of the agent's state takes on the disk.
    pub fn state_bytes(&self, kind: &'static str, bytes: u64) {
        self.host.state_bytes(kind, bytes);
    }

    /// The file system that holds `path`.
    pub fn disk(&self, path: &Path, used_bytes: u64, total_bytes: u64) {
        self.host.disk(path, used_bytes, total_bytes);
    }

    /// The agent's health: `healthy`, `degraded` or `unhealthy`.
    pub fn health(&self, health: &str) {
        self.health.set(health);
    }

    /// When the certificate expires, in seconds since the Unix epoch; none while there is none.
    pub fn certificate_expiry(&self, unix_seconds: Option<i64>) {
        self.certificate.expiry(unix_seconds);
    }

    /// So many results are never told because the host was enrolled anew.
    pub fn results_given_up(&self, count: u64) {
        self.heartbeats.results_given_up(count);
    }

    /// A message of the control plane was passed over.
    pub fn message_not_understood(&self) {
        self.heartbeats.message_not_understood();
    }

    /// A heartbeat was attempted, took so long, and was answered or not.
    pub fn heartbeat(&self, duration: Duration, answered: bool) {
        self.heartbeats.sent(duration, answered);
    }

    /// A provider was called for `operation` (a word of the program, never of a user) and answered or failed.
    pub fn provider_call(
        &self,
        provider: ProviderKind,
        operation: &'static str,
        duration: Duration,
        succeeded: bool,
    ) {
        self.providers.called(provider, operation, duration, succeeded);
    }
}
