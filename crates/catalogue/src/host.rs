//! The host under the agent.

use std::path::Path;

use nkudo_metrics_core::{Desc, Family, Gauge, NoLabels, Registry, label_set};

const CPU_USAGE_PERCENT: Desc =
    Desc::gauge("nkudo_host_cpu_usage_percent", "CPU usage of the whole host, from 0 to 100.")
        .unit("percent");
const MEMORY_USAGE_BYTES: Desc = Desc::gauge(
    "nkudo_host_memory_usage_bytes",
    "Memory of the host that is not available to programs, in bytes.",
)
.unit("bytes");
const DISK_USAGE_BYTES: Desc =
    Desc::gauge("nkudo_disk_usage_bytes", "Used space of the file system that holds the path, in bytes.")
        .unit("bytes")
        .labels(&["path"]);
const DISK_TOTAL_BYTES: Desc =
    Desc::gauge("nkudo_disk_total_bytes", "Size of the file system that holds the path, in bytes.")
        .unit("bytes")
        .labels(&["path"]);

const STATE_BYTES: Desc = Desc::gauge(
    "nkudo_state_bytes",
    "Disk that the agent's state takes, in bytes, by kind: `journal`, `history`, `identity`, `outages`, `vms` (run directories and consoles), and `all` of the state directory.",
)
.unit("bytes")
.labels(&["kind"]);

pub(crate) fn descs() -> Vec<Desc> {
    vec![CPU_USAGE_PERCENT, MEMORY_USAGE_BYTES, DISK_USAGE_BYTES, DISK_TOTAL_BYTES, STATE_BYTES]
}

label_set! {
    struct ByPath { path: String }
}
label_set! {
    struct ByKind { kind: &'static str }
}

/// What has not been measured has no sample: absent is not zero.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    cpu_usage_percent: Family<NoLabels, Gauge>,
    memory_usage_bytes: Family<NoLabels, Gauge>,
    disk_usage_bytes: Family<ByPath, Gauge>,
    disk_total_bytes: Family<ByPath, Gauge>,
    state_bytes: Family<ByKind, Gauge>,
}

impl Host {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            cpu_usage_percent: registry.gauge_family(&CPU_USAGE_PERCENT),
            memory_usage_bytes: registry.gauge_family(&MEMORY_USAGE_BYTES),
            disk_usage_bytes: registry.gauge_family(&DISK_USAGE_BYTES),
            disk_total_bytes: registry.gauge_family(&DISK_TOTAL_BYTES),
            state_bytes: registry.gauge_family(&STATE_BYTES),
        }
    }

    pub(crate) fn cpu_usage_percent(&self, percent: f64) {
        self.cpu_usage_percent.get(&NoLabels).set(percent);
    }

    pub(crate) fn memory_usage_bytes(&self, bytes: u64) {
        self.memory_usage_bytes.get(&NoLabels).set(bytes as f64);
    }

    pub(crate) fn state_bytes(&self, kind: &'static str, bytes: u64) {
        self.state_bytes.get(&ByKind { kind }).set(bytes as f64);
    }

    pub(crate) fn disk(&self, path: &Path, used_bytes: u64, total_bytes: u64) {
        let by = ByPath { path: path.display().to_string() };
        self.disk_usage_bytes.get(&by).set(used_bytes as f64);
        self.disk_total_bytes.get(&by).set(total_bytes as f64);
    }
}
