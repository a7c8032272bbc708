//! What actions come to on VMs that do as they are told, and on VMs that do not.

use std::sync::Arc;
use std::time::Duration;

use nkudo_domain::{Action, ActionStatus, VmState};
use nkudo_executor::ExecutorError;
use nkudo_journal::SimulatedDisk;
use nkudo_providers::ProviderError;
use nkudo_tracker::{Admission, CancelAnswer};
use serde_json::{Value, json};

use crate::stubborn::{Refusal, Stubborn};
use crate::world::{Host, World, create, create_with, delete, faulty, hanging, on, pause};

/// A host whose VMs are stubborn.
fn stubborn(refusal: Option<Refusal>) -> (Host, Arc<Stubborn>) {
    let provider = Arc::new(Stubborn::new(refusal));
    let mut host = Host::new(SimulatedDisk::new());
    host.provider = Some(provider.clone());
    (host, provider)
}

#[tokio::test]
async fn a_vm_is_created_steered_stopped_started_and_deleted() {
    let world = World::on(SimulatedDisk::new()).await;
    let vm = create_with(1, &json!({"autostart": false}));
    let steps = [
        ("start", "MicroVMStart", true, VmState::Running),
        ("start-again", "MicroVMStart", false, VmState::Running),
        ("pause", "MicroVMPause", true, VmState::Paused),
        ("force", "MicroVMStop", true, VmState::Stopped),
        ("restart", "MicroVMStart", true, VmState::Running),
        ("pause-again", "MicroVMPause", true, VmState::Paused),
        ("resume", "MicroVMResume", true, VmState::Running),
        ("stop", "MicroVMStop", true, VmState::Stopped),
    ];
    assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
    world.until_vm(vm.request.vm_id().unwrap(), VmState::Stopped).await;
    for (action_id, action_type, changed, state) in steps {
        let view = world.done(&on(action_id, action_type, &vm, &json!({}))).await;
        assert_eq!((view.status, view.changed), (ActionStatus::Success, Some(changed)), "{view:?}");
        world.until_vm(vm.request.vm_id().unwrap(), state).await;
    }
    assert_eq!(world.done(&delete(&vm)).await.status, ActionStatus::Success);
    assert_eq!(world.handle.look(|tracker| tracker.vms().count()).await, Ok(0));
}

#[tokio::test]
async fn a_delete_takes_the_disks_along_only_when_asked_and_says_which_it_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::on(SimulatedDisk::new()).await;
    let path = |name: &str| dir.path().join(name);
    let disk = |name: &str| json!({"path": path(name), "format": "raw", "readonly": false});
    std::fs::write(path("kept"), "").unwrap();
    std::fs::write(path("taken"), "").unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    let check = async |number: u32, disks: Value, more: Value, status: ActionStatus| {
        let vm = create_with(number, &json!({"disks": disks}));
        assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
        let view = world.done(&on(&format!("delete-{number}"), "MicroVMDelete", &vm, &more)).await;
        assert_eq!(view.status, status, "{view:?}");
        view.error.unwrap_or_default()
    };
    let both = json!([disk("taken"), disk("was never there")]);
    check(1, json!([disk("kept")]), json!({}), ActionStatus::Success).await;
    check(2, both, json!({"delete_disks": true}), ActionStatus::Success).await;
    let error =
        check(3, json!([disk("directory")]), json!({"delete_disks": true}), ActionStatus::Failure).await;
    assert!(path("kept").exists() && !path("taken").exists());
    assert!(error.contains("cannot remove disk") && error.contains("directory"), "{error}");
}

#[tokio::test]
async fn a_deed_that_fails_for_a_while_is_tried_again_and_one_that_always_fails_is_not() {
    let world = World::on(SimulatedDisk::new()).await;
    let vm = faulty(1, &json!({"simulated.fail": "pause", "simulated.fail_times": "1"}));
    assert_eq!(world.done(&vm).await.retries, 0);
    let view = world.done(&pause(1, &vm)).await;
    assert_eq!((view.status, view.retries), (ActionStatus::Success, 1), "{view:?}");
    let fails = faulty(2, &json!({"simulated.fail": "boot"}));
    let view = world.done(&fails).await;
    assert_eq!((view.status, view.retries), (ActionStatus::Failure, 0), "{view:?}");
    assert!(
        view.error.as_deref().is_some_and(|error| error.contains("simulated failure of boot")),
        "{view:?}"
    );
    let vms = world.handle.look(|tracker| tracker.vms().map(|(vm_id, _)| vm_id).collect::<Vec<_>>()).await;
    assert_eq!(vms, Ok(vec![vm.request.vm_id().unwrap()]), "what was created for it was taken back");
}

#[tokio::test]
async fn a_cancel_reaches_a_deed_that_hangs_and_an_action_that_waits() {
    let world = World::on(SimulatedDisk::new()).await;
    let (hangs, waits) = (hanging(1), pause(1, &hanging(1)));
    for action in [&hangs, &waits] {
        assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::New));
    }
    for action in [&waits, &hangs] {
        let answer = world.handle.cancel(action.action_id.clone()).await;
        assert_eq!(answer, Ok(CancelAnswer::Cancelling), "{}", action.action_id);
        let view = world.handle.wait(&action.action_id).await.unwrap().unwrap();
        assert_eq!(view.status, ActionStatus::Cancelled, "{view:?}");
    }
    let again = world.handle.cancel(hangs.action_id.clone()).await;
    assert_eq!(again, Ok(CancelAnswer::AlreadyEnded));
    assert_eq!(world.handle.cancel("never".parse().unwrap()).await, Ok(CancelAnswer::Unknown));
    assert_eq!(world.handle.wait(&"never".parse().unwrap()).await, Ok(None));
}

#[tokio::test]
async fn what_is_too_old_when_its_turn_comes_has_expired() {
    let world = World::on(SimulatedDisk::new()).await;
    let hangs = hanging(1);
    assert_eq!(world.handle.submit(hangs.clone()).await, Ok(Admission::New));
    let late = Action { start_within: Some(Duration::from_millis(100)), ..pause(1, &hangs) };
    let view = world.done(&late).await;
    assert_eq!((view.status, view.started_at), (ActionStatus::Expired, None), "{view:?}");
    assert_eq!(view.error.as_deref(), Some("it expired before its turn came"));
}

#[tokio::test]
async fn a_vm_that_dies_is_seen_to_have_failed_and_its_policy_starts_it_again() {
    let world = World::on(SimulatedDisk::new()).await;
    let dies = faulty(1, &json!({"simulated.exit_after_ms": "20"}));
    assert_eq!(world.done(&dies).await.status, ActionStatus::Success);
    let vm = world.until_vm(dies.request.vm_id().unwrap(), VmState::Failed).await;
    assert!(vm.reason.is_some() && vm.restarts == 0, "{vm:?}");
    let policy = json!({"restart_policy": "on-failure", "labels": {"simulated.exit_after_ms": "2000"}});
    let restarts = create_with(2, &policy);
    assert_eq!(world.done(&restarts).await.status, ActionStatus::Success);
    world.until_vm(restarts.request.vm_id().unwrap(), VmState::Failed).await;
    let vm = world.until_vm(restarts.request.vm_id().unwrap(), VmState::Running).await;
    assert_eq!(vm.restarts, 1, "{vm:?}");
}

#[tokio::test]
async fn a_disk_without_room_takes_nothing_in_but_deletes_and_what_is_known() {
    let world = World::on(SimulatedDisk::new()).await;
    let vm = create(1);
    assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
    let mut host = world.killed().await;
    host.free_bytes_min = u64::MAX;
    let world = host.start().await.unwrap();
    assert_eq!(world.handle.submit(create(2)).await, Ok(Admission::DiskFull));
    assert_eq!(world.handle.submit(vm.clone()).await, Ok(Admission::Repeated));
    assert_eq!(world.done(&delete(&vm)).await.status, ActionStatus::Success);
}

#[tokio::test]
async fn what_a_deed_used_is_told_with_its_end() {
    let (host, _provider) = stubborn(None);
    let world = host.start().await.unwrap();
    let slow = faulty(1, &json!({"simulated.delay_ms": "120"}));
    assert_eq!(world.done(&slow).await.status, ActionStatus::Success);
    let usage =
        world.handle.look(|tracker| tracker.executions().next().map(|execution| execution.usage)).await;
    // The process of the VM is this test's own.
    assert!(usage.unwrap().unwrap().memory_bytes > 1 << 20);
}

/// A VM is unknown while nothing is said of it, and known again afterwards.
async fn unsaid(refusal: Refusal) {
    let (host, provider) = stubborn(None);
    let world = host.start().await.unwrap();
    let vm = create(1);
    assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
    provider.refuse(Some(refusal));
    world.done(&on("pause", "MicroVMPause", &vm, &json!({}))).await;
    world.until_vm(vm.request.vm_id().unwrap(), VmState::Unknown).await;
    provider.refuse(None);
    world.until_vm(vm.request.vm_id().unwrap(), VmState::Paused).await;
}

#[tokio::test]
async fn a_vm_that_cannot_be_observed_is_unknown() {
    unsaid(Refusal::Observe).await;
}

#[tokio::test]
async fn a_vm_whose_observation_never_ends_is_unknown() {
    unsaid(Refusal::ObserveEver).await;
}

#[tokio::test]
async fn a_provider_that_panics_ends_the_executor_which_goes_on_when_it_is_started_again() {
    let (host, provider) = stubborn(Some(Refusal::PausePanics));
    let mut world = host.start().await.unwrap();
    let vm = create(1);
    assert_eq!(world.done(&vm).await.status, ActionStatus::Success);
    let pause = pause(1, &vm);
    assert_eq!(world.handle.submit(pause.clone()).await, Ok(Admission::New));
    let ended = world.run.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(ExecutorError::TaskPanicked { .. })), "{ended:?}");
    provider.refuse(None);
    let world = world.killed().await.start().await.unwrap();
    let view = world.handle.wait(&pause.action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Success, "{view:?}");
}

#[tokio::test]
async fn vms_that_cannot_be_listed_keep_the_executor_from_starting() {
    let (host, _provider) = stubborn(Some(Refusal::List));
    let refused = host.start().await.err();
    assert!(
        matches!(refused, Some(ExecutorError::ListVms { source: ProviderError::Simulated { .. }, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_only_so_long_and_the_next_start_goes_on_with_it() {
    let mut host = Host::new(SimulatedDisk::new());
    host.stop_wait = Duration::from_millis(10);
    let mut world = host.start().await.unwrap();
    let slow = faulty(1, &json!({"simulated.delay_ms": "200"}));
    assert_eq!(world.handle.submit(slow.clone()).await, Ok(Admission::New));
    world.stop.cancel();
    assert!(world.run.join_next().await.unwrap().unwrap().is_ok());
    let world = world.killed().await.start().await.unwrap();
    let view = world.handle.wait(&slow.action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Success, "{view:?}");
}
