//! A journal that has lost records: what may have ended is told as unknown, once, and all goes on.

use std::path::Path;

use nkudo_domain::ActionStatus;
use nkudo_journal::{Disk as _, SimulatedDisk};
use nkudo_tracker::{Admission, Phase, Tracker};

use crate::world::{World, create, pause};

/// The only segment of a small journal.
fn segment(disk: &SimulatedDisk, journal: &Path) -> std::path::PathBuf {
    let name = disk.list(journal).unwrap().into_iter().rfind(|name| name.ends_with(".seg")).unwrap();
    journal.join(name)
}

/// Where each record of a segment begins, and where the last one ends.
fn records(disk: &SimulatedDisk, segment: &Path) -> Vec<u64> {
    let bytes = disk.read_at(segment, 0, u64::MAX).unwrap();
    let (mut at, mut begin) = (24, vec![24]);
    while at < bytes.len() {
        at += 16 + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        begin.push(at as u64);
    }
    begin
}

/// An executor on which a VM was created and paused, and that ended quietly.
async fn paused() -> World {
    let world = World::on(SimulatedDisk::new()).await;
    let made = create(1);
    for action in [made.clone(), pause(1, &made)] {
        assert_eq!(world.handle.submit(action.clone()).await, Ok(Admission::New));
        let view = world.handle.wait(&action.action_id).await.unwrap().unwrap();
        assert_eq!(view.status, ActionStatus::Success, "{view:?}");
    }
    let ended = r#""action_id":"pause-1""#;
    let told = || {
        world
            .state_file()
            .is_some_and(|file| file.contains(ended) && !file.contains(r#""completed_at":null"#))
    };
    while !told() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world
}

async fn outcome_of(world: &World, id: &str) -> Option<String> {
    let id = id.parse().unwrap();
    let outcome = move |tracker: &Tracker| match &tracker.action(&id)?.phase {
        Phase::Ended { outcome, .. } => Some(outcome.error().unwrap_or("success").to_owned()),
        _ => None,
    };
    world.handle.look(outcome).await.unwrap()
}

/// Each bit of the last records in turn would do; one in each record of the pause is enough to see the rule.
#[tokio::test]
async fn a_flipped_bit_costs_the_outcomes_behind_it_and_nothing_is_done_again() {
    for from_end in 1..=3 {
        let world = paused().await;
        let outbox_id = world.handle.look(|tracker| tracker.outbox().id.clone()).await.unwrap();
        let world = world
            .after_damage(|disk, journal| {
                let segment = segment(disk, journal);
                let begin = records(disk, &segment);
                let offset = begin[begin.len() - 1 - from_end] + 20;
                disk.flip_at(&nkudo_journal::Flipped { path: segment, offset, bit: 3 }).unwrap();
            })
            .await;
        let told = outcome_of(&world, "pause-1").await;
        let unknown = told.as_ref().is_some_and(|told| told.starts_with("interrupted, outcome unknown"));
        // Its admission is the third record from the end: without it nothing of it is known.
        assert!(
            if from_end == 3 { told.is_none() } else { unknown },
            "record {from_end} from the end: {told:?}"
        );
        assert_eq!(outcome_of(&world, "create-1").await.as_deref(), Some("success"));
        let other = world.handle.look(|tracker| tracker.outbox().id.clone()).await.unwrap();
        assert_ne!(other, outbox_id, "the numbers of lost results are not given again");
        // It is told once: the next start knows.
        let world = world.after_damage(|_, _| {}).await;
        assert_eq!(world.handle.look(|tracker| tracker.outbox().id.clone()).await.unwrap(), other);
        let again = outcome_of(&world, "pause-1").await;
        assert_eq!(again, told);
    }
}

/// No checksum shows it, but the state file tells of an end that is not there.
#[tokio::test]
async fn a_journal_that_ends_between_two_records_is_found_behind() {
    let world = paused().await;
    let outbox_id = world.handle.look(|tracker| tracker.outbox().id.clone()).await.unwrap();
    let world = world
        .after_damage(|disk, journal| {
            let segment = segment(disk, journal);
            let begin = records(disk, &segment);
            disk.truncate(&segment, begin[begin.len() - 2]).unwrap();
        })
        .await;
    let told = outcome_of(&world, "pause-1").await;
    assert!(told.as_ref().is_some_and(|told| told.starts_with("interrupted, outcome unknown")), "{told:?}");
    assert_ne!(world.handle.look(|tracker| tracker.outbox().id.clone()).await.unwrap(), outbox_id);
}
