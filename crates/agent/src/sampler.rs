//! Measures the host and the VMs every few seconds, and keeps what VMs write on the host within its bounds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::{AgentMetrics, VmReading, VmThrottled};
use nkudo_domain::{ProviderKind, VmId, VmName};
use nkudo_executor::{Handle, Providers};
use nkudo_host::{cpu, disk, memory};
use nkudo_providers::Provider;
use nkudo_supervision::{Context, Health, Supervisor};
use nkudo_tracker::Tracker;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::Settings;
use crate::offline::FREE_BYTES_MIN;

/// How often it is looked how much disk the state takes.
const TREES_EVERY: Duration = Duration::from_secs(60);
/// The kinds of state by where they lie in the state directory.
const STATE: [(&str, &str); 6] = [
    ("journal", "journal"),
    ("history", "samples"),
    ("identity", "identity"),
    ("outages", "outages"),
    ("vms", "vms"),
    ("all", ""),
];

pub(crate) struct Sampler {
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) executor: Handle,
    pub(crate) providers: Providers,
    pub(crate) supervisor: Supervisor,
    pub(crate) metrics: AgentMetrics,
}

/// A VM that has a process.
struct Alive {
    vm_id: VmId,
    vm_name: VmName,
    provider: ProviderKind,
}

impl Sampler {
    /// Samples until shutdown.
    pub(crate) async fn run(&self, context: &Context) {
        let mut before = cpu::read().ok();
        let mut trees_at = Instant::now();
        loop {
            // A sample that is dropped half-way, or a sleep, loses nothing.
            tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = self.sample(&mut before) => {}
            }
            if Instant::now() >= trees_at {
                trees_at = Instant::now() + TREES_EVERY;
                // A walk goes on by itself, whoever waits for it.
                tokio::select! {
                    () = context.shutdown.cancelled() => return,
                    () = self.state_sizes() => {}
                }
            }
            context.health.set(self.storage_health());
            context.health.progress();
            let interval = self.settings.borrow().sample_interval;
            tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn sample(&self, before: &mut Option<cpu::CpuTimes>) {
        self.metrics.health(self.supervisor.health().overall.as_str());
        self.host(before);
        self.vms().await;
    }

    fn host(&self, before: &mut Option<cpu::CpuTimes>) {
        if let Ok(now) = cpu::read() {
            if let Some(before) = before {
                self.metrics.host_cpu_usage_percent(cpu::usage_percent(before, &now));
            }
            *before = Some(now);
        }
        if let Ok(memory) = memory::read() {
            self.metrics.host_memory_usage_bytes(memory.used_bytes());
        }
        let settings = self.settings.borrow();
        for path in settings.disk_paths.iter().chain([&settings.state_dir]) {
            self.disk(path);
        }
    }

    /// How much disk each kind of state takes. Walking trees may take long on slow storage, so it is done apart.
    async fn state_sizes(&self) {
        let (state_dir, metrics) = (self.settings.borrow().state_dir.clone(), self.metrics.clone());
        let walk = move || {
            for (kind, name) in STATE {
                match disk::tree_bytes(&state_dir.join(name)) {
                    Ok(bytes) => metrics.state_bytes(kind, bytes),
                    Err(error) => {
                        tracing::debug!(kind, %error, "what the state takes on the disk is not known")
                    }
                }
            }
        };
        // One that panics is seen by what it leaves out.
        drop(tokio::task::spawn_blocking(walk).await);
    }

    /// Without room for records only deletes are taken.
    fn storage_health(&self) -> Health {
        let state_dir = self.settings.borrow().state_dir.clone();
        match disk::space(&state_dir) {
            // Without how many are free: each other number would be another reason, and be told anew.
            Ok(space) if space.available_bytes < FREE_BYTES_MIN => Health::Degraded(format!(
                "fewer than {FREE_BYTES_MIN} bytes are free on the disk of {}: only deletes are taken",
                state_dir.display()
            )),
            Ok(_) => Health::Healthy,
            Err(error) => {
                Health::Degraded(format!("the disk of {} is not known: {error}", state_dir.display()))
            }
        }
    }

    fn disk(&self, path: &Path) {
        match disk::space(path) {
            Ok(space) => self.metrics.disk(path, space.used_bytes, space.total_bytes),
            Err(error) => tracing::debug!(path = %path.display(), %error, "disk space is not known"),
        }
    }

    async fn vms(&self) {
        let look = |tracker: &Tracker| -> Vec<Alive> {
            let alive = tracker.vms().filter(|(_, vm)| vm.is_alive());
            alive
                .map(|(vm_id, vm)| Alive { vm_id, vm_name: vm.spec.vm_name.clone(), provider: vm.provider })
                .collect()
        };
        // While the executor restarts there is nothing to measure.
        let Ok(alive) = self.executor.look(look).await else { return };
        let mut tasks = JoinSet::new();
        for vm in alive {
            if let Some(provider) = self.providers.0.get(&vm.provider) {
                tasks.spawn(sample_vm(Arc::clone(provider), vm, self.metrics.clone()));
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn sample_vm(provider: Arc<dyn Provider>, vm: Alive, metrics: AgentMetrics) {
    if let Err(error) = provider.rotate(vm.vm_id).await {
        tracing::warn!(vm_id = %vm.vm_id, %error, "what a vm writes on the host could not be bounded");
    }
    if let Some(counters) = provider.counters(vm.vm_id).await {
        metrics.vm_counters(
            vm.vm_id,
            &vm.vm_name,
            &VmReading {
                cpu: counters.cpu,
                resident_bytes: counters.resident_bytes,
                block_read_bytes: counters.block_read_bytes,
                block_write_bytes: counters.block_write_bytes,
                block_read_operations: counters.block_read_operations,
                block_write_operations: counters.block_write_operations,
                reboots: counters.reboots,
                throttled: counters
                    .throttling
                    .map(|held| VmThrottled { periods: held.periods, time: held.time }),
            },
        );
    }
}
