//! What a VM has used, and the bounds of what it writes on the host.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use nkudo_domain::VmId;
use nkudo_host::cgroup;
use nkudo_host::file::rotate_copy_truncate;
use nkudo_host::process::{self, Identity};
use serde::Deserialize;
use serde_json::Value;

use super::events::Reboots;
use super::run_directory::{RunDirectory, failed};
use super::{Qemu, qmp};
use crate::error::ProviderError;
use crate::provider::Counters;

/// How long QEMU may take to tell what its disks did.
const BLOCKS_DEADLINE: Duration = Duration::from_millis(500);
/// How long QEMU's log may become before it is moved aside.
const LOG_MAX_BYTES: u64 = 1 << 20;

/// What was counted so far of one process.
#[derive(Debug)]
pub(super) struct Counted {
    identity: Identity,
    reboots: Reboots,
    /// As QEMU last told.
    blocks: Blocks,
}

/// What `query-blockstats` says of one disk.
#[derive(Debug, Deserialize)]
struct Device {
    stats: Blocks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) struct Blocks {
    rd_bytes: u64,
    wr_bytes: u64,
    rd_operations: u64,
    wr_operations: u64,
}

impl Qemu {
    pub(super) async fn count(&self, directory: &RunDirectory) -> Option<Counters> {
        let identity = self.look(directory).process?;
        let used = process::usage(identity)?;
        let throttling = cgroup::cpu_throttling(identity).unwrap_or_else(|error| {
            tracing::debug!(vm_id = %directory.vm_id, %error, "the process's control group cannot be read");
            None
        });
        let has_disks = directory.read_spec().is_some_and(|spec| !spec.disks.is_empty());
        let told = if has_disks { blocks(directory).await } else { None };
        let (blocks, reboots) = self.with_counted(directory, identity, |counted| {
            // What a busy QEMU does not tell has not become nothing.
            counted.blocks = told.unwrap_or(counted.blocks);
            if let Err(error) = counted.reboots.read_on(&directory.events_out()) {
                tracing::debug!(vm_id = %directory.vm_id, %error, "events cannot be read");
            }
            (counted.blocks, counted.reboots.count)
        });
        Some(Counters {
            cpu: used.cpu,
            resident_bytes: used.resident_bytes,
            peak_resident_bytes: used.peak_resident_bytes,
            block_read_bytes: blocks.rd_bytes,
            block_write_bytes: blocks.wr_bytes,
            block_read_operations: blocks.rd_operations,
            block_write_operations: blocks.wr_operations,
            reboots,
            throttling,
        })
    }

    pub(super) fn bound_logs(&self, directory: &RunDirectory) -> Result<(), ProviderError> {
        if !directory.exists() {
            return Ok(());
        }
        let bounds =
            [(directory.console_log(), self.config.console_max_bytes), (directory.vmm_log(), LOG_MAX_BYTES)];
        for (path, max_bytes) in bounds {
            rotate_copy_truncate(&path, &kept(&path), max_bytes)
                .map_err(|source| failed("cannot rotate", &path, source))?;
        }
        let Some(identity) = self.look(directory).process else { return Ok(()) };
        self.with_counted(directory, identity, |counted| counted.reboots.bound(directory))
            .map_err(|source| failed("cannot bound", &directory.events_out(), source))
    }

    pub(super) fn forget_counted(&self, vm_id: VmId) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(&vm_id);
    }

    fn with_counted<T>(
        &self,
        directory: &RunDirectory,
        identity: Identity,
        read: impl FnOnce(&mut Counted) -> T,
    ) -> T {
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let anew = || Counted { identity, reboots: Reboots::resume(directory), blocks: Blocks::default() };
        let counted = all.entry(directory.vm_id).or_insert_with(anew);
        if counted.identity != identity {
            *counted = anew();
        }
        read(counted)
    }
}

/// What all disks did together; none when QEMU is too busy to tell.
async fn blocks(directory: &RunDirectory) -> Option<Blocks> {
    sum(qmp::execute(&directory.qmp_socket(), &["query-blockstats"], BLOCKS_DEADLINE).await.ok()?)
}

fn sum(answer: Value) -> Option<Blocks> {
    let devices = serde_json::from_value::<Vec<Device>>(answer).ok()?;
    Some(devices.into_iter().fold(Blocks::default(), |sum, Device { stats }| Blocks {
        rd_bytes: sum.rd_bytes + stats.rd_bytes,
        wr_bytes: sum.wr_bytes + stats.wr_bytes,
        rd_operations: sum.rd_operations + stats.rd_operations,
        wr_operations: sum.wr_operations + stats.wr_operations,
    }))
}

fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_disks_are_added_up() {
        let stats = |n: u64| json!({"rd_bytes": n, "wr_bytes": n + 1, "rd_operations": n + 2, "wr_operations": n + 3});
        let device = |n| json!({"device": "disk0", "node-name": "#block1", "stats": stats(n)});
        let expected = Blocks { rd_bytes: 30, wr_bytes: 32, rd_operations: 34, wr_operations: 36 };
        assert_eq!(sum(json!([device(10), device(20)])), Some(expected));
        assert_eq!(sum(json!([])), Some(Blocks::default()));
        assert_eq!(sum(json!({"desc": "no list"})), None);
        assert_eq!(sum(json!([{"device": "disk0"}])), None);
    }
}
