//! From what was found to a line with its remedy.

use std::io;

use nkudo_api::time::WallTime;
use nkudo_api::view::{CheckLine, CheckStatus};

use super::gather::{Facts, Netbird};

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
        control_plane(),
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

/// The device file proves nothing: a guest must have run.
fn kvm(facts: &Facts) -> CheckLine {
    match (facts.kvm_flag, facts.kvm_device, facts.acceleration.as_deref()) {
        (_, _, Some("kvm")) => pass("kvm", "the test guest ran on it"),
        (false, _, _) => warn(
            "kvm",
            "the processor shows neither vmx nor svm; guests are emulated, which is slow",
            "enable virtualisation in the firmware, or nested virtualisation where this host is itself a VM",
        ),
        (true, false, _) => warn(
            "kvm",
            "/dev/kvm is not there; guests are emulated, which is slow",
            "load the module kvm_intel or kvm_amd",
        ),
        (true, true, _) => warn(
            "kvm",
            "the test guest did not run on it; guests are emulated, which is slow",
            "see that this user may open /dev/kvm, or set qemu.accel",
        ),
    }
}

fn cloud_hypervisor(facts: &Facts) -> CheckLine {
    match &facts.cloud_hypervisor {
        Some(version) => {
            pass("cloud_hypervisor", format!("{version} (not used by this version of the agent)"))
        }
        None => warn("cloud_hypervisor", "not found", "none is needed: VMs run on QEMU"),
    }
}

/// The only provider of this version: without it the host runs nothing.
fn qemu(facts: &Facts) -> CheckLine {
    match &facts.qemu {
        Ok(version) => {
            let acceleration = facts.acceleration.as_deref().unwrap_or("tcg");
            pass("qemu", format!("version {version}, guests on {acceleration}"))
        }
        Err(error) => fail("qemu", error.clone(), "apt-get install qemu-system-x86, or set qemu.program"),
    }
}

fn bridge(facts: &Facts) -> CheckLine {
    let name = &facts.bridge;
    if facts.bridge_is_there {
        pass("bridge", format!("{name} is there"))
    } else {
        let remedy =
            format!("ip link add {name} type bridge, or set the key bridge; only VMs with networks need it");
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
        warn("clock", format!("it says {now}, which cannot be"), remedy)
    } else if facts.clock_synchronised == Some(false) {
        warn("clock", format!("it says {now} and was not set from the network"), remedy)
    } else {
        pass("clock", format!("{now}; its skew is known once there is a control plane to compare with"))
    }
}

fn control_plane() -> CheckLine {
    let remedy = "none is needed: VMs, metrics and the local commands work without one";
    warn("control_plane", "this host is not enrolled", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            kvm_device: true,
            kvm_flag: true,
            acceleration: Some("kvm".to_owned()),
            cloud_hypervisor: Some("cloud-hypervisor v53.0".to_owned()),
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
            clock_synchronised: Some(true),
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
        check("kvm", Warn, "neither vmx nor svm", |f| {
            f.kvm_flag = false;
            f.acceleration = Some("tcg".to_owned());
        });
        check("kvm", Warn, "did not run on it", |f| f.acceleration = Some("tcg".to_owned()));
        check("kvm", Warn, "/dev/kvm is not there", |f| {
            f.kvm_device = false;
            f.acceleration = Some("tcg".to_owned());
        });
        check("cloud_hypervisor", Warn, "not found", |f| f.cloud_hypervisor = None);
        check("qemu", Fail, "was not found", |f| f.qemu = Err("qemu-system-x86_64 was not found".to_owned()));
        check("bridge", Warn, "br0 is not there", |f| f.bridge_is_there = false);
        check("state_dir", Fail, "full", |f| f.writable = Err((io::ErrorKind::StorageFull, String::new())));
        check("state_dir", Fail, "read-only", |f| {
            f.writable = Err((io::ErrorKind::ReadOnlyFilesystem, "read-only".to_owned()));
        });
        check("netbird", Warn, "not connected", |f| f.netbird = Netbird::NotConnected);
        check("netbird", Warn, "not installed", |f| f.netbird = Netbird::Absent);
        check("disk", Fail, "1073741824 are wanted", |f| f.disk_available_bytes = Ok((1 << 30) - 1));
        check("disk", Fail, "not known", |f| f.disk_available_bytes = Err("gone".to_owned()));
        check("memory", Fail, "are wanted", |f| f.memory_total_bytes = Ok(1));
        check("clock", Warn, "cannot be", |f| f.wall_ms = 0);
        check("clock", Warn, "was not set", |f| f.clock_synchronised = Some(false));
        check("clock", Pass, "skew", |f| f.clock_synchronised = None);
    }
}
