//! What can run VMs on this host, by the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nkudo_domain::ProviderKind;
use nkudo_executor::Providers;
use nkudo_host::memory;
use nkudo_providers::Provider;
use nkudo_providers::qemu::{Qemu, QemuConfig};
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_tracker::Config;

use crate::config::Settings;

/// QEMU of these settings.
pub fn qemu(settings: &Settings) -> Qemu {
    Qemu::new(QemuConfig {
        program: settings.qemu_program.clone(),
        accel: settings.qemu_accel,
        ..QemuConfig::in_state_dir(&settings.state_dir)
    })
}

/// Every provider that requests may name. Whether a hypervisor is installed shows when it is used: it may come later.
pub fn providers(settings: &Settings) -> Providers {
    let mut providers: BTreeMap<ProviderKind, Arc<dyn Provider>> = BTreeMap::new();
    providers.insert(ProviderKind::Qemu, Arc::new(qemu(settings)));
    if settings.simulated {
        let file = simulated_file(&settings.state_dir);
        let simulated = Simulated::new(SimulatedConfig { file, memory_only: false });
        providers.insert(ProviderKind::Simulated, Arc::new(simulated));
    }
    Providers(providers)
}

/// Where simulated VMs are kept.
pub(crate) fn simulated_file(state_dir: &Path) -> PathBuf {
    state_dir.join("simulated.jsonl")
}

/// What the tracker is told of this host. The first provider is the one of a request that names none, and that is
/// never the simulated one.
pub fn tracker_config(settings: &Settings, providers: &Providers) -> Config {
    let mut kinds: Vec<ProviderKind> = providers.0.keys().copied().collect();
    kinds.sort_by_key(|kind| match kind {
        ProviderKind::CloudHypervisor => 0,
        ProviderKind::Qemu => 1,
        ProviderKind::Simulated => 2,
    });
    Config {
        parallel_max: settings.parallel_actions,
        // A host that does not tell its memory is not refused everything for it.
        memory_bytes: memory::read().map_or(u64::MAX, |memory| memory.total_bytes),
        providers: kinds,
        commands_allow: settings.commands_allow.clone(),
        ..Config::default()
    }
}
