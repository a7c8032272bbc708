//! Processes: who they are, whether they live, and what they use.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::CurrentSI as _;
use serde::{Deserialize, Serialize};

use crate::clock;

mod kin;
mod places;
mod stat;

pub(crate) use kin::{Kin, environment_value, every, handle, runs};
pub use places::{Place, below, reads};
use stat::{Memory, Stat};

/// Which process: a pid is used again, the pair of pid and start time is not during one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// When the process was started, in clock ticks after the boot (field 22 of `/proc/<pid>/stat`).
    pub start_ticks: u64,
}

/// What a process has used so far, and holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads, in user and kernel mode, those that ended included.
    pub cpu: Duration,
    /// Memory of the process that is in RAM now.
    pub resident_bytes: u64,
    /// The most that ever was.
    pub peak_resident_bytes: u64,
}

/// What this process itself uses, in the units of the usual `process_*` metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessStats {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_fds: u64,
    pub max_fds: u64,
    pub threads: u64,
    pub start_time_unix_seconds: f64,
}

/// The identity of the process that has this pid now; none when there is no such process or it is a zombie.
pub fn identity(pid: u32) -> Option<Identity> {
    let stat = Stat::read(pid).ok().flatten()?;
    stat.alive.then_some(Identity { pid, start_ticks: stat.start_ticks })
}

/// The identity of a process even when it is a zombie, for a parent that has not reaped it yet.
pub(crate) fn identity_of_unreaped(pid: u32) -> Option<Identity> {
    let stat = Stat::read(pid).ok().flatten()?;
    Some(Identity { pid, start_ticks: stat.start_ticks })
}

/// Whether that very process is there and no zombie.
pub fn is_alive(process: Identity) -> bool {
    identity(process.pid) == Some(process)
}

/// The CPU time that the whole process has used, to the nanosecond; none when it is not alive.
pub fn cpu_time(process: Identity) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(process.pid).ok()?)).ok()?;
    let cpu = clock_gettime(clock).ok()?;
    // Asked after reading: who has pid and start time now also had them a moment ago.
    is_alive(process).then(|| Duration::from(cpu))
}

/// What the process uses; none when it is not alive. Two small reads and a clock, under 25 µs.
pub fn usage(process: Identity) -> Option<Usage> {
    let memory = Memory::read(process.pid)?;
    Some(Usage {
        cpu: cpu_time(process)?,
        resident_bytes: memory.resident_bytes,
        peak_resident_bytes: memory.peak_resident_bytes,
    })
}

/// How long ago a process was started, in milliseconds, with the time that the host was suspended.
pub fn age_ms(process: Identity) -> u64 {
    let started_ms = process.start_ticks.saturating_mul(1_000) / procfs::ticks_per_second().max(1);
    clock::boottime_ms().saturating_sub(started_ms)
}

/// The program and arguments of a process; none when it is gone, a zombie or a kernel thread.
pub fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if text.is_empty() {
        return None;
    }
    Some(text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// What this process uses.
///
/// # Errors
/// When procfs or the limit of descriptors cannot be read.
pub fn own_stats() -> io::Result<ProcessStats> {
    let stat = Stat::read(std::process::id())?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/<own pid>/stat cannot be understood")
    })?;
    // The listing itself holds one descriptor.
    let open_fds = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
    let (max_fds, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let cpu = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
    Ok(ProcessStats {
        cpu_seconds: cpu.as_secs_f64(),
        resident_bytes: stat.resident_pages * procfs::page_size(),
        virtual_bytes: stat.virtual_bytes,
        open_fds: u64::try_from(open_fds).unwrap_or(u64::MAX),
        max_fds,
        threads: stat.threads,
        start_time_unix_seconds: own_start_unix_seconds(stat.start_ticks)?,
    })
}

/// The processes whose working directory is this one, or was before it was removed.
pub fn working_in(directory: &Path) -> Vec<u32> {
    let mut removed = directory.as_os_str().to_owned();
    // How the kernel shows a directory that is gone (proc(5), /proc/pid/cwd).
    removed.push(" (deleted)");
    let works_there = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/cwd"))
            .is_ok_and(|cwd| cwd == directory || cwd.as_os_str() == removed)
    };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(works_there).collect()
}

/// The pids, other than our own, that have a descriptor open on this very file; empty when there is no such file.
/// It looks at every descriptor of every process that we may see: milliseconds, for rare questions.
pub fn holders(path: &Path) -> Vec<u32> {
    let Ok(wanted) = fs::metadata(path) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && holds(*pid, wanted.dev(), wanted.ino()))
        .collect()
}

fn holds(pid: u32, dev: u64, ino: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::metadata(descriptor.path()).ok())
        .any(|open| open.dev() == dev && open.ino() == ino)
}

/// Read once: the kernel's answer for the time of the boot moves when the wall clock is set.
fn own_start_unix_seconds(start_ticks: u64) -> io::Result<f64> {
    static START: OnceLock<f64> = OnceLock::new();
    if let Some(start) = START.get() {
        return Ok(*start);
    }
    let boot = procfs::KernelStats::current().map_err(io::Error::other)?.btime;
    let start = Duration::from_secs(boot).as_secs_f64()
        + Duration::from_secs(start_ticks).as_secs_f64()
            / Duration::from_secs(procfs::ticks_per_second()).as_secs_f64();
    Ok(*START.get_or_init(|| start))
}
