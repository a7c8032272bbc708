//! What is found on the host. Nothing is altered; every other program has a deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use nkudo_host::{clock, cpu, disk, memory, net};
use nkudo_providers::Provider;
use nkudo_providers::qemu::{Qemu, QemuConfig};

use crate::config::Settings;

/// How long another program may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most of an answer that is looked at, in bytes.
const ANSWER_MAX_BYTES: usize = 4_096;
/// Hypervisors by the names of their programs.
const HYPERVISORS: [&str; 2] = ["cloud-hypervisor", "qemu-system-x86_64"];

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) kvm_device: bool,
    pub(super) kvm_flag: bool,
    /// How QEMU would execute guests: kvm or tcg.
    pub(super) acceleration: Option<String>,
    pub(super) cloud_hypervisor: Option<String>,
    pub(super) qemu: Result<String, String>,
    pub(super) bridge: String,
    pub(super) bridge_is_there: bool,
    pub(super) state_dir: PathBuf,
    /// Whether the directory, or the nearest above it that is there, takes writes.
    pub(super) writable: Result<(), (io::ErrorKind, String)>,
    pub(super) netbird: Netbird,
    pub(super) disk_available_bytes: Result<u64, String>,
    pub(super) disk_min_bytes: u64,
    pub(super) memory_total_bytes: Result<u64, String>,
    pub(super) memory_min_bytes: u64,
    pub(super) wall_ms: i64,
    pub(super) clock_synchronised: Option<bool>,
}

/// What is known of NetBird.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Netbird {
    Absent,
    Connected,
    NotConnected,
}

pub(super) async fn facts(settings: &Settings) -> Facts {
    let flags = cpu::info().map(|info| info.flags).unwrap_or_default();
    let probe = qemu(settings).probe().await;
    let (netbird, cloud_hypervisor) = tokio::join!(netbird(), version_of("cloud-hypervisor"));
    let place = nearest_existing(&settings.state_dir);
    Facts {
        kvm_device: Path::new("/dev/kvm").exists(),
        kvm_flag: flags.iter().any(|flag| flag == "vmx" || flag == "svm"),
        acceleration: probe.as_ref().ok().map(|probe| probe.acceleration.clone()),
        cloud_hypervisor,
        qemu: probe.map(|probe| probe.version).map_err(|error| error.to_string()),
        bridge: settings.bridge.clone(),
        bridge_is_there: net::is_bridge(&settings.bridge),
        state_dir: settings.state_dir.clone(),
        writable: takes_writes(&place).map_err(|error| (error.kind(), error.to_string())),
        netbird,
        disk_available_bytes: disk::space(&place)
            .map(|space| space.available_bytes)
            .map_err(|e| e.to_string()),
        disk_min_bytes: settings.min_disk_bytes,
        memory_total_bytes: memory::read().map(|memory| memory.total_bytes).map_err(|e| e.to_string()),
        memory_min_bytes: settings.min_memory_bytes,
        wall_ms: clock::wall_ms(),
        clock_synchronised: clock_synchronised(),
    }
}

/// QEMU as the agent would use it. A check makes no state directory, so the trial of KVM is kept elsewhere until there
/// is one.
fn qemu(settings: &Settings) -> Qemu {
    let in_state_dir = QemuConfig::in_state_dir(&settings.state_dir);
    let cache_dir =
        if settings.state_dir.is_dir() { in_state_dir.cache_dir.clone() } else { std::env::temp_dir() };
    let (program, accel) = (settings.qemu_program.clone(), settings.qemu_accel);
    Qemu::new(QemuConfig { program, accel, cache_dir, ..in_state_dir })
}

/// The path itself, or the nearest above it that is there.
fn nearest_existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Writes a little into a file without a name, which is gone when it is closed.
fn takes_writes(directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let name = directory.join(format!(".check-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&name)?;
    let written = io::Write::write_all(&mut file, &[0; 4_096]).and_then(|()| file.sync_all());
    std::fs::remove_file(&name)?;
    written
}

/// What a program answers; none when it is not there, fails or takes too long.
async fn ask(program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(DEADLINE, command.output()).await.ok()?.ok()
}

async fn version_of(program: &str) -> Option<String> {
    let output = ask(program, &["--version"]).await?;
    let text =
        String::from_utf8_lossy(output.stdout.get(..ANSWER_MAX_BYTES).unwrap_or(&output.stdout)).into_owned();
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

async fn netbird() -> Netbird {
    if !is_on_path("netbird") {
        return Netbird::Absent;
    }
    match ask("netbird", &["status"]).await {
        Some(output) if output.status.success() => netbird_says(&String::from_utf8_lossy(&output.stdout)),
        Some(_) | None => Netbird::NotConnected,
    }
}

/// `netbird status` tells of its management and of its signal server, each connected or not.
fn netbird_says(status: &str) -> Netbird {
    let mut links =
        status.lines().filter(|line| line.starts_with("Management:") || line.starts_with("Signal:"));
    let both = links.clone().count() == 2;
    if both && links.all(|line| line.contains(": Connected")) {
        Netbird::Connected
    } else {
        Netbird::NotConnected
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The hypervisors that are installed, by the names of their programs.
pub fn installed_hypervisors() -> Vec<String> {
    HYPERVISORS.into_iter().filter(|program| is_on_path(program)).map(str::to_owned).collect()
}

/// Whether systemd's time service says that the clock was set from the network; none when nobody says anything.
fn clock_synchronised() -> Option<bool> {
    let timesync = Path::new("/run/systemd/timesync");
    timesync.is_dir().then(|| timesync.join("synchronized").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netbird_is_connected_when_both_its_links_are() {
        let check = |status: &str, expected: Netbird| assert_eq!(netbird_says(status), expected, "{status}");
        check("Management: Connected\nSignal: Connected\nPeers count: 3/4 Connected", Netbird::Connected);
        check("Management: Connected\nSignal: Disconnected", Netbird::NotConnected);
        check("Management: Disconnected, reason: x\nSignal: Connected", Netbird::NotConnected);
        check("Daemon status: NeedsLogin", Netbird::NotConnected);
        check("", Netbird::NotConnected);
    }

    #[test]
    fn a_directory_that_is_not_there_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(nearest_existing(&dir.path().join("a/b")), dir.path());
        assert!(takes_writes(dir.path()).is_ok());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(takes_writes(&nearest_existing(&file.join("below"))).is_err());
    }
}
