//! What a VM writes on the host: bounded, and counted where it counts.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use nkudo_domain::{Console, Machine, VmSpec};
use nkudo_providers::Provider;
use nkudo_providers::qemu::{Qemu, QemuConfig};

use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_long_console_is_moved_aside_while_the_guest_goes_on_writing() {
    let world = World::new();
    let qemu = Qemu::new(QemuConfig { console_max_bytes: 1000, ..world.config() });
    let spec = world.spec(Machine::Microvm, "hello");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    until("READY", || world.console(spec.vm_id).contains("READY hello\n")).await;
    let (log, kept) = {
        let directory = world.run_directory(spec.vm_id);
        (directory.join("console.log"), directory.join("console.log.1"))
    };
    qemu.rotate(spec.vm_id).await.unwrap();
    assert!(!kept.exists());
    fs::File::options().append(true).open(&log).unwrap().write_all(&[b'x'; 1500]).unwrap();
    qemu.rotate(spec.vm_id).await.unwrap();
    assert_eq!(fs::metadata(&kept).unwrap().len(), 1000);
    // QEMU goes on at the file's new end: no hole.
    until("a tick", || world.console(spec.vm_id).starts_with("TICK")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_is_off_writes_nothing() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = VmSpec { console: Console::Off, ..world.spec(Machine::Microvm, "") };
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    qemu.rotate(spec.vm_id).await.unwrap();
    assert!(!world.run_directory(spec.vm_id).join("console.log").exists());
}

/// A microvm whose guest takes `pm` for a power button resets itself four times a second.
#[tokio::test(flavor = "multi_thread")]
async fn reboots_are_counted_one_by_one_across_programs_and_cuts() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "pm");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    until("reboots", || world.console(spec.vm_id).matches("READY").count() > 4).await;
    qemu.pause(spec.vm_id).await.unwrap();
    let boots = world.console(spec.vm_id).matches("READY").count();
    let reboots = qemu.counters(spec.vm_id).await.unwrap().reboots;
    // The guest may have been reset and not have spoken yet.
    assert!(
        (boots - 1..=boots).contains(&usize::try_from(reboots).unwrap()),
        "{boots} boots, {reboots} reboots"
    );

    // The file is filled to beyond its bound where QEMU will write on, and cut.
    let events = world.run_directory(spec.vm_id).join("events.out");
    let written = fs::metadata(&events).unwrap().len();
    fs::File::options().append(true).open(&events).unwrap().write_all(&vec![b'\n'; 2 << 20]).unwrap();
    qemu.rotate(spec.vm_id).await.unwrap();
    assert!(fs::metadata(&events).unwrap().blocks() * 512 < 1 << 20);
    assert!(written > 0);
    let later = world.qemu();
    assert_eq!(later.counters(spec.vm_id).await.unwrap().reboots, reboots);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_the_hypervisor_is_bounded() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    let log = world.run_directory(spec.vm_id).join("vmm.log");
    fs::File::options().append(true).open(&log).unwrap().write_all(&vec![b'x'; 2 << 20]).unwrap();
    qemu.rotate(spec.vm_id).await.unwrap();
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
}
