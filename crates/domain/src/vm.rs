//! A microVM: what was asked for ([`VmSpec`]) and the state it is in ([`VmState`]).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{VmId, VmName};

/// Most virtual CPUs of one VM.
pub const VCPUS_MAX: u32 = 255;
/// Least memory of one VM, in bytes (1 MiB).
pub const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// Longest kernel command line, in bytes (what x86 Linux takes).
const CMDLINE_MAX_BYTES: usize = 2048;
/// Longest path, in bytes (Linux's PATH_MAX, without the NUL).
pub const PATH_MAX_BYTES: usize = 4095;
/// Most disks of one VM.
const DISKS_MAX: usize = 16;
/// Most labels of one VM.
const LABELS_MAX: usize = 32;
/// Longest label key or value, in bytes.
const LABEL_MAX_BYTES: usize = 256;

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The word users see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = InvalidSpec;

            fn from_str(text: &str) -> Result<Self, InvalidSpec> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(InvalidSpec::Word { what: $what, allowed: &[$($text),+] }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use closed_set;

/// Why a specification is refused. The sentence names the rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpec {
    #[error("{what} is one of: {}", allowed.join(", "))]
    Word { what: &'static str, allowed: &'static [&'static str] },
    #[error("a VM has 1 to {VCPUS_MAX} vcpus")]
    Vcpus,
    #[error("a VM has at least {MEMORY_BYTES_MIN} bytes of memory")]
    Memory,
    #[error("a path is absolute, has at most {PATH_MAX_BYTES} bytes and no NUL character")]
    Path,
    #[error("a path cannot contain a comma")]
    PathComma,
    #[error("a command line has at most {CMDLINE_MAX_BYTES} bytes and no NUL character")]
    Cmdline,
    #[error("a VM has at most {DISKS_MAX} disks")]
    Disks,
    #[error("networks are not available in this version")]
    Networks,
    #[error("a VM has at most {LABELS_MAX} labels, their keys and values at most {LABEL_MAX_BYTES} bytes")]
    Labels,
}

closed_set!(
    /// The state of a microVM. A VM being stopped is running until it is not.
    VmState, "a VM's state" {
        Creating = "creating",
        Running = "running",
        Paused = "paused",
        Stopped = "stopped",
        Failed = "failed",
        /// Its process is there but does not say how it is.
        Unknown = "unknown",
    }
);

closed_set!(
    /// What runs a microVM.
    ProviderKind, "a provider" {
        CloudHypervisor = "cloud-hypervisor",
        Qemu = "qemu",
        /// No hypervisor: for load and faults.
        Simulated = "simulated",
    }
);

closed_set!(
    /// QEMU's machine type.
    Machine, "a machine" { Q35 = "q35", Microvm = "microvm" }
);

closed_set!(
    /// What happens to a VM whose process ended without being asked to.
    RestartPolicy, "a restart policy" { No = "no", OnFailure = "on-failure", Always = "always" }
);

closed_set!(
    /// Where a guest's serial console goes.
    Console, "a console" { Log = "log", Off = "off" }
);

closed_set!(
    /// The format of a disk image.
    DiskFormat, "a disk format" { Raw = "raw", Qcow2 = "qcow2" }
);

/// A disk image on the host, given to the guest as a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    pub path: PathBuf,
    pub readonly: bool,
    pub format: DiskFormat,
}

/// A network interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    pub bridge: String,
    pub mac: Option<String>,
}

/// What a microVM is asked to be. Two creates ask for the same when their specifications are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    pub vm_id: VmId,
    pub vm_name: VmName,
    /// 1 to [`VCPUS_MAX`].
    pub vcpus: u32,
    /// At least [`MEMORY_BYTES_MIN`].
    pub memory_bytes: u64,
    /// Absolute path of the kernel image on the host.
    pub kernel: PathBuf,
    /// Absolute path of the initial RAM disk.
    pub initramfs: Option<PathBuf>,
    pub cmdline: String,
    pub disks: Vec<Disk>,
    pub nics: Vec<Nic>,
    pub console: Console,
    /// None: the host chooses among what it has.
    pub provider: Option<ProviderKind>,
    pub machine: Machine,
    pub restart_policy: RestartPolicy,
    pub labels: BTreeMap<String, String>,
}

/// Whether a VM may have these labels.
pub fn labels_fit(labels: &BTreeMap<String, String>) -> bool {
    labels.len() <= LABELS_MAX && labels.iter().all(|(k, v)| k.len().max(v.len()) <= LABEL_MAX_BYTES)
}

impl VmSpec {
    /// Every rule that does not hold, with the path of its field in the action's `params`.
    pub fn violations(&self) -> Vec<(String, InvalidSpec)> {
        let mut found = Vec::new();
        let mut require = |holds: bool, field: &str, error: InvalidSpec| {
            if !holds {
                found.push((field.to_owned(), error));
            }
        };
        require((1..=VCPUS_MAX).contains(&self.vcpus), "vcpus", InvalidSpec::Vcpus);
        require(self.memory_bytes >= MEMORY_BYTES_MIN, "memory_bytes", InvalidSpec::Memory);
        require(is_plain_path(&self.kernel), "kernel", InvalidSpec::Path);
        require(self.initramfs.as_deref().is_none_or(is_plain_path), "initramfs", InvalidSpec::Path);
        let cmdline_fits = self.cmdline.len() <= CMDLINE_MAX_BYTES && !self.cmdline.contains('\0');
        require(cmdline_fits, "cmdline", InvalidSpec::Cmdline);
        require(self.disks.len() <= DISKS_MAX, "disks", InvalidSpec::Disks);
        for (index, disk) in self.disks.iter().enumerate() {
            let field = format!("disks[{index}].path");
            require(is_plain_path(&disk.path), &field, InvalidSpec::Path);
            // A comma ends the value of an option on a hypervisor's command line.
            require(
                !disk.path.as_os_str().as_encoded_bytes().contains(&b','),
                &field,
                InvalidSpec::PathComma,
            );
        }
        require(self.nics.is_empty(), "nics", InvalidSpec::Networks);
        require(labels_fit(&self.labels), "labels", InvalidSpec::Labels);
        found
    }
}

fn is_plain_path(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    path.is_absolute() && bytes.len() <= PATH_MAX_BYTES && !bytes.contains(&0)
}
