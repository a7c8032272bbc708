//! What actions leave in the audit log, and what is answered while that has no room.

use nkudo_domain::ActionType;

use super::*;
use crate::audit::{Audit, done};
use crate::deeds::Deeds;
use crate::world::{World, audit_in, lines_of};

/// A log that is soon full.
const LOG_BYTES: u64 = 64 << 10;

/// An action of this type and id.
async fn ask(world: &World, action_type: &str, action_id: &str) -> StatusCode {
    let body = format!(
        r#"{{"action_id": "{action_id}", "action_type": "{action_type}",
            "params": {{"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057"}}}}"#
    );
    world.ask(&format!("/v1/agents/{}/actions", world.agent_id), &body).await
}

/// Waits until somebody has begun to do something.
async fn begun(deeds: &Deeds) {
    while !deeds.are_under_way() {
        tokio::task::yield_now().await;
    }
}

/// Fills the log until this is refused.
async fn fill(audit: &Audit, action_type: ActionType) {
    for _ in 0..LOG_BYTES / 1_024 {
        if audit.room_for(action_type).is_err() {
            return;
        }
        audit.write(done("test", "fill", "test").field("what", "x".repeat(1_024))).await;
    }
    panic!("there is room for {action_type}");
}

#[tokio::test]
async fn a_cancellation_has_one_line_however_often_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_audit(audit_in(dir.path(), LOG_BYTES)).await;
    assert_eq!(ask(&world, "MicroVMPause", "pause-1").await, StatusCode::ACCEPTED);
    let action_id = "pause-1".parse().unwrap();
    world.control.store.mark_sent(world.agent_id, &[action_id], 1).await.unwrap();
    for _ in 0..3 {
        assert_eq!(world.ask("/v1/actions/pause-1/cancel", "").await, StatusCode::ACCEPTED);
    }
    assert_eq!(lines_of(dir.path(), "action.cancel").len(), 1);
}

#[tokio::test]
async fn a_cancellation_is_on_record_before_the_books_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_audit(audit_in(dir.path(), LOG_BYTES)).await;
    assert_eq!(ask(&world, "MicroVMPause", "pause-1").await, StatusCode::ACCEPTED);
    let action_id: ActionId = "pause-1".parse().unwrap();
    let mut looks = 0;
    let look = async {
        loop {
            let known = world.control.store.action(&Default::default(), &action_id).await.unwrap();
            if known.is_some_and(|record| record.cancel_asked) {
                assert_eq!(lines_of(dir.path(), "action.cancel").len(), 1, "after {looks} looks");
                return;
            }
            looks += 1;
        }
    };
    let (status, ()) = tokio::join!(world.ask("/v1/actions/pause-1/cancel", ""), look);
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(world.ask("/v1/actions/pause-1/cancel", "").await, StatusCode::CONFLICT);
    assert_eq!(lines_of(dir.path(), "action.cancel").len(), 1, "what has ended is not cancelled");
}

#[tokio::test]
async fn an_action_whose_caller_hangs_up_is_taken_in_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_audit(audit_in(dir.path(), LOG_BYTES)).await;
    tokio::select! {
        biased;
        status = ask(&world, "MicroVMPause", "pause-1") => panic!("{status} was answered before it was hung up"),
        () = begun(&world.control.deeds) => {}
    }
    world.control.deeds.ended().await;
    let action_id = "pause-1".parse().unwrap();
    let known = world.control.store.action(&Default::default(), &action_id).await.unwrap();
    assert!(known.is_some_and(|record| record.status == ActionStatus::Queued));
    assert_eq!(lines_of(dir.path(), "action.accept").len(), 1);
}

#[tokio::test]
async fn in_the_reserve_deletes_and_what_was_taken_in_before_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit_in(dir.path(), LOG_BYTES);
    let world = World::with_audit(audit.clone()).await;
    assert_eq!(ask(&world, "MicroVMPause", "pause-1").await, StatusCode::ACCEPTED);

    fill(&audit, ActionType::Pause).await;
    assert_eq!(ask(&world, "MicroVMPause", "pause-2").await, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(ask(&world, "MicroVMPause", "pause-1").await, StatusCode::ACCEPTED, "it is there");
    assert_eq!(ask(&world, "MicroVMResume", "pause-1").await, StatusCode::CONFLICT, "it is another");
    assert_eq!(ask(&world, "MicroVMDelete", "delete-1").await, StatusCode::ACCEPTED);

    fill(&audit, ActionType::Delete).await;
    assert_eq!(ask(&world, "MicroVMDelete", "delete-2").await, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(ask(&world, "MicroVMDelete", "delete-1").await, StatusCode::ACCEPTED);
}
