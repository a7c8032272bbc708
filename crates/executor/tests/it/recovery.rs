//! What an executor makes of what it finds when it starts.

use nkudo_api::view::StateFile;
use nkudo_domain::{ActionStatus, VmState};
use nkudo_executor::{Decoding, projection, replay_view};
use nkudo_journal::{SimulatedDisk, replay_read_only};
use nkudo_tracker::{Admission, Config, Now};
use serde_json::json;

use crate::world::{Host, World, create, create_with, delete, pause};

#[tokio::test]
async fn vms_that_outlived_a_killed_executor_are_adopted_with_their_state() {
    let world = World::on(SimulatedDisk::new()).await;
    let (runs, halted) = (create(1), create(2));
    for action in [&runs, &halted, &pause(2, &halted)] {
        assert_eq!(world.done(action).await.status, ActionStatus::Success);
    }
    let world = world.killed().await.start().await.unwrap();
    world.until_vm(runs.request.vm_id().unwrap(), VmState::Running).await;
    world.until_vm(halted.request.vm_id().unwrap(), VmState::Paused).await;
    assert_eq!(world.done(&delete(&runs)).await.status, ActionStatus::Success);
}

#[tokio::test]
async fn a_vm_whose_provider_is_not_configured_any_more_is_unknown_and_refuses_deeds() {
    let world = World::on(SimulatedDisk::new()).await;
    let vm = create(1);
    assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
    let mut host = world.killed().await;
    let provider = host.provider.take();
    let world = host.start().await.unwrap();
    world.until_vm(vm.request.vm_id().unwrap(), VmState::Unknown).await;
    let view = world.done(&delete(&vm)).await;
    assert_eq!(view.status, ActionStatus::Failure, "{view:?}");
    let error = view.error.unwrap();
    assert!(error.contains("provider simulated cannot be used on this host"), "{error}");
    let mut host = world.killed().await;
    host.provider = provider;
    let world = host.start().await.unwrap();
    world.until_vm(vm.request.vm_id().unwrap(), VmState::Running).await;
}

#[tokio::test]
async fn a_view_without_an_executor_shows_what_one_would() {
    let world = World::on(SimulatedDisk::new()).await;
    let (vm, gone) = (create(1), create(2));
    for action in [&vm, &gone, &delete(&gone)] {
        assert_eq!(world.done(action).await.status, ActionStatus::Success);
    }
    let journal = world.journal();
    let host = world.killed().await;
    let replay = replay_read_only(&host.disk, &journal).unwrap();
    let mut decoding = Decoding::of(&journal);
    replay.records.iter().for_each(|(seq, bytes)| decoding.take(*seq, bytes));
    let records = decoding.end(None).unwrap();
    let view = replay_view(Config::default(), records, &host.providers(), Now::default()).await.unwrap();
    let file = projection::state_file(&view, |_, _| Some(7), 1_000);
    let vms: Vec<_> = file.vms.iter().map(|vm| (vm.vm_id, vm.state, vm.pid)).collect();
    assert_eq!(vms, [(vm.request.vm_id().unwrap(), VmState::Running, Some(7))]);
    assert_eq!(file.executions.len(), 3);
}

#[tokio::test]
async fn a_journal_that_grew_large_starts_over_and_forgets_nothing_that_is_needed() {
    let world = World::on(SimulatedDisk::new()).await;
    let labels: serde_json::Map<String, serde_json::Value> =
        (0..32).map(|number| (format!("{number:0>256}"), json!("x".repeat(256)))).collect();
    let disk_bytes = |disk: &SimulatedDisk| disk.used_bytes();
    let (mut most, mut number) = (0, 0);
    // Each VM is 16 KiB of labels, three times in the journal.
    while disk_bytes(&world.disk) >= most {
        most = disk_bytes(&world.disk);
        number += 1;
        assert!(number < 2_000, "it never started over: {most} bytes");
        let vm = create_with(number, &json!({"labels": labels}));
        assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
        let gone = crate::world::on(&format!("delete-{number}"), "MicroVMDelete", &vm, &json!({}));
        assert_eq!(world.done(&gone).await.status, ActionStatus::Success);
    }
    assert!(most > 16 << 20, "{most}");
    let world = world.killed().await.start().await.unwrap();
    let known = create_with(1, &json!({"labels": labels}));
    assert_eq!(world.handle.submit(known).await, Ok(Admission::Repeated));
}

#[tokio::test]
async fn a_state_file_that_cannot_be_read_is_set_aside() {
    let check = async |text: &str, prefix: &str| {
        let host = Host::new(SimulatedDisk::new());
        std::fs::write(host.state_dir().join("edge-state.json"), text).unwrap();
        let dir = host.state_dir().to_owned();
        let _world = host.start().await.unwrap();
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        let kept: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(prefix)).collect();
        assert_eq!(kept.len(), 1, "{prefix} of {text}");
        assert_eq!(std::fs::read_to_string(dir.join(&kept[0])).unwrap(), text);
    };
    let world = World::on(SimulatedDisk::new()).await;
    assert_eq!(world.done(&create(1)).await.status, ActionStatus::Success);
    let told = world.handle.look(|tracker| projection::state_file(tracker, |_, _| None, 0)).await.unwrap();
    let of_another_version = StateFile { version: StateFile::VERSION + 1, ..told };
    check("{", "edge-state.corrupt-").await;
    check(&serde_json::to_string(&of_another_version).unwrap(), "edge-state.corrupt-").await;
}
