//! Finding out which process is a VM, whatever its records say.

use std::fs;
use std::process::Stdio;

use nkudo_domain::{Machine, Observation, VmSpec};
use nkudo_host::pidfd::Signal;
use nkudo_host::process;
use nkudo_providers::qemu::{Accel, Qemu, QemuConfig};
use nkudo_providers::{Provider, ProviderError};

use crate::world::{World, processes, signal, until};

async fn running(world: &World, qemu: &Qemu) -> VmSpec {
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    spec
}

/// The program was killed between starting QEMU and writing down what it had started, or the record was spoiled.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_record_is_found_by_its_lock() {
    let world = World::new();
    let spec = running(&world, &world.qemu()).await;
    let record = world.run_directory(spec.vm_id).join("vmm.json");
    let before = processes(spec.vm_id);
    let check = async |spoil: &dyn Fn()| {
        spoil();
        let later = world.qemu();
        assert_eq!(later.observe(spec.vm_id).await.unwrap(), Observation::Running);
        assert_eq!(later.identity(spec.vm_id).into_iter().collect::<Vec<_>>(), before);
        assert!(matches!(later.boot(&spec).await, Err(ProviderError::StillAlive { .. })));
        let fields: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        assert_eq!(fields["pid"], before[0].pid);
        assert_eq!(fields["accel"], "tcg");
    };
    check(&|| fs::remove_file(&record).unwrap()).await;
    check(&|| fs::write(&record, "{\"pid\":").unwrap()).await;
    check(&|| {
        let mut fields: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        fields["start_ticks"] = 1.into();
        fs::write(&record, fields.to_string()).unwrap();
    })
    .await;
    world.qemu().delete(spec.vm_id).await.unwrap();
    assert_eq!(world.leftovers(spec.vm_id), Vec::<String>::new());
}

/// A pid that was used again, by a process of somebody else, is never taken for the VM.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_process_is_left_alone() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = running(&world, &qemu).await;
    signal(spec.vm_id, Signal::Kill);
    qemu.exited(spec.vm_id).await;
    let mut bystander = tokio::process::Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    let identity = process::identity(bystander.id().unwrap()).unwrap();
    let record = world.run_directory(spec.vm_id).join("vmm.json");
    let mut fields: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    fields["pid"] = identity.pid.into();
    fields["start_ticks"] = identity.start_ticks.into();
    fs::write(&record, fields.to_string()).unwrap();

    let later = world.qemu();
    assert_eq!(later.identity(spec.vm_id), None);
    assert!(matches!(later.observe(spec.vm_id).await.unwrap(), Observation::Stopped(Some(_))));
    later.delete(spec.vm_id).await.unwrap();
    assert!(process::is_alive(identity));
    bystander.kill().await.unwrap();
}

/// The kernel tells where a process works by no link, and a state directory may be reached by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_its_directory_is_found_whatever_the_state_directory_is_called() {
    let world = World::new();
    let link = world.path().join("link");
    std::os::unix::fs::symlink(world.path(), &link).unwrap();
    let config = || QemuConfig { accel: Accel::Tcg, ..QemuConfig::in_state_dir(&link) };
    let spec = running(&world, &Qemu::new(config())).await;
    fs::remove_dir_all(world.run_directory(spec.vm_id)).unwrap();
    let later = Qemu::new(config());
    assert_eq!(later.identity(spec.vm_id), Some(processes(spec.vm_id)[0]));
    later.delete(spec.vm_id).await.unwrap();
    until("its end", || processes(spec.vm_id).is_empty()).await;
}

/// Nothing is started, killed or removed over a lock whose holder is not known to be the VM.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_somebody_unknown_is_respected() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    let lock = nkudo_host::lock::LockedFile::try_exclusive(&world.run_directory(spec.vm_id).join("lock"));
    let mut holder = tokio::process::Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::from(lock.unwrap().unwrap().into_file()))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Unresponsive);
    for refused in [qemu.boot(&spec).await, qemu.force_off(spec.vm_id).await, qemu.delete(spec.vm_id).await] {
        assert!(matches!(refused, Err(ProviderError::StillAlive { .. })), "{refused:?}");
    }
    holder.kill().await.unwrap();
    assert_eq!(qemu.observe(spec.vm_id).await.unwrap(), Observation::Stopped(None));
    qemu.delete(spec.vm_id).await.unwrap();
}

/// The program that started the VM was killed before QEMU had heard that its events are wanted.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_asked_for_again_by_who_adopts() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = running(&world, &qemu).await;
    let events = world.run_directory(spec.vm_id).join("events.out");
    until("a greeting", || fs::metadata(&events).unwrap().len() > 0).await;
    fs::write(&events, "").unwrap();
    assert_eq!(world.qemu().observe(spec.vm_id).await.unwrap(), Observation::Running);
    until("an answer", || fs::read(&events).unwrap().windows(6).any(|word| word == b"error\"")).await;
}

#[tokio::test]
async fn what_was_left_half_made_is_swept_away_and_not_by_who_only_looks() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Q35, "");
    assert_eq!(qemu.list().await.unwrap(), []);
    qemu.create(&spec).await.unwrap();
    let vms = world.path().join("vms");
    let other = world.spec(Machine::Q35, "").vm_id;
    let gone = vms.join(format!(".gone-{other}"));
    let being_made = vms.join(format!(".new-{other}"));
    let abandoned = vms.join(format!(".new-{}", spec.vm_id));
    let foreign = vms.join("lost+found");
    for directory in [&gone, &being_made, &abandoned, &foreign] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("spec.json"), "{").unwrap();
    }
    let long_ago = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    fs::File::open(&abandoned).unwrap().set_times(long_ago).unwrap();
    assert_eq!(qemu.list().await.unwrap(), [spec.vm_id]);
    assert!(gone.exists() && abandoned.exists());
    qemu.sweep();
    assert_eq!(qemu.list().await.unwrap(), [spec.vm_id]);
    assert!(!gone.exists() && !abandoned.exists());
    assert!(being_made.exists() && foreign.exists());
    qemu.delete(other).await.unwrap();
    assert!(!being_made.exists());
}
