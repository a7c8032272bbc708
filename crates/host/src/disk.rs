//! Space on file systems.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

/// The space of one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    pub total_bytes: u64,
    /// What a process without privileges can still write.
    pub available_bytes: u64,
    /// Less than `total_bytes - available_bytes` where some is kept for root.
    pub used_bytes: u64,
}

/// The space of the file system that holds `path`.
///
/// # Errors
/// When there is no such path.
pub fn space(path: &Path) -> io::Result<Space> {
    let system = statvfs(path)?;
    Ok(Space {
        total_bytes: system.f_blocks.saturating_mul(system.f_frsize),
        available_bytes: system.f_bavail.saturating_mul(system.f_frsize),
        used_bytes: system.f_blocks.saturating_sub(system.f_bfree).saturating_mul(system.f_frsize),
    })
}
