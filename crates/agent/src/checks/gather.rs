//! What is found on the host. Nothing is altered; every other program has a deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_host::{clock, cpu, disk, memory, net};
use nkudo_providers::qemu::Accel;

use super::program::{self, NoAnswer};
use super::trial::{self, Trial};
use crate::config::Settings;
use crate::identity::{IdentityError, Verified, verify_heartbeat};
use crate::link::told;

/// How long Cloud Hypervisor may take to tell its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(5);
/// How long NetBird may take to tell its status.
const NETBIRD_DEADLINE: Duration = Duration::from_secs(3);
/// What is written to see whether a directory takes it: a page, so that a full disk shows.
const TRIAL_BYTES: usize = 4_096;

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) kvm_device: bool,
    pub(super) kvm_flag: bool,
    pub(super) kvm_trial: Trial,
    pub(super) accel: Accel,
    pub(super) cloud_hypervisor: Result<String, NoAnswer>,
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
    pub(super) time_service: TimeService,
    pub(super) control_plane: ControlPlane,
}

/// What a heartbeat to the control plane brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ControlPlane {
    NotEnrolled,
    Answered(Verified),
    /// The step of the way that failed, as a sentence.
    Failed(String),
}

/// What is known of NetBird.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Netbird {
    Absent,
    Connected,
    NotConnected,
    /// It is there and did not say in time.
    Silent(Duration),
}

/// Who sets the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeService {
    /// systemd-timesyncd, and it did.
    Synchronised,
    /// systemd-timesyncd, and it has not yet.
    NotYet,
    /// chronyd, whose files do not tell whether it did.
    Chrony,
    Unknown,
}

pub(super) async fn facts(settings: &Settings) -> Facts {
    let flags = cpu::info().map(|info| info.flags).unwrap_or_default();
    let kvm_flag = flags.iter().any(|flag| flag == "vmx" || flag == "svm");
    let ((qemu, kvm_trial), cloud_hypervisor, netbird, control_plane) = tokio::join!(
        qemu(&settings.qemu_program, kvm_flag),
        cloud_hypervisor(),
        netbird(),
        Box::pin(control_plane(&settings.state_dir))
    );
    let place = nearest_existing(&settings.state_dir);
    Facts {
        kvm_device: Path::new("/dev/kvm").exists(),
        kvm_flag,
        kvm_trial,
        accel: settings.qemu_accel,
        cloud_hypervisor,
        qemu,
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
        time_service: time_service(Path::new("/run")),
        control_plane,
    }
}

async fn control_plane(state_dir: &Path) -> ControlPlane {
    match verify_heartbeat(state_dir).await {
        Ok(verified) => ControlPlane::Answered(verified),
        Err(IdentityError::NotEnrolled) => ControlPlane::NotEnrolled,
        Err(error) => ControlPlane::Failed(told(&error)),
    }
}

/// QEMU's version, and whether guests run on KVM. Without the flag or without QEMU there is nothing to try.
async fn qemu(program: &Path, kvm_flag: bool) -> (Result<String, String>, Trial) {
    let version = trial::version(program).await;
    let kvm_trial = match (&version, kvm_flag) {
        (Ok(_), true) => trial::run(program).await,
        (Ok(_), false) => Trial::NotTried("the processor cannot".to_owned()),
        (Err(_), _) => Trial::NotTried("there is no QEMU to run it".to_owned()),
    };
    (version, kvm_trial)
}

async fn cloud_hypervisor() -> Result<String, NoAnswer> {
    let answer = program::ask("cloud-hypervisor", &["--version"], VERSION_DEADLINE).await?;
    Ok(answer.lines().next().unwrap_or_default().trim().to_owned())
}

async fn netbird() -> Netbird {
    netbird_state(program::ask("netbird", &["status"], NETBIRD_DEADLINE).await)
}

/// `netbird status` tells of its management and of its signal server, each connected or not.
fn netbird_state(answer: Result<String, NoAnswer>) -> Netbird {
    let status = match answer {
        Ok(status) => status,
        Err(NoAnswer::Absent) => return Netbird::Absent,
        Err(NoAnswer::Failed(_)) => return Netbird::NotConnected,
        Err(NoAnswer::TooLate(deadline)) => return Netbird::Silent(deadline),
    };
    let mut links =
        status.lines().filter(|line| line.starts_with("Management:") || line.starts_with("Signal:"));
    let both = links.clone().count() == 2;
    if both && links.all(|line| line.contains(": Connected")) {
        Netbird::Connected
    } else {
        Netbird::NotConnected
    }
}

/// The path itself, or the nearest above it that is there. A link that leads nowhere is there, and is no directory.
fn nearest_existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/")).to_owned()
}

/// Writes a little into a new file, which is taken away again.
fn takes_writes(directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let name = directory.join(format!(".check-{}", uuid::Uuid::now_v7()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&name)?;
    let written = io::Write::write_all(&mut file, &[0; TRIAL_BYTES]).and_then(|()| file.sync_all());
    std::fs::remove_file(&name)?;
    written
}

/// What the services that set clocks leave in `/run`.
fn time_service(run: &Path) -> TimeService {
    let timesync = run.join("systemd/timesync");
    if timesync.join("synchronized").exists() {
        TimeService::Synchronised
    } else if run.join("chrony/chronyd.pid").exists() {
        TimeService::Chrony
    } else if timesync.is_dir() {
        TimeService::NotYet
    } else {
        TimeService::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netbird_is_connected_when_both_its_links_are() {
        let check = |answer: Result<&str, NoAnswer>, expected: Netbird| {
            assert_eq!(netbird_state(answer.clone().map(str::to_owned)), expected, "{answer:?}");
        };
        check(Ok("Management: Connected\nSignal: Connected\nPeers count: 3/4 Connected"), Netbird::Connected);
        check(Ok("Management: Connected\nSignal: Disconnected"), Netbird::NotConnected);
        check(Ok("Management: Disconnected, reason: x\nSignal: Connected"), Netbird::NotConnected);
        check(Ok("Daemon status: NeedsLogin"), Netbird::NotConnected);
        check(Ok(""), Netbird::NotConnected);
        check(Err(NoAnswer::Failed("exit status: 1".to_owned())), Netbird::NotConnected);
        check(Err(NoAnswer::TooLate(NETBIRD_DEADLINE)), Netbird::Silent(NETBIRD_DEADLINE));
        check(Err(NoAnswer::Absent), Netbird::Absent);
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
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(takes_writes(&nearest_existing(&link)).is_err());
    }

    #[test]
    fn a_relative_directory_is_looked_for_from_here() {
        assert_eq!(nearest_existing(Path::new("not-there")), std::env::current_dir().unwrap());
    }

    #[test]
    fn who_sets_the_clock_shows_in_run() {
        let check = |files: &[&str], expected: TimeService| {
            let run = tempfile::tempdir().unwrap();
            for file in files {
                let path = run.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            assert_eq!(time_service(run.path()), expected, "{files:?}");
        };
        check(&[], TimeService::Unknown);
        check(&["systemd/timesync/other"], TimeService::NotYet);
        check(&["systemd/timesync/synchronized"], TimeService::Synchronised);
        check(&["chrony/chronyd.pid"], TimeService::Chrony);
        check(&["chrony/chronyd.pid", "systemd/timesync/other"], TimeService::Chrony);
    }
}
