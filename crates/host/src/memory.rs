//! The memory of the host.

use std::io;

use procfs::{Current as _, Meminfo};
use serde::{Deserialize, Serialize};

/// RAM, without swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub total_bytes: u64,
    /// What programs can still take before the host swaps, by the kernel's own estimate.
    pub available_bytes: u64,
}

impl Memory {
    /// What is not available.
    pub fn used_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.available_bytes)
    }
}

/// The memory of the host now.
///
/// # Errors
/// When `/proc/meminfo` cannot be read.
pub fn read() -> io::Result<Memory> {
    let info = Meminfo::current().map_err(io::Error::other)?;
    let available_bytes = info.mem_available.unwrap_or(info.mem_free);
    Ok(Memory { total_bytes: info.mem_total, available_bytes })
}
