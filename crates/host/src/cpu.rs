//! The processors of the host.

use std::io;

use procfs::{Current as _, CurrentSI as _};
use serde::{Deserialize, Serialize};

/// What all CPUs together did since the boot, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTimes {
    /// Idle, or idle while the disk worked.
    pub idle_ticks: u64,
    /// Everything else, time stolen by a hypervisor included.
    pub busy_ticks: u64,
}

/// What kind of processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuInfo {
    pub model: String,
    /// Logical CPUs that are online.
    pub cores: u32,
    /// Such as `vmx`; on Arm its features.
    pub flags: Vec<String>,
}

/// What the CPUs did so far.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn read() -> io::Result<CpuTimes> {
    let total = procfs::KernelStats::current().map_err(io::Error::other)?.total;
    // The time of guests is part of user and nice already.
    let extra = [total.irq, total.softirq, total.steal].into_iter().flatten().sum::<u64>();
    Ok(CpuTimes {
        idle_ticks: total.idle + total.iowait.unwrap_or(0),
        busy_ticks: total.user + total.nice + total.system + extra,
    })
}

/// How busy the CPUs were between two readings, 0 to 100; 0 when no time has passed.
pub fn usage_percent(before: &CpuTimes, after: &CpuTimes) -> f64 {
    // The kernel's idle count may step back a little.
    let busy = after.busy_ticks.saturating_sub(before.busy_ticks);
    let idle = after.idle_ticks.saturating_sub(before.idle_ticks);
    let (busy, all) = (to_f64(busy), to_f64(busy.saturating_add(idle)));
    if all > 0.0 { 100.0 * busy / all } else { 0.0 }
}

/// The kind of the processors.
///
/// # Errors
/// When `/proc/cpuinfo` cannot be read.
pub fn info() -> io::Result<CpuInfo> {
    let info = procfs::CpuInfo::current().map_err(io::Error::other)?;
    let flags = info.get_field(0, "flags").or_else(|| info.get_field(0, "Features")).unwrap_or_default();
    Ok(CpuInfo {
        model: info.model_name(0).unwrap_or("unknown").to_owned(),
        cores: u32::try_from(info.num_cores()).unwrap_or(u32::MAX),
        flags: flags.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// Exact for what fits 53 bits, which is what a difference of ticks does.
fn to_f64(ticks: u64) -> f64 {
    ticks as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_of_the_time_between() {
        let check = |before: (u64, u64), after: (u64, u64), expected: f64| {
            let times = |(busy_ticks, idle_ticks)| CpuTimes { idle_ticks, busy_ticks };
            assert_eq!(usage_percent(&times(before), &times(after)), expected, "{before:?} {after:?}");
        };
        check((100, 100), (150, 150), 50.0);
        check((0, 0), (0, 10), 0.0);
        check((0, 0), (10, 0), 100.0);
        check((7, 7), (7, 7), 0.0);
        check((10, 10), (20, 9), 100.0);
        check((10, 10), (9, 20), 0.0);
        check((0, 0), (u64::MAX, u64::MAX), 100.0);
    }
}
