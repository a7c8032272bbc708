//! Why a deed did not succeed.

use std::path::PathBuf;

use nkudo_domain::VmId;

/// Why a provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("{program} was not found; install it ({remedy})")]
    HypervisorMissing { program: String, remedy: &'static str },
    #[error("kernel {} cannot be read", path.display())]
    KernelUnreadable { path: PathBuf, source: std::io::Error },
    #[error("kernel {} is neither an ELF image with a PVH entry nor a Linux bzImage", path.display())]
    NotAKernel { path: PathBuf },
    #[error("{what} {} cannot be read", path.display())]
    FileUnreadable { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("vm {vm_id} still has a process; nothing is started over it")]
    StillAlive { vm_id: VmId },
    #[error("the hypervisor of vm {vm_id} ended at once: {detail}")]
    EndedAtOnce { vm_id: VmId, detail: String },
    #[error("the hypervisor of vm {vm_id} did not answer {command} within {deadline_ms} ms")]
    Silent { vm_id: VmId, command: &'static str, deadline_ms: u64 },
    #[error("the hypervisor of vm {vm_id} answered {command} with something that is not QMP: {detail}")]
    Garbage { vm_id: VmId, command: &'static str, detail: String },
    #[error("the hypervisor of vm {vm_id} refused {command}: {detail}")]
    Refused { vm_id: VmId, command: &'static str, detail: String },
    #[error("the hypervisor of vm {vm_id} ended during {command}")]
    EndedDuring { vm_id: VmId, command: &'static str },
    #[error("vm {vm_id} has no process")]
    NotRunning { vm_id: VmId },
    #[error("{} is in the way and is left as it is: it was not made for a vm; move it away and ask again", path.display())]
    InTheWay { path: PathBuf },
    #[error("{operation} {}", path.display())]
    File { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{detail}")]
    Simulated { detail: String, transient: bool },
}

impl ProviderError {
    /// Whether the same deed may succeed a little later with nothing changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Simulated { transient, .. } => *transient,
            Self::File { source, .. } | Self::FileUnreadable { source, .. } => {
                matches!(source.raw_os_error(), Some(11 | 12 | 23 | 24))
            }
            Self::HypervisorMissing { .. }
            | Self::KernelUnreadable { .. }
            | Self::NotAKernel { .. }
            | Self::StillAlive { .. }
            | Self::EndedAtOnce { .. }
            | Self::Garbage { .. }
            | Self::Refused { .. }
            | Self::EndedDuring { .. }
            | Self::NotRunning { .. }
            | Self::InTheWay { .. } => false,
        }
    }
}
