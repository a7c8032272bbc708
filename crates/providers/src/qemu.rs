//! QEMU, machine types `q35` and `microvm`, steered over QMP.
//!
//! Everything about a VM is in its run directory `VMS_DIR/<vm_id>/`, which is also QEMU's working directory:
//!
//! | file | what |
//! |---|---|
//! | `spec.json` | what was asked for |
//! | `lock` | QEMU's standard input, locked by it: while the lock is held, the VM has a process |
//! | `vmm.json` | which process that is, how it was started, and since when; there while a start is remembered |
//! | `qmp.sock` | where commands go, one connection for each |
//! | `events.in`, `events.out` | a second monitor on a pipe and a plain file: QEMU itself keeps its events there, so that the reason of its end is known to whoever looks later |
//! | `events.counted` | how far the events were counted when `events.out` was last cut |
//! | `console.log`, `console.log.1` | the guest's serial console |
//! | `vmm.log`, `vmm.log.1` | QEMU's standard error |
//!
//! Under TCG a `microvm` is made without ACPI, because Linux boots on no other, and so it has no power button: a stop
//! waits out the grace time and forces. Under KVM it has ACPI and the button.
//!
//! Nothing here is synced to the disk: after a loss of power no VM runs, and who asked for it keeps his own record.
//!
//! What has the name of a run directory and was not made as one (a link, a file, a directory without lock or records of
//! the VM) is in the way: a create refuses it, nothing touches it, and nothing in it says anything of the VM.
//!
//! **Invariant:** a process is only signalled after its pid, its start time and the VM's UUID on its command line
//! were seen to be right.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use nkudo_domain::{Exit, Observation, ProviderKind, VmId, VmSpec};
use nkudo_host::process::Identity;
use nkudo_host::spawn::Child;
use tokio::sync::OnceCell;

mod accel;
mod boot;
mod command_line;
mod counting;
mod end;
mod events;
mod explaining;
mod images;
pub mod inventory;
mod observing;
mod program;
mod qmp;
mod run_directory;
mod vmm;

pub use accel::{Accel, UnknownAccel};

use accel::Accelerator;
use counting::Counted;
use program::Installed;
use run_directory::{RunDirectory, There};

use crate::error::ProviderError;
use crate::evidence::Findings;
use crate::provider::{Counters, Probe, Provider};

/// How long a command may take, from the connection to the answer.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);
/// How much of a guest's console is kept in each of the two files.
const CONSOLE_MAX_BYTES: u64 = 8 << 20;

/// Where and with what QEMU runs.
#[derive(Debug, Clone)]
pub struct QemuConfig {
    /// A bare name is looked up on the `PATH`.
    pub program: PathBuf,
    pub accel: Accel,
    /// The directory of run directories.
    pub vms_dir: PathBuf,
    /// How long `console.log` may become before it is moved to `console.log.1`.
    pub console_max_bytes: u64,
    /// Where it is remembered whether KVM works.
    pub cache_dir: PathBuf,
}

/// The QEMU provider.
#[derive(Debug)]
pub struct Qemu {
    config: QemuConfig,
    installed: Mutex<Option<Installed>>,
    accelerator: OnceCell<Accelerator>,
    /// Processes that this program started, to be reaped. One that has ended stays, for how it ended, until the VM
    /// is booted again, forced off or deleted.
    children: Mutex<HashMap<VmId, Child>>,
    counted: Mutex<HashMap<VmId, Counted>>,
}

impl QemuConfig {
    /// The usual settings: `qemu-system-x86_64`, the accelerator chosen by trial, 8 MiB of console, directories in
    /// `state_dir`.
    pub fn in_state_dir(state_dir: &Path) -> Self {
        Self {
            program: PathBuf::from("qemu-system-x86_64"),
            accel: Accel::Auto,
            vms_dir: state_dir.join("vms"),
            console_max_bytes: CONSOLE_MAX_BYTES,
            cache_dir: state_dir.join("cache"),
        }
    }
}

impl Qemu {
    /// Looks at nothing yet: whether QEMU is there shows when it is used.
    pub fn new(config: QemuConfig) -> Self {
        Self {
            config,
            installed: Mutex::default(),
            accelerator: OnceCell::new(),
            children: Mutex::default(),
            counted: Mutex::default(),
        }
    }

    /// Removes what an earlier run left half made or half removed. Only for whoever performs the deeds of these VMs.
    pub fn sweep(&self) {
        run_directory::sweep(&self.config.vms_dir);
    }

    fn run_directory(&self, vm_id: VmId) -> RunDirectory {
        RunDirectory::of(&self.config.vms_dir, vm_id)
    }
}

#[async_trait]
impl Provider for Qemu {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Qemu
    }

    async fn probe(&self) -> Result<Probe, ProviderError> {
        let installed = self.installed().await?;
        let accelerator = self.accelerator(&installed).await?;
        Ok(Probe { version: installed.version, acceleration: accelerator.as_str().to_owned() })
    }

    async fn create(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        images::check(spec)?;
        let directory = self.run_directory(spec.vm_id);
        match directory.there() {
            There::Nothing => return directory.make(spec),
            There::InTheWay => return Err(directory.in_the_way()),
            There::RunDirectory => {}
        }
        if self.look(&directory).is_gone() {
            return directory.write_spec(spec);
        }
        if directory.read_spec().as_ref() == Some(spec) {
            Ok(())
        } else {
            Err(ProviderError::StillAlive { vm_id: spec.vm_id })
        }
    }

    async fn boot(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        self.boot_vm(spec).await
    }

    async fn power_off(&self, vm_id: VmId, grace: Duration) -> Result<(), ProviderError> {
        self.end_gracefully(&self.run_directory(vm_id), grace).await
    }

    async fn force_off(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.end_now(&self.run_directory(vm_id)).await
    }

    async fn pause(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.steer(vm_id, "stop", Observation::Paused).await
    }

    async fn resume(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.steer(vm_id, "cont", Observation::Running).await
    }

    async fn delete(&self, vm_id: VmId) -> Result<(), ProviderError> {
        let directory = self.run_directory(vm_id);
        self.end_now(&directory).await?;
        directory.remove()
    }

    async fn observe(&self, vm_id: VmId) -> Result<Observation, ProviderError> {
        self.observe_vm(&self.run_directory(vm_id)).await
    }

    async fn evidence(&self, vm_id: VmId) -> Result<Findings, ProviderError> {
        Ok(self.explain(&self.run_directory(vm_id)).await)
    }

    async fn list(&self) -> Result<Vec<VmId>, ProviderError> {
        run_directory::list(&self.config.vms_dir)
    }

    async fn spec(&self, vm_id: VmId) -> Option<VmSpec> {
        let directory = self.run_directory(vm_id);
        if directory.exists() { directory.read_spec() } else { None }
    }

    fn identity(&self, vm_id: VmId) -> Option<Identity> {
        self.look(&self.run_directory(vm_id)).process
    }

    async fn exited(&self, vm_id: VmId) -> Exit {
        self.watch(&self.run_directory(vm_id)).await
    }

    async fn counters(&self, vm_id: VmId) -> Option<Counters> {
        self.count(&self.run_directory(vm_id)).await
    }

    async fn rotate(&self, vm_id: VmId) -> Result<(), ProviderError> {
        self.bound_logs(&self.run_directory(vm_id))
    }
}
