//! Where the tests' VMs live, and what can be found out about them without a provider.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_domain::{Console, Machine, RestartPolicy, VmId, VmSpec};
use nkudo_host::pidfd::{PidFd, Signal};
use nkudo_host::process::{self, Identity};
use nkudo_providers::guest;
use nkudo_providers::qemu::{Accel, Qemu, QemuConfig};
use tempfile::TempDir;

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory whose VMs end with it.
pub(crate) struct World {
    path: PathBuf,
    _directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at_depth("state")
    }

    pub(crate) fn at_depth(below: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(below);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("tiny.elf"), guest::TINY).unwrap();
        Self { path, _directory: directory }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config(&self) -> QemuConfig {
        QemuConfig { accel: Accel::Tcg, ..QemuConfig::in_state_dir(self.path()) }
    }

    /// A provider as of a program that was just started.
    pub(crate) fn qemu(&self) -> Qemu {
        Qemu::new(self.config())
    }

    /// Another VM each time, with the test guest.
    pub(crate) fn spec(&self, machine: Machine, cmdline: &str) -> VmSpec {
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        VmSpec {
            vm_id: uuid.trim().parse().unwrap(),
            vm_name: format!("vm-{}", uuid.trim()).parse().unwrap(),
            vcpus: 1,
            memory_bytes: 16 << 20,
            kernel: self.path().join("tiny.elf"),
            initramfs: None,
            cmdline: cmdline.to_owned(),
            disks: Vec::new(),
            nics: Vec::new(),
            console: Console::Log,
            provider: None,
            machine,
            restart_policy: RestartPolicy::No,
            labels: BTreeMap::new(),
        }
    }

    pub(crate) fn run_directory(&self, vm_id: VmId) -> PathBuf {
        self.path().join("vms").join(vm_id.to_string())
    }

    pub(crate) fn console(&self, vm_id: VmId) -> String {
        fs::read_to_string(self.run_directory(vm_id).join("console.log")).unwrap_or_default()
    }

    /// Directories and processes that bear the VM's name.
    pub(crate) fn leftovers(&self, vm_id: VmId) -> Vec<String> {
        let name = vm_id.to_string();
        let directories = fs::read_dir(self.path().join("vms")).into_iter().flatten().flatten();
        let directories = directories.map(|entry| entry.path().display().to_string());
        let mut left: Vec<String> = directories.filter(|path| path.contains(&name)).collect();
        left.extend(processes(vm_id).into_iter().map(|process| format!("{process:?}")));
        left
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.path().join("vms")).into_iter().flatten().flatten() {
            for pid in process::holders(&entry.path().join("lock")) {
                let process = process::identity(pid).and_then(|identity| PidFd::open(identity).ok());
                drop(process.map(|process| process.signal(Signal::Kill)));
            }
        }
    }
}

/// The living processes whose command line bears the VM's id.
pub(crate) fn processes(vm_id: VmId) -> Vec<Identity> {
    let name = vm_id.to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = pids.filter(|pid| process::command_line(*pid).is_some_and(|line| line.contains(&name)));
    named.filter_map(process::identity).collect()
}

/// Sends a signal to the VM's one process.
pub(crate) fn signal(vm_id: VmId, signal: Signal) {
    let [identity] = processes(vm_id)[..] else { panic!("not one process: {:?}", processes(vm_id)) };
    PidFd::open(identity).unwrap().signal(signal).unwrap();
}

/// Presses the power button of the VM, as somebody else than its provider.
pub(crate) fn press_power_button(run_directory: &Path) {
    tell_monitor(run_directory, "{\"execute\":\"system_powerdown\"}");
}

/// Gives QEMU a command, as somebody else than the provider.
pub(crate) fn tell_monitor(run_directory: &Path, command: &str) {
    let mut monitor = UnixStream::connect(run_directory.join("qmp.sock")).unwrap();
    monitor.write_all(format!("{{\"execute\":\"qmp_capabilities\"}}\n{command}\n").as_bytes()).unwrap();
    // Until both were answered; closing earlier might lose the second.
    let answers = BufReader::new(monitor).lines();
    let returned = answers.filter(|line| line.as_ref().unwrap().contains("\"return\"")).take(2).count();
    assert_eq!(returned, 2, "{command}");
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let patient_until = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < patient_until, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
