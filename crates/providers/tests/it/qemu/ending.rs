//! Ends, wanted or not.

use std::fs;
use std::time::{Duration, Instant};

use nkudo_domain::{Exit, Machine, Observation, VmId};
use nkudo_host::pidfd::Signal;
use nkudo_host::process;
use nkudo_providers::Provider;

use crate::world::{World, processes, signal, until};

async fn ready(world: &World, vm_id: VmId) {
    until("READY", || world.console(vm_id).contains("READY")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_an_end_is_told() {
    let world = World::new();
    let qemu = world.qemu();
    let check = async |end: Signal, adopted: bool, expected: &str| {
        let spec = world.spec(Machine::Microvm, "");
        qemu.create(&spec).await.unwrap();
        qemu.boot(&spec).await.unwrap();
        ready(&world, spec.vm_id).await;
        let watcher = if adopted { &world.qemu() } else { &qemu };
        let (exit, ()) = tokio::join!(watcher.exited(spec.vm_id), async { signal(spec.vm_id, end) });
        let Exit::Died(why) = &exit else { panic!("{exit:?}") };
        assert!(why.starts_with(expected), "{why}");
        assert_eq!(watcher.observe(spec.vm_id).await.unwrap(), Observation::Stopped(Some(exit)));
    };
    check(Signal::Kill, false, "killed by signal 9").await;
    check(Signal::Term, false, "the hypervisor was ended by a signal").await;
    // Who is not its parent sees no status, but what QEMU wrote.
    check(Signal::Kill, true, "it ended, and nothing says why").await;
    check(Signal::Term, true, "the hypervisor was ended by a signal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_obeys_is_not_forced() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Q35, "pm");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    until("a tick", || world.console(spec.vm_id).contains("TICK")).await;
    qemu.power_off(spec.vm_id, Duration::from_secs(30)).await.unwrap();
    assert!(world.console(spec.vm_id).contains("POWERBTN\nOFF"));
    assert_eq!(processes(spec.vm_id), []);
    let seen = qemu.observe(spec.vm_id).await.unwrap();
    assert_eq!(seen, Observation::Stopped(Some(Exit::GuestPoweredOff)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_hear_is_forced_after_the_grace_time() {
    let world = World::new();
    let qemu = world.qemu();
    let grace = Duration::from_millis(400);
    for machine in [Machine::Q35, Machine::Microvm] {
        let spec = world.spec(machine, "deaf");
        qemu.create(&spec).await.unwrap();
        qemu.boot(&spec).await.unwrap();
        let begun = Instant::now();
        qemu.power_off(spec.vm_id, grace).await.unwrap();
        assert!(begun.elapsed() >= grace, "{:?}", begun.elapsed());
        assert_eq!(processes(spec.vm_id), []);
        assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Stopped(None));
    }
}

/// A hypervisor that is stopped by a signal answers nothing, and can be ended all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_hypervisor_is_unresponsive_and_not_dead() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    signal(spec.vm_id, Signal::Stop);
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Unresponsive);
    let error = qemu.boot(&spec).await.unwrap_err();
    assert!(matches!(error, nkudo_providers::ProviderError::StillAlive { .. }), "{error:?}");
    signal(spec.vm_id, Signal::Cont);
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Running);
    signal(spec.vm_id, Signal::Stop);
    qemu.delete(spec.vm_id).await.unwrap();
    assert_eq!(world.leftovers(spec.vm_id), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_zombie_is_left_by_an_end_that_was_looked_at() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    let identity = qemu.identity(spec.vm_id).unwrap();
    signal(spec.vm_id, Signal::Kill);
    until("the end", || process::identity(identity.pid).is_none()).await;
    let seen = qemu.observe(spec.vm_id).await.unwrap();
    assert_eq!(seen, Observation::Stopped(Some(Exit::Died("killed by signal 9".to_owned()))));
    assert!(!fs::exists(format!("/proc/{}", identity.pid)).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_of_the_host_is_known_by_its_boot_id() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    signal(spec.vm_id, Signal::Kill);
    qemu.exited(spec.vm_id).await;
    let record = world.run_directory(spec.vm_id).join("vmm.json");
    let mut fields: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    fields["boot_id"] = "another".into();
    fs::write(&record, fields.to_string()).unwrap();
    for qemu in [qemu, world.qemu()] {
        let seen = qemu.observe(spec.vm_id).await.unwrap();
        assert_eq!(seen, Observation::Stopped(Some(Exit::HostRebooted)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_removed_is_told() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Q35, "");
    qemu.create(&spec).await.unwrap();
    // Something that is no directory is in the way of the removal.
    let obstacle = world.path().join("vms").join(format!(".gone-{}", spec.vm_id));
    fs::write(&obstacle, "").unwrap();
    let error = qemu.delete(spec.vm_id).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot remove /"), "{error}");
    fs::remove_file(&obstacle).unwrap();
    qemu.delete(spec.vm_id).await.unwrap();
    assert_eq!(world.leftovers(spec.vm_id), Vec::<String>::new());
}
