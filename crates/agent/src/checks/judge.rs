//! From what was found to a line with its remedy.

use std::io;

use nkudo_api::time::WallTime;
use nkudo_api::view::{CheckLine, CheckStatus};
use nkudo_providers::qemu::Accel;

use super::gather::{ControlPlane, Facts, Netbird, TimeService};
use super::program::NoAnswer;
use super::trial::Trial;

/// How far the clock may be from the control plane's, in milliseconds.
const SKEW_MAX_MS: i64 = 5_000;
/// A clock before this day (2025-01-01, in Unix milliseconds) was never set.
const EARLIEST_PLAUSIBLE_MS: i64 = 1_735_689_600_000;

/// Every check, in the order of the contract.
pub(super) fn all(facts: &Facts) -> Vec<CheckLine> {
    vec![
        kvm(facts),
        cloud_hypervisor(facts),
        qemu(facts),
        bridge(facts),
        state_dir(facts),
        netbird(facts),
        disk(facts),
        memory(facts),
        clock(facts),
        control_plane(facts),
    ]
}

fn pass(name: &str, detail: impl Into<String>) -> CheckLine {
    CheckLine { name: name.to_owned(), status: CheckStatus::Pass, detail: detail.into(), remedy: None }
}

fn warn(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> CheckLine {
    let remedy = Some(remedy.into());
    CheckLine { name: name.to_owned(), status: CheckStatus::Warn, detail: detail.into(), remedy }
}

fn fail(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> CheckLine {
    CheckLine { status: CheckStatus::Fail, ..warn(name, detail, remedy) }
}

/// The device file proves nothing: a guest must have run. Emulation does instead, unless the configuration insists.
fn kvm(facts: &Facts) -> CheckLine {
    let (problem, remedy) = match (&facts.kvm_trial, facts.kvm_flag, facts.kvm_device) {
        (Trial::Ran, _, _) if facts.accel == Accel::Tcg => {
            return pass("kvm", "the test guest ran on it; guests are emulated, since qemu.accel is tcg");
        }
        (Trial::Ran, _, _) => return pass("kvm", "the test guest ran on it"),
        (_, false, _) => (
            "the processor shows neither vmx nor svm".to_owned(),
            "enable virtualisation in the firmware, or nested virtualisation where this host is itself a VM",
        ),
        (_, true, false) => ("/dev/kvm is not there".to_owned(), "load the module kvm_intel or kvm_amd"),
        (Trial::DidNotRun, true, true) => {
            ("the test guest did not run on it".to_owned(), "see that this user may open /dev/kvm")
        }
        (Trial::NotTried(reason), true, true) => {
            return warn("kvm", format!("not tried: {reason}"), "put that right and check again");
        }
    };
    match facts.accel {
        Accel::Auto | Accel::Tcg => {
            warn("kvm", format!("{problem}; guests are emulated, which is slow"), remedy)
        }
        Accel::Kvm => fail(
            "kvm",
            format!("{problem}, and qemu.accel is kvm: no guest can run"),
            format!("{remedy}, or set qemu.accel to auto"),
        ),
    }
}

fn cloud_hypervisor(facts: &Facts) -> CheckLine {
    let name = "cloud_hypervisor";
    let remedy = "none is needed: VMs run on QEMU";
    match &facts.cloud_hypervisor {
        Ok(version) => pass(name, format!("{version} (not used by this version of the agent)")),
        Err(NoAnswer::Absent) => warn(name, "not found", remedy),
        Err(NoAnswer::Failed(error)) => {
            warn(name, format!("it is there and does not tell its version: {error}"), remedy)
        }
        Err(NoAnswer::TooLate(deadline)) => {
            let seconds = deadline.as_secs();
            warn(name, format!("it is there and did not tell its version within {seconds} s"), remedy)
        }
    }
}

/// The only provider of this version: without it the host runs nothing.
fn qemu(facts: &Facts) -> CheckLine {
    match &facts.qemu {
        Ok(version) => pass("qemu", format!("version {version}, qemu.accel is {}", facts.accel)),
        Err(error) => fail("qemu", error.clone(), "apt-get install qemu-system-x86, or set qemu.program"),
    }
}

fn bridge(facts: &Facts) -> CheckLine {
    let name = &facts.bridge;
    if facts.bridge_is_there {
        pass("bridge", format!("{name} is there"))
    } else {
        let remedy = format!(
            "ip link add {name} up type bridge, or set the key bridge; only VMs with networks need it"
        );
        warn("bridge", format!("{name} is not there"), remedy)
    }
}

fn state_dir(facts: &Facts) -> CheckLine {
    let path = facts.state_dir.display();
    match &facts.writable {
        Ok(()) => pass("state_dir", format!("{path} takes writes")),
        Err((io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _)) => {
            fail("state_dir", format!("{path}: its disk is full"), "free some space")
        }
        Err((_, error)) => {
            let remedy = "choose another with --state-dir, or run as a user who may write there";
            fail("state_dir", format!("{path} does not take writes: {error}"), remedy)
        }
    }
}

fn netbird(facts: &Facts) -> CheckLine {
    match facts.netbird {
        Netbird::Connected => pass("netbird", "connected"),
        Netbird::NotConnected => warn("netbird", "installed and not connected", "netbird up"),
        Netbird::Silent(deadline) => {
            let detail = format!("installed, and did not tell its status within {} s", deadline.as_secs());
            warn("netbird", detail, "see that its service runs: netbird service status")
        }
        Netbird::Absent => warn(
            "netbird",
            "not installed",
            "install it where hosts reach each other over it; else none is needed",
        ),
    }
}

fn disk(facts: &Facts) -> CheckLine {
    let at_least = facts.disk_min_bytes;
    match &facts.disk_available_bytes {
        Ok(available) if *available >= at_least => pass("disk", format!("{available} bytes free")),
        Ok(available) => {
            let remedy = "free some space, put the state directory elsewhere, or lower check.min_disk_bytes";
            fail("disk", format!("{available} bytes free, and {at_least} are wanted"), remedy)
        }
        Err(error) => {
            fail("disk", format!("free space is not known: {error}"), "see that the disk is mounted")
        }
    }
}

fn memory(facts: &Facts) -> CheckLine {
    let at_least = facts.memory_min_bytes;
    match &facts.memory_total_bytes {
        Ok(total) if *total >= at_least => pass("memory", format!("{total} bytes")),
        Ok(total) => {
            let remedy = "use a larger host, or lower check.min_memory_bytes";
            fail("memory", format!("{total} bytes, and {at_least} are wanted"), remedy)
        }
        Err(error) => fail("memory", format!("not known: {error}"), "see that /proc is mounted"),
    }
}

fn clock(facts: &Facts) -> CheckLine {
    let now = WallTime(facts.wall_ms);
    let remedy = "set up a time service: apt-get install systemd-timesyncd or chrony";
    if facts.wall_ms < EARLIEST_PLAUSIBLE_MS {
        return warn("clock", format!("it says {now}, which cannot be"), remedy);
    }
    let set_by = match facts.time_service {
        TimeService::NotYet => {
            return warn("clock", format!("it says {now} and was not set from the network"), remedy);
        }
        TimeService::Synchronised => "set from the network",
        TimeService::Chrony => "kept by chrony",
        TimeService::Unknown => "whether it is set from the network is not known",
    };
    match &facts.control_plane {
        ControlPlane::Answered(verified) if verified.skew.offset_ms.abs() > SKEW_MAX_MS => {
            let skew_ms = verified.skew.offset_ms;
            warn(
                "clock",
                format!("it says {now}, and the control plane's is {skew_ms} ms ahead of it"),
                remedy,
            )
        }
        ControlPlane::Answered(verified) => {
            pass("clock", format!("{now}; {set_by}; {} ms from the control plane's", verified.skew.offset_ms))
        }
        ControlPlane::NotEnrolled | ControlPlane::Failed(_) => {
            pass("clock", format!("{now}; {set_by}; without a control plane its skew cannot be measured"))
        }
    }
}

fn control_plane(facts: &Facts) -> CheckLine {
    match &facts.control_plane {
        ControlPlane::Answered(verified) => {
            pass("control_plane", format!("it answered a heartbeat in {} ms", verified.round_trip_ms))
        }
        ControlPlane::NotEnrolled => {
            let remedy = "none is needed: VMs, metrics and the local commands work without one; \
                 to join a fleet: edge-agent enroll";
            warn("control_plane", "this host is not enrolled", remedy)
        }
        ControlPlane::Failed(sentence) => {
            let remedy = "VMs run on without it; edge-agent verify-heartbeat tries again";
            warn("control_plane", sentence.clone(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nkudo_fleet::Skew;

    use super::*;
    use crate::identity::Verified;

    fn answered(offset_ms: i64) -> ControlPlane {
        let skew = Skew { offset_ms, error_ms: 1 };
        ControlPlane::Answered(Verified { round_trip_ms: 7, server_time_ms: 0, skew })
    }

    fn good() -> Facts {
        Facts {
            kvm_device: true,
            kvm_flag: true,
            kvm_trial: Trial::Ran,
            accel: Accel::Auto,
            cloud_hypervisor: Ok("cloud-hypervisor v53.0".to_owned()),
            qemu: Ok("7.2.22".to_owned()),
            bridge: "br0".to_owned(),
            bridge_is_there: true,
            state_dir: "/var/lib/nkudo-edge".into(),
            writable: Ok(()),
            netbird: Netbird::Connected,
            disk_available_bytes: Ok(2 << 30),
            disk_min_bytes: 1 << 30,
            memory_total_bytes: Ok(1 << 30),
            memory_min_bytes: 1 << 29,
            wall_ms: EARLIEST_PLAUSIBLE_MS + 1,
            time_service: TimeService::Synchronised,
            control_plane: ControlPlane::NotEnrolled,
        }
    }

    fn check(name: &str, status: CheckStatus, part: &str, change: impl FnOnce(&mut Facts)) {
        let mut facts = good();
        change(&mut facts);
        let lines = all(&facts);
        let line = lines.iter().find(|line| line.name == name).unwrap();
        assert_eq!((line.status, line.remedy.is_none()), (status, status == CheckStatus::Pass), "{line:?}");
        assert!(line.detail.contains(part), "{line:?} lacks {part}");
        let others = lines.iter().filter(|line| line.name != name && line.name != "control_plane");
        assert!(others.clone().all(|line| line.status == CheckStatus::Pass), "{lines:?}");
    }

    #[test]
    fn each_check_is_judged_by_its_facts() {
        use CheckStatus::{Fail, Pass, Warn};
        check("kvm", Pass, "ran on it", |_| ());
        check("kvm", Pass, "qemu.accel is tcg", |f| f.accel = Accel::Tcg);
        check("kvm", Pass, "ran on it", |f| f.accel = Accel::Kvm);
        let no_flag = |f: &mut Facts| {
            f.kvm_flag = false;
            f.kvm_trial = Trial::NotTried("the processor cannot".to_owned());
        };
        check("kvm", Warn, "neither vmx nor svm; guests are emulated", no_flag);
        check("kvm", Fail, "no guest can run", |f| {
            no_flag(f);
            f.accel = Accel::Kvm;
        });
        check("kvm", Warn, "did not run on it", |f| f.kvm_trial = Trial::DidNotRun);
        check("kvm", Fail, "did not run on it, and qemu.accel is kvm", |f| {
            f.kvm_trial = Trial::DidNotRun;
            f.accel = Accel::Kvm;
        });
        check("kvm", Warn, "/dev/kvm is not there", |f| {
            f.kvm_device = false;
            f.kvm_trial = Trial::DidNotRun;
        });
        check("kvm", Warn, "not tried: no directory", |f| {
            f.kvm_trial = Trial::NotTried("no directory".to_owned());
        });
        check("cloud_hypervisor", Pass, "v53.0 (not used", |_| ());
        check("cloud_hypervisor", Warn, "not found", |f| f.cloud_hypervisor = Err(NoAnswer::Absent));
        check("cloud_hypervisor", Warn, "exit status: 1", |f| {
            f.cloud_hypervisor = Err(NoAnswer::Failed("exit status: 1".to_owned()));
        });
        check("cloud_hypervisor", Warn, "within 5 s", |f| {
            f.cloud_hypervisor = Err(NoAnswer::TooLate(Duration::from_secs(5)));
        });
        check("qemu", Pass, "7.2.22", |_| ());
        check("qemu", Fail, "was not found", |f| f.qemu = Err("qemu-system-x86_64 was not found".to_owned()));
        check("bridge", Warn, "br0 is not there", |f| f.bridge_is_there = false);
        check("state_dir", Fail, "full", |f| f.writable = Err((io::ErrorKind::StorageFull, String::new())));
        check("state_dir", Fail, "read-only", |f| {
            f.writable = Err((io::ErrorKind::ReadOnlyFilesystem, "read-only".to_owned()));
        });
        check("netbird", Warn, "not connected", |f| f.netbird = Netbird::NotConnected);
        check("netbird", Warn, "within 3 s", |f| f.netbird = Netbird::Silent(Duration::from_secs(3)));
        check("netbird", Warn, "not installed", |f| f.netbird = Netbird::Absent);
        check("disk", Fail, "1073741824 are wanted", |f| f.disk_available_bytes = Ok((1 << 30) - 1));
        check("disk", Fail, "not known", |f| f.disk_available_bytes = Err("gone".to_owned()));
        check("memory", Fail, "are wanted", |f| f.memory_total_bytes = Ok(1));
        check("clock", Warn, "cannot be", |f| f.wall_ms = 0);
        check("clock", Warn, "was not set", |f| f.time_service = TimeService::NotYet);
        check("clock", Warn, "60000 ms ahead", |f| f.control_plane = answered(60_000));
        check("clock", Pass, "3 ms from the control plane's", |f| f.control_plane = answered(3));
        check("control_plane", Pass, "in 7 ms", |f| f.control_plane = answered(3));
        check("control_plane", Warn, "DNS", |f| f.control_plane = ControlPlane::Failed("DNS: no".to_owned()));
        check("control_plane", Warn, "not enrolled", |_| ());
        check("clock", Pass, "chrony", |f| f.time_service = TimeService::Chrony);
        check("clock", Pass, "not known; without a control plane", |f| f.time_service = TimeService::Unknown);
    }
}
