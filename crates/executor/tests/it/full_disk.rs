//! A disk that fills up: nothing that was told is lost, and deletes work.

use nkudo_domain::ActionStatus;
use nkudo_executor::has_reserve;
use nkudo_journal::{Disk as _, SimulatedDisk};
use nkudo_tracker::{Admission, Tracker};

use crate::world::{World, after_power_loss, create, delete};

/// Far more room than the ballast and everything else take.
const ROOM: u64 = 64 << 20;

#[tokio::test]
async fn a_vm_is_deleted_on_a_disk_without_a_free_byte() {
    let world = World::on(SimulatedDisk::new()).await;
    let made = create(1);
    world.handle.submit(made.clone()).await.unwrap();
    assert_eq!(world.handle.wait(&made.action_id).await.unwrap().unwrap().status, ActionStatus::Success);
    world.disk.set_capacity(world.disk.used_bytes());
    let before = world.ballast_bytes();
    assert!(before > 0);

    let delete = delete(&made);
    assert_eq!(world.handle.submit(delete.clone()).await, Ok(Admission::New));
    let view = world.handle.wait(&delete.action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Success, "{view:?}");
    assert_eq!(world.ballast_bytes(), 0, "the room came from the ballast");
    let known = after_power_loss(&world.disk, &world.journal());
    assert!(known.action(&delete.action_id).unwrap().has_ended(), "and the outcome is durable");

    // With room again the ballast is taken back by what is written next.
    world.disk.set_capacity(ROOM);
    for number in 2.. {
        let next = create(number);
        world.handle.submit(next.clone()).await.unwrap();
        world.handle.wait(&next.action_id).await.unwrap();
        if world.ballast_bytes() == before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[test]
fn a_state_directory_has_a_reserve_while_its_ballast_holds_room() {
    let dir = tempfile::tempdir().unwrap();
    let ballast = dir.path().join("journal.ballast");
    assert!(!has_reserve(dir.path()), "before the first start");
    for (bytes, expected) in [("room", true), ("", false)] {
        std::fs::write(&ballast, bytes).unwrap();
        assert_eq!(has_reserve(dir.path()), expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_damaged_journal_on_a_full_disk_opens_with_the_room_of_the_ballast() {
    let world = World::on(SimulatedDisk::new()).await;
    let made = create(1);
    world.handle.submit(made.clone()).await.unwrap();
    world.handle.wait(&made.action_id).await.unwrap();
    let world = world
        .after_damage(|disk, journal| {
            let name = disk.list(journal).unwrap().into_iter().rfind(|name| name.ends_with(".seg")).unwrap();
            let segment = journal.join(name);
            let length = disk.length(&segment).unwrap();
            disk.truncate(&segment, length - 1).unwrap();
            disk.set_capacity(disk.used_bytes());
        })
        .await;
    assert_eq!(world.ballast_bytes(), 0);
    assert_eq!(world.handle.look(|tracker: &Tracker| tracker.vms().count()).await, Ok(1));
}

/// Without a ballast the disk fills up in the middle of a write, at each byte of it.
#[tokio::test]
async fn a_disk_that_fills_up_in_each_write_loses_nothing_that_was_told() {
    let (mut refused, mut ended) = (0, 0);
    for room in (0..4_000).step_by(151) {
        let disk = SimulatedDisk::new();
        // Room for nothing but a start: the ballast holds nothing.
        disk.set_capacity(200_000);
        let mut world = World::on(disk).await;
        assert_eq!(world.ballast_bytes(), 0);
        world.disk.set_capacity(world.disk.used_bytes() + room);
        let action = create(1);
        let admitted = world.handle.submit(action.clone()).await;
        let told = match admitted {
            Ok(admission) => {
                assert_eq!(admission, Admission::New, "{room} bytes");
                // An executor that cannot write ends; the daemon would start it again.
                tokio::select! {
                    told = world.handle.wait(&action.action_id) => told.ok().flatten(),
                    _ = world.run.join_next() => None,
                }
            }
            Err(_) => None,
        };
        refused += u32::from(admitted.is_err());
        ended += u32::from(told.is_some());
        let known = after_power_loss(&world.disk, &world.journal());
        if admitted.is_ok() {
            assert!(known.action(&action.action_id).is_some(), "{room} bytes: its admission is lost");
        }
        if let Some(view) = told {
            assert_eq!(view.status, ActionStatus::Success, "{room} bytes: {view:?}");
            assert!(known.action(&action.action_id).unwrap().has_ended(), "{room} bytes: its end is lost");
        }
        // With room the next one goes on from there.
        let world = world.after_damage(|disk, _| disk.set_capacity(ROOM)).await;
        world.handle.submit(action.clone()).await.unwrap();
        let view = world.handle.wait(&action.action_id).await.unwrap().unwrap();
        assert_eq!(view.status, ActionStatus::Success, "{room} bytes: {view:?}");
    }
    assert!(refused > 3 && ended > 3, "{refused} refused, {ended} ended: the disk filled up everywhere");
}
