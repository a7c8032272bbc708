//! VMs: how many there are, what they are configured to have, and what they use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nkudo_domain::{VmId, VmName, VmState};
use nkudo_metrics_core::{Counter, Desc, Family, FloatCounter, Gauge, Registry, label_set};

const BY_VM: &[&str] = &["vm_id", "vm_name"];

const VMS_TOTAL: Desc =
    Desc::gauge("nkudo_vms_total", "VMs of this host, by their state.").labels(&["state"]);
const CPU_CORES: Desc =
    Desc::gauge("nkudo_vm_cpu_cores", "Virtual CPUs that the VM is configured to have.").labels(BY_VM);
const MEMORY_BYTES: Desc =
    Desc::gauge("nkudo_vm_memory_bytes", "Memory that the VM is configured to have, in bytes.")
        .unit("bytes")
        .labels(BY_VM);
const RESTARTS_TOTAL: Desc =
    Desc::counter("nkudo_vm_restarts_total", "Times that the VM's restart policy has started it again.")
        .labels(BY_VM);
const REBOOTS_TOTAL: Desc =
    Desc::counter("nkudo_vm_reboots_total", "Times that the guest was reset while its process ran on.")
        .labels(BY_VM);
const CPU_SECONDS_TOTAL: Desc =
    Desc::counter("nkudo_vm_cpu_seconds_total", "CPU time that the VM's process used, in seconds.")
        .unit("seconds")
        .labels(BY_VM);
const CPU_THROTTLED_SECONDS_TOTAL: Desc = Desc::counter(
    "nkudo_vm_cpu_throttled_seconds_total",
    "Time that a limit of the process's control group kept its CPUs waiting, in seconds; no sample without a limit. \
     Others in the group count too.",
)
.unit("seconds")
.labels(BY_VM);
const CPU_THROTTLED_PERIODS_TOTAL: Desc = Desc::counter(
    "nkudo_vm_cpu_throttled_periods_total",
    "Periods in which the process's control group used up its CPU time early; no sample without a limit. Others in the \
     group count too.",
)
.labels(BY_VM);
const RESIDENT_MEMORY_BYTES: Desc = Desc::gauge(
    "nkudo_vm_resident_memory_bytes",
    "Memory of the VM's process that is in RAM, in bytes; no sample without a process.",
)
.unit("bytes")
.labels(BY_VM);
const BLOCK_READ_BYTES_TOTAL: Desc =
    Desc::counter("nkudo_vm_block_read_bytes_total", "Bytes that the guest read from its disks.")
        .unit("bytes")
        .labels(BY_VM);
const BLOCK_WRITE_BYTES_TOTAL: Desc =
    Desc::counter("nkudo_vm_block_write_bytes_total", "Bytes that the guest wrote to its disks.")
        .unit("bytes")
        .labels(BY_VM);
const BLOCK_READ_OPERATIONS_TOTAL: Desc =
    Desc::counter("nkudo_vm_block_read_operations_total", "Reads of the guest from its disks.").labels(BY_VM);
const BLOCK_WRITE_OPERATIONS_TOTAL: Desc =
    Desc::counter("nkudo_vm_block_write_operations_total", "Writes of the guest to its disks.").labels(BY_VM);

pub(crate) fn descs() -> Vec<Desc> {
    vec![
        VMS_TOTAL,
        CPU_CORES,
        MEMORY_BYTES,
        RESTARTS_TOTAL,
        REBOOTS_TOTAL,
        CPU_SECONDS_TOTAL,
        CPU_THROTTLED_SECONDS_TOTAL,
        CPU_THROTTLED_PERIODS_TOTAL,
        RESIDENT_MEMORY_BYTES,
        BLOCK_READ_BYTES_TOTAL,
        BLOCK_WRITE_BYTES_TOTAL,
        BLOCK_READ_OPERATIONS_TOTAL,
        BLOCK_WRITE_OPERATIONS_TOTAL,
    ]
}

/// What a VM has used since its process started. Totals start over with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmReading {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub block_read_bytes: u64,
    pub block_write_bytes: u64,
    pub block_read_operations: u64,
    pub block_write_operations: u64,
    /// Resets of the guest that its process survived.
    pub reboots: u64,
    /// None where nothing limits its CPU time.
    pub throttled: Option<VmThrottled>,
}

/// How much a limit on its CPU time held a VM back, since its control group was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmThrottled {
    pub periods: u64,
    pub time: Duration,
}

label_set! {
    struct ByState { state: &'static str }
}

label_set! {
    struct ByVm { vm_id: String, vm_name: String }
}

impl ByVm {
    fn new(vm_id: VmId, vm_name: &VmName) -> Self {
        Self { vm_id: vm_id.to_string(), vm_name: vm_name.as_str().to_owned() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Vms {
    by_state: Family<ByState, Gauge>,
    families: Families,
    /// The VMs that are shown. Held while series of a VM are made or removed, so that a reading that was taken
    /// before a VM was deleted cannot bring its series back after it.
    shown: Arc<Mutex<HashMap<ByVm, Cells>>>,
}

#[derive(Debug, Clone)]
struct Families {
    cpu_cores: Family<ByVm, Gauge>,
    memory_bytes: Family<ByVm, Gauge>,
    restarts: Family<ByVm, Counter>,
    reboots: Family<ByVm, Counter>,
    cpu_seconds: Family<ByVm, FloatCounter>,
    cpu_throttled_seconds: Family<ByVm, FloatCounter>,
    cpu_throttled_periods: Family<ByVm, Counter>,
    resident_bytes: Family<ByVm, Gauge>,
    block_read_bytes: Family<ByVm, Counter>,
    block_write_bytes: Family<ByVm, Counter>,
    block_read_operations: Family<ByVm, Counter>,
    block_write_operations: Family<ByVm, Counter>,
}

/// The cells of one VM; what needs a reading is made by the first.
#[derive(Debug, Clone)]
struct Cells {
    cpu_cores: Gauge,
    memory_bytes: Gauge,
    restarts: Counter,
    used: Option<Used>,
}

#[derive(Debug, Clone)]
struct Used {
    reboots: Counter,
    cpu_seconds: FloatCounter,
    block_read_bytes: Counter,
    block_write_bytes: Counter,
    block_read_operations: Counter,
    block_write_operations: Counter,
}

impl Vms {
    pub(crate) fn register(registry: &Registry) -> Self {
        let by_state = registry.gauge_family(&VMS_TOTAL);
        for state in VmState::ALL.map(VmState::as_str) {
            by_state.get(&ByState { state });
        }
        let families = Families {
            cpu_cores: registry.gauge_family(&CPU_CORES),
            memory_bytes: registry.gauge_family(&MEMORY_BYTES),
            restarts: registry.counter_family(&RESTARTS_TOTAL),
            reboots: registry.counter_family(&REBOOTS_TOTAL),
            cpu_seconds: registry.float_counter_family(&CPU_SECONDS_TOTAL),
            cpu_throttled_seconds: registry.float_counter_family(&CPU_THROTTLED_SECONDS_TOTAL),
            cpu_throttled_periods: registry.counter_family(&CPU_THROTTLED_PERIODS_TOTAL),
            resident_bytes: registry.gauge_family(&RESIDENT_MEMORY_BYTES),
            block_read_bytes: registry.counter_family(&BLOCK_READ_BYTES_TOTAL),
            block_write_bytes: registry.counter_family(&BLOCK_WRITE_BYTES_TOTAL),
            block_read_operations: registry.counter_family(&BLOCK_READ_OPERATIONS_TOTAL),
            block_write_operations: registry.counter_family(&BLOCK_WRITE_OPERATIONS_TOTAL),
        };
        Self { by_state, families, shown: Arc::default() }
    }

    pub(crate) fn count(&self, state: VmState, count: u64) {
        self.by_state.get(&ByState { state: state.as_str() }).set(count as f64);
    }

    pub(crate) fn configured(&self, vm_id: VmId, vm_name: &VmName, vcpus: u32, memory_bytes: u64) {
        let by = ByVm::new(vm_id, vm_name);
        let mut shown = self.shown();
        let cells = shown.entry(by).or_insert_with_key(|by| self.families.configured(by));
        cells.cpu_cores.set(f64::from(vcpus));
        cells.memory_bytes.set(memory_bytes as f64);
    }

    pub(crate) fn restarts(&self, vm_id: VmId, vm_name: &VmName, restarts: u64) {
        if let Some(cells) = self.shown().get(&ByVm::new(vm_id, vm_name)) {
            cells.restarts.follow(restarts);
        }
    }

    pub(crate) fn counters(&self, vm_id: VmId, vm_name: &VmName, reading: &VmReading) {
        let by = ByVm::new(vm_id, vm_name);
        if let Some(cells) = self.shown().get_mut(&by) {
            cells.used.get_or_insert_with(|| self.families.used(&by)).follow(reading);
            self.families.resident_bytes.get(&by).set(reading.resident_bytes as f64);
            self.families.throttled(&by, reading.throttled);
        }
    }

    pub(crate) fn process_ended(&self, vm_id: VmId, vm_name: &VmName) {
        let _shown = self.shown();
        self.families.resident_bytes.remove(&ByVm::new(vm_id, vm_name));
    }

    pub(crate) fn forget(&self, vm_id: VmId, vm_name: &VmName) {
        let by = ByVm::new(vm_id, vm_name);
        let mut shown = self.shown();
        shown.remove(&by);
        self.families.remove(&by);
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<ByVm, Cells>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Families {
    fn configured(&self, by: &ByVm) -> Cells {
        Cells {
            cpu_cores: self.cpu_cores.get(by),
            memory_bytes: self.memory_bytes.get(by),
            restarts: self.restarts.get(by),
            used: None,
        }
    }

    fn used(&self, by: &ByVm) -> Used {
        Used {
            reboots: self.reboots.get(by),
            cpu_seconds: self.cpu_seconds.get(by),
            block_read_bytes: self.block_read_bytes.get(by),
            block_write_bytes: self.block_write_bytes.get(by),
            block_read_operations: self.block_read_operations.get(by),
            block_write_operations: self.block_write_operations.get(by),
        }
    }

    /// A limit may come and go while the process runs.
    fn throttled(&self, by: &ByVm, throttled: Option<VmThrottled>) {
        let Some(VmThrottled { periods, time }) = throttled else {
            self.cpu_throttled_seconds.remove(by);
            self.cpu_throttled_periods.remove(by);
            return;
        };
        self.cpu_throttled_seconds.get(by).follow(time.as_secs_f64());
        self.cpu_throttled_periods.get(by).follow(periods);
    }

    fn remove(&self, by: &ByVm) {
        // In full, so that a family that is added cannot be forgotten here.
        let Self {
            cpu_cores,
            memory_bytes,
            restarts,
            reboots,
            cpu_seconds,
            cpu_throttled_seconds,
            cpu_throttled_periods,
            resident_bytes,
            block_read_bytes,
            block_write_bytes,
            block_read_operations,
            block_write_operations,
        } = self;
        let counters = [
            restarts,
            reboots,
            cpu_throttled_periods,
            block_read_bytes,
            block_write_bytes,
            block_read_operations,
            block_write_operations,
        ];
        for gauge in [cpu_cores, memory_bytes, resident_bytes] {
            gauge.remove(by);
        }
        for counter in counters {
            counter.remove(by);
        }
        for counter in [cpu_seconds, cpu_throttled_seconds] {
            counter.remove(by);
        }
    }
}

impl Used {
    fn follow(&self, reading: &VmReading) {
        self.reboots.follow(reading.reboots);
        self.cpu_seconds.follow(reading.cpu.as_secs_f64());
        self.block_read_bytes.follow(reading.block_read_bytes);
        self.block_write_bytes.follow(reading.block_write_bytes);
        self.block_read_operations.follow(reading.block_read_operations);
        self.block_write_operations.follow(reading.block_write_operations);
    }
}
