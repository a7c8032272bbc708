//! Starts that go well, and starts that do not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nkudo_domain::{Disk, DiskFormat, Machine, Observation, VmSpec};
use nkudo_host::pidfd::Signal;
use nkudo_providers::qemu::{Accel, Qemu, QemuConfig};
use nkudo_providers::{Provider, ProviderError};
use tokio::task::JoinSet;

use crate::world::{World, processes, signal, tell_monitor, until};

/// QEMU as a script of the test's own.
pub(super) fn script(world: &World, text: &str) -> QemuConfig {
    let program = world.path().join("qemu.sh");
    let version = "[ \"$1\" = --version ] && echo 'QEMU emulator version 7.2.0' && exit 0";
    fs::write(&program, format!("#!/bin/sh\n{version}\n{text}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    QemuConfig { program, ..world.config() }
}

#[tokio::test]
async fn the_probe_tells_version_and_acceleration() {
    let world = World::new();
    let probe = world.qemu().probe().await.unwrap();
    assert_eq!(probe.acceleration, "tcg");
    assert!(probe.version.starts_with(|first: char| first.is_ascii_digit()), "{probe:?}");
    let auto = Qemu::new(QemuConfig { accel: Accel::Auto, ..world.config() }).probe().await.unwrap();
    assert_eq!(auto.version, probe.version);
}

#[tokio::test]
async fn a_missing_hypervisor_is_named_with_its_remedy() {
    let world = World::new();
    let qemu = Qemu::new(QemuConfig { program: PathBuf::from("qemu-of-nobody"), ..world.config() });
    let spec = world.spec(Machine::Q35, "");
    qemu.create(&spec).await.unwrap();
    for error in [qemu.probe().await.unwrap_err(), qemu.boot(&spec).await.unwrap_err()] {
        assert!(matches!(error, ProviderError::HypervisorMissing { .. }), "{error:?}");
        assert!(error.to_string().starts_with("qemu-of-nobody was not found; install it ("), "{error}");
    }
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Stopped(None));
}

#[tokio::test]
async fn a_hypervisor_that_ends_at_once_is_quoted() {
    let world = World::new();
    let qemu = Qemu::new(script(&world, "echo 'no such machine' >&2; exit 3"));
    let spec = world.spec(Machine::Q35, "");
    qemu.create(&spec).await.unwrap();
    let error = qemu.boot(&spec).await.unwrap_err();
    let expected =
        format!("the hypervisor of vm {} ended at once: exited with status 3: no such machine", spec.vm_id);
    assert_eq!(error.to_string(), expected);
    assert!(!error.is_transient());
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Stopped(None));
    assert_eq!(processes(spec.vm_id), []);
}

#[tokio::test]
async fn what_a_specification_names_must_be_there() {
    let world = World::new();
    let qemu = world.qemu();
    let fine = world.spec(Machine::Q35, "");
    let text = world.path().join("text");
    fs::write(&text, "no kernel").unwrap();
    let missing = world.path().join("missing");
    let bzimage = world.path().join("bzimage");
    let mut header = vec![0; 0x202];
    header.extend(b"HdrS and more");
    fs::write(&bzimage, header).unwrap();
    let disk = |path: &PathBuf| vec![Disk { path: path.clone(), readonly: false, format: DiskFormat::Raw }];

    let check = |spec, expected: &'static str| {
        let qemu = &qemu;
        async move {
            let spec: VmSpec = spec;
            let told = qemu.create(&spec).await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{told}");
            let seen = qemu.observe(spec.vm_id).await.unwrap();
            assert_eq!(seen == Observation::Absent, !expected.is_empty(), "{seen:?}");
        }
    };
    let with_kernel = |kernel: &PathBuf| VmSpec { kernel: kernel.clone(), ..fine.clone() };
    check(with_kernel(&missing), "kernel /").await;
    check(with_kernel(&world.path().to_owned()), "kernel /").await;
    check(with_kernel(&text), "kernel /").await;
    check(VmSpec { initramfs: Some(missing.clone()), ..fine.clone() }, "initramfs /").await;
    check(VmSpec { disks: disk(&missing), ..fine.clone() }, "disk /").await;
    check(with_kernel(&bzimage), "").await;
}

/// The paths of unix sockets are limited to 107 bytes; those of state directories are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_is_no_hindrance() {
    let world = World::at_depth(&"d".repeat(200));
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "a,b=c  d");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    qemu.pause(spec.vm_id).await.unwrap();
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Paused);
    qemu.resume(spec.vm_id).await.unwrap();
    until("READY", || world.console(spec.vm_id).starts_with("READY a,b=c  d\n")).await;
    qemu.delete(spec.vm_id).await.unwrap();
    assert_eq!(world.leftovers(spec.vm_id), Vec::<String>::new());
}

/// Dropped at whatever await: the VM is either not started or can be found, and the boot can be asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_was_dropped_is_found_or_repeated() {
    let world = World::new();
    let mut found = Vec::new();
    for polls in 1..40 {
        let qemu = world.qemu();
        let spec = world.spec(Machine::Microvm, "");
        qemu.create(&spec).await.unwrap();
        let mut boot = qemu.boot(&spec);
        let mut polled = 0;
        // Each poll of the boot is one await further, or a repeated look at the same one.
        let ended = std::future::poll_fn(|context| {
            polled += 1;
            let poll = boot.as_mut().poll(context).map(Some);
            if poll.is_pending() && polled >= polls { std::task::Poll::Ready(None) } else { poll }
        });
        let ended = ended.await.is_some();
        drop(boot);
        drop(qemu);
        let later = world.qemu();
        // A process that has only just begun does not bear its name yet; it holds the lock.
        let started = nkudo_host::lock::is_held(&world.run_directory(spec.vm_id).join("lock")).unwrap();
        if started {
            assert!(matches!(later.boot(&spec).await, Err(ProviderError::StillAlive { .. })));
        } else {
            later.boot(&spec).await.unwrap();
        }
        let mut seen = later.observe(spec.vm_id).await.unwrap();
        let patient_until = Instant::now() + Duration::from_secs(10);
        while seen != Observation::Running {
            // QEMU was not up yet.
            assert_eq!(seen, Observation::Unresponsive);
            assert!(Instant::now() < patient_until);
            seen = later.observe(spec.vm_id).await.unwrap();
        }
        later.delete(spec.vm_id).await.unwrap();
        assert_eq!(world.leftovers(spec.vm_id), Vec::<String>::new());
        found.push((started, ended));
        if ended {
            break;
        }
    }
    assert!(found.contains(&(true, false)) && found.contains(&(false, false)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_disk_does_is_counted() {
    let world = World::new();
    let qemu = world.qemu();
    for machine in [Machine::Q35, Machine::Microvm] {
        let image = world.path().join(format!("{machine}.img"));
        fs::write(&image, vec![7; 1 << 20]).unwrap();
        let disks = vec![Disk { path: image, readonly: false, format: DiskFormat::Raw }];
        let spec = VmSpec { disks, ..world.spec(machine, "") };
        qemu.create(&spec).await.unwrap();
        qemu.boot(&spec).await.unwrap();
        let before = qemu.counters(spec.vm_id).await.unwrap();
        assert!(before.cpu > Duration::ZERO && before.resident_bytes > 1 << 20, "{before:?}");
        assert!(before.peak_resident_bytes >= before.resident_bytes, "{before:?}");
        // The test guest knows no disk: QEMU itself reads and writes in its place.
        for deed in ["aio_read 0 4096", "aio_write 0 8192", "aio_flush"] {
            let command = format!("qemu-io disk0 \\\"{deed}\\\"");
            let command = format!(
                "{{\"execute\":\"human-monitor-command\",\"arguments\":{{\"command-line\":\"{command}\"}}}}"
            );
            tell_monitor(&world.run_directory(spec.vm_id), &command);
        }
        let after = qemu.counters(spec.vm_id).await.unwrap();
        assert_eq!(after.block_read_bytes - before.block_read_bytes, 4096);
        assert_eq!(after.block_read_operations - before.block_read_operations, 1);
        assert_eq!(after.block_write_bytes - before.block_write_bytes, 8192);
        assert_eq!(after.block_write_operations - before.block_write_operations, 1);

        // A busy QEMU has not done less; it is not waited for long.
        signal(spec.vm_id, Signal::Stop);
        let begun = Instant::now();
        let busy = qemu.counters(spec.vm_id).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(busy.block_read_bytes, after.block_read_bytes);
        qemu.delete(spec.vm_id).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_made_is_private() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(world.run_directory(spec.vm_id)), 0o700);
    for name in ["lock", "vmm.json", "events.out", "vmm.log"] {
        assert_eq!(mode(world.run_directory(spec.vm_id).join(name)), 0o600, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_boots_at_once_start_one_process() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    let (one, two) = tokio::join!(qemu.boot(&spec), qemu.boot(&spec));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let refused = one.and(two).unwrap_err();
    assert!(matches!(refused, ProviderError::StillAlive { vm_id } if vm_id == spec.vm_id), "{refused:?}");
    assert_eq!(processes(spec.vm_id).len(), 1);
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_vms_are_observed_quickly() {
    let world = World::new();
    let qemu = std::sync::Arc::new(world.qemu());
    let specs: Vec<_> = (0..20).map(|_| world.spec(Machine::Microvm, "")).collect();
    let mut boots = JoinSet::new();
    for spec in specs.clone() {
        let qemu = std::sync::Arc::clone(&qemu);
        boots.spawn(async move {
            qemu.create(&spec).await.unwrap();
            qemu.boot(&spec).await.unwrap();
        });
    }
    boots.join_all().await;
    for spec in &specs {
        until("READY", || world.console(spec.vm_id).starts_with("READY")).await;
    }
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let mut looks = JoinSet::new();
        for spec in &specs {
            let (qemu, vm_id) = (std::sync::Arc::clone(&qemu), spec.vm_id);
            looks.spawn(async move { qemu.observe(vm_id).await.unwrap() });
        }
        assert!(looks.join_all().await.iter().all(|seen| *seen == Observation::Running));
        best = best.min(begun.elapsed());
    }
    eprintln!("20 vms observed in {best:?}");
    assert!(best < Duration::from_millis(100), "{best:?}");
}
