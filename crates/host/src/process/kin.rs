//! Where a process comes from: its parent, its session and its environment.

use std::fs;
use std::time::Duration;

use super::Identity;
use super::stat::{Memory, Stat};
use crate::pidfd::PidFd;

/// A process among those that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kin {
    pub(crate) identity: Identity,
    /// Some thread of it runs. One whose main thread has ended looks like a zombie as long as others run.
    pub(crate) alive: bool,
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// CPU time of itself and of the children that it waited for, to the tick.
    pub(crate) cpu: Duration,
}

impl Kin {
    /// Of a process, be it a zombie; none when there is none of this pid.
    pub(crate) fn of(pid: u32) -> Option<Kin> {
        let stat = Stat::read(pid).ok().flatten()?;
        let nanos =
            u128::from(stat.cpu_ticks) * 1_000_000_000 / u128::from(procfs::ticks_per_second().max(1));
        Some(Kin {
            identity: Identity { pid, start_ticks: stat.start_ticks },
            alive: stat.alive || stat.threads > 1,
            parent: stat.parent,
            session: stat.session,
            cpu: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
        })
    }

    /// Bytes in RAM now, and the most that ever were since its last exec.
    pub(crate) fn memory(&self) -> Option<(u64, u64)> {
        let memory = Memory::read(self.identity.pid)?;
        Some((memory.resident_bytes, memory.peak_resident_bytes))
    }
}

/// A handle on a process, looked at again after opening; none when it is not alive any more.
pub(crate) fn handle(process: Identity) -> Option<PidFd> {
    let handle = PidFd::open_unchecked(process).ok()?;
    runs(process).then_some(handle)
}

/// Whether some thread of that very process runs.
pub(crate) fn runs(process: Identity) -> bool {
    Kin::of(process.pid).is_some_and(|kin| kin.alive && kin.identity == process)
}

/// Every process that we may see, zombies too.
pub(crate) fn every() -> Vec<Kin> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(Kin::of).collect()
}

/// What a variable was in the environment that the process was started with. None when it had no such variable, when it
/// wrote over it, when it has ended, and when it is not ours to look at.
pub(crate) fn environment_value(pid: u32, name: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
    bytes.split(|byte| *byte == 0).find_map(value)
}
