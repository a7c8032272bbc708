//! What others hear of the executor, and what it hears of them.

use nkudo_domain::{ActionStatus, AgentId, VmState};
use nkudo_executor::{Event, NoAnswer};
use nkudo_journal::SimulatedDisk;
use nkudo_tracker::Admission;

use crate::world::{World, create, delete, hanging};

async fn owed(world: &World) -> usize {
    world.handle.look(|tracker| tracker.results_after(tracker.outbox().acknowledged).count()).await.unwrap()
}

#[tokio::test]
async fn results_are_owed_until_they_are_acknowledged_and_never_told_as_another_agent() {
    let world = World::on(SimulatedDisk::new()).await;
    let agent = |number: u32| -> Option<AgentId> {
        Some(format!("01890a5d-ac96-774b-bcce-{number:012}").parse().unwrap())
    };
    world.handle.report_as(agent(1)).await.unwrap();
    for number in 1..=3 {
        assert_eq!(world.done(&create(number)).await.status, ActionStatus::Success);
    }
    assert_eq!(owed(&world).await, 3);
    world.handle.acknowledge(2).await.unwrap();
    assert_eq!(owed(&world).await, 1);
    world.handle.report_as(agent(2)).await.unwrap();
    assert_eq!(owed(&world).await, 0);
    // Once more, with nothing owed.
    world.handle.report_as(agent(3)).await.unwrap();
    assert_eq!(world.done(&create(4)).await.status, ActionStatus::Success);
    assert_eq!(owed(&world).await, 1);
}

#[tokio::test]
async fn a_listener_hears_of_actions_and_of_vms_that_come_and_go() {
    let world = World::on(SimulatedDisk::new()).await;
    let mut events = world.handle.events();
    let vm = create(1);
    for action in [&vm, &delete(&vm)] {
        assert_eq!(world.done(action).await.status, ActionStatus::Success);
    }
    let (mut ends, mut states) = (Vec::new(), Vec::new());
    loop {
        match events.recv().await.unwrap() {
            Event::Action { view, foreign } => {
                assert!(!foreign);
                if view.status == ActionStatus::Success {
                    ends.push(view.action_id.to_string());
                }
            }
            Event::Vm(vm) => states.push(vm.state),
            Event::VmGone(vm_id) => {
                assert_eq!(vm_id, vm.request.vm_id().unwrap());
                break;
            }
            Event::LookAgain => {}
        }
    }
    assert_eq!(ends.first().map(String::as_str), Some("create-1"));
    assert_eq!(states, [VmState::Creating, VmState::Running]);
}

#[tokio::test]
async fn whoever_asks_an_executor_that_is_gone_is_told_so() {
    let world = World::on(SimulatedDisk::new()).await;
    let (handle, hangs) = (world.handle.clone(), hanging(1));
    assert_eq!(handle.submit(hangs.clone()).await, Ok(Admission::New));
    drop(world.killed().await);
    assert_eq!(handle.submit(create(2)).await, Err(NoAnswer));
    assert_eq!(handle.cancel(hangs.action_id.clone()).await, Err(NoAnswer));
    assert_eq!(handle.look(|tracker| tracker.queue_depth()).await, Err(NoAnswer));
    assert_eq!(handle.wait(&hangs.action_id).await, Err(NoAnswer));
}
