//! Measures what a VM's process used while a deed was done.

use std::time::Duration;

use nkudo_domain::{ResourceUsage, VmId};
use nkudo_host::process::{self, Usage};
use nkudo_providers::Provider;
use tokio::time::Instant;

/// Readings of one VM's process from the beginning of a deed to its end. The process may come or go meanwhile.
#[derive(Debug)]
pub(crate) struct Meter {
    vm_id: VmId,
    began: Instant,
    /// The processor time at the beginning, of the process that was there then.
    before: Option<(process::Identity, Duration)>,
    /// Processor time used since, of the last process that was seen.
    used: Duration,
    peak_bytes: u64,
}

impl Meter {
    pub(crate) fn begin(provider: &dyn Provider, vm_id: VmId) -> Self {
        let began = Instant::now();
        let mut meter = Self { vm_id, began, before: None, used: Duration::ZERO, peak_bytes: 0 };
        if let Some((identity, usage)) = meter.look(provider) {
            meter.before = Some((identity, usage.cpu));
            meter.peak_bytes = usage.resident_bytes;
        }
        meter
    }

    fn look(&self, provider: &dyn Provider) -> Option<(process::Identity, Usage)> {
        let identity = provider.identity(self.vm_id)?;
        process::usage(identity).map(|usage| (identity, usage))
    }

    /// Takes a reading. What ends between two readings is missed from the last one on.
    pub(crate) fn read(&mut self, provider: &dyn Provider) {
        let Some((identity, usage)) = self.look(provider) else { return };
        let at_start = match self.before {
            Some((before, cpu)) if before == identity => cpu,
            Some(_) | None => Duration::ZERO,
        };
        self.used = usage.cpu.saturating_sub(at_start);
        // A process that was there before had its peak before; one that came with the deed had it in the deed.
        let peak_bytes = if at_start.is_zero() { usage.peak_resident_bytes } else { usage.resident_bytes };
        self.peak_bytes = self.peak_bytes.max(peak_bytes);
    }

    pub(crate) fn end(mut self, provider: &dyn Provider) -> ResourceUsage {
        self.read(provider);
        let elapsed = self.began.elapsed().as_secs_f64();
        let cpu_percent = if elapsed > 0.0 { 100.0 * self.used.as_secs_f64() / elapsed } else { 0.0 };
        ResourceUsage { cpu_percent: (cpu_percent * 100.0).round() / 100.0, memory_bytes: self.peak_bytes }
    }
}
