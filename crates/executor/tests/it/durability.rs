//! Nothing is told before it is durable.

use nkudo_domain::ActionStatus;
use nkudo_executor::ExecutorError;
use nkudo_journal::SimulatedDisk;
use nkudo_tracker::Admission;

use crate::world::{World, after_power_loss, create, delete, hanging, pause};

#[tokio::test]
async fn an_admission_that_was_answered_survives_a_loss_of_power() {
    let world = World::on(SimulatedDisk::new()).await;
    for number in 0..20 {
        let action = create(number);
        assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::New));
        let known = after_power_loss(&world.disk, &world.journal());
        assert!(known.action(&action.action_id).is_some(), "action {number} is lost");
    }
}

#[tokio::test]
async fn an_outcome_that_was_told_survives_a_loss_of_power() {
    let world = World::on(SimulatedDisk::new()).await;
    for number in 0..20 {
        let action = create(number);
        world.handle.submit(action.clone()).await.unwrap();
        let view = world.handle.wait(&action.action_id).await.unwrap().unwrap();
        assert_eq!(view.status, ActionStatus::Success, "{view:?}");
        let known = after_power_loss(&world.disk, &world.journal());
        assert!(known.action(&action.action_id).unwrap().has_ended(), "the outcome of {number} is lost");
    }
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_never_acknowledged() {
    let mut world = World::on(SimulatedDisk::new()).await;
    // The record is appended; the sync after it fails, and everything from then on.
    let next = world.disk.operations();
    world.disk.fail(next + 1..u64::MAX);
    let action = create(1);
    assert!(world.handle.submit(action.clone()).await.is_err(), "acknowledged before the sync");
    let ended = world.run.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(ExecutorError::WriteJournal { .. })), "{ended:?}");
    assert!(after_power_loss(&world.disk, &world.journal()).action(&action.action_id).is_none());
}

#[tokio::test]
async fn a_repetition_is_answered_from_the_record_and_another_body_is_a_conflict() {
    let world = World::on(SimulatedDisk::new()).await;
    let action = create(1);
    assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::New));
    assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::Repeated));
    let mut other = create(2);
    other.action_id = action.action_id.clone();
    assert_eq!(world.handle.submit(other).await, Ok(Admission::Conflict));
}

#[tokio::test]
async fn a_stop_ends_the_executor_and_leaves_everything_durable() {
    let mut world = World::on(SimulatedDisk::new()).await;
    let actions: Vec<_> = (0..5).map(create).collect();
    for action in &actions {
        world.handle.submit(action.clone()).await.unwrap();
    }
    world.stop.cancel();
    assert!(world.run.join_next().await.unwrap().unwrap().is_ok());
    let known = after_power_loss(&world.disk, &world.journal());
    assert!(actions.iter().all(|action| known.action(&action.action_id).is_some()));
}

/// More records in one step than any queue between the loop and the journal holds.
#[tokio::test]
async fn a_step_with_thousands_of_records_ends() {
    let world = World::on(SimulatedDisk::new()).await;
    let hangs = hanging(1);
    assert_eq!(world.handle.submit(hangs.clone()).await, Ok(Admission::New));
    for number in 0..3_000 {
        assert_eq!(world.handle.submit(pause(number, &hangs)).await, Ok(Admission::New));
    }
    let delete = delete(&hangs);
    assert_eq!(world.handle.submit(delete.clone()).await, Ok(Admission::New));
    let view = world.handle.wait(&delete.action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Success, "{view:?}");
    assert_eq!(world.handle.look(|tracker| tracker.queue_depth()).await, Ok(0));
}
