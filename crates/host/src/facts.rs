//! What a host is made of: what an inventory wants to know.

use std::fs;
use std::io;

use nix::sys::utsname::uname;
use serde::{Deserialize, Serialize};

use crate::net::{self, Interface};
use crate::{clock, cpu, memory};

/// The unit of `/sys/block/<name>/size`, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// The host. Text that the host does not tell is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    pub hostname: String,
    pub machine_id: String,
    /// The name and version of the distribution.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    pub cpu_model: String,
    /// Logical CPUs that are online.
    pub cores: u32,
    pub cpu_flags: Vec<String>,
    pub memory_bytes: u64,
    pub disks: Vec<Disk>,
    pub nics: Vec<Interface>,
    pub boot_id: String,
}

/// One block device that is not made of a file or of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    pub name: String,
    pub size_bytes: u64,
}

/// The facts now.
///
/// # Errors
/// When procfs cannot be read.
pub fn read() -> io::Result<HostFacts> {
    let system = uname()?;
    let cpu = cpu::info()?;
    Ok(HostFacts {
        hostname: system.nodename().to_string_lossy().into_owned(),
        machine_id: fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned(),
        os: distribution(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        kernel: system.release().to_string_lossy().into_owned(),
        cpu_model: cpu.model,
        cores: cpu.cores,
        cpu_flags: cpu.flags,
        memory_bytes: memory::read()?.total_bytes,
        disks: disks(),
        nics: net::interfaces(),
        boot_id: clock::boot_id()?,
    })
}

/// `PRETTY_NAME` of os-release(5).
fn distribution(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

fn disks() -> Vec<Disk> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    let mut disks: Vec<_> = entries.flatten().filter_map(|entry| disk(entry.file_name().to_str()?)).collect();
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    disks
}

fn disk(name: &str) -> Option<Disk> {
    if ["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind)) {
        return None;
    }
    let sectors: u64 = fs::read_to_string(format!("/sys/block/{name}/size")).ok()?.trim_end().parse().ok()?;
    Some(Disk { name: name.to_owned(), size_bytes: sectors.saturating_mul(SECTOR_BYTES) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distribution_is_the_pretty_name() {
        let check = |text: &str, expected: &str| assert_eq!(distribution(text), expected, "{text}");
        check(
            "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
            "Debian GNU/Linux 12 (bookworm)",
        );
        check("PRETTY_NAME='Alpine'\n", "Alpine");
        check("PRETTY_NAME=Plain\nNAME=x\n", "Plain");
        check("", "");
    }
}
