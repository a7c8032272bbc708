//! Steps of actions on record: what waits for them, and what there is room for.

use std::sync::{Arc, Condvar, Mutex};

use nkudo_domain::{Action, ActionId, AskedBy};
use nkudo_executor::{OnRecord, Room, Step, Witness, Witnessed};
use nkudo_journal::SimulatedDisk;
use nkudo_tracker::Admission;

use crate::world::{World, after_power_loss, create, delete, pause};

/// Puts steps on record in memory, and holds those that wait for it until they are let go.
#[derive(Debug)]
struct Memory {
    room: Mutex<Room>,
    steps: Mutex<Vec<Witnessed>>,
    outlived: Mutex<Option<ActionId>>,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Memory {
    fn new(known: Vec<Witnessed>) -> Arc<Self> {
        Arc::new(Self {
            room: Mutex::new(Room::Free),
            steps: Mutex::new(known),
            outlived: Mutex::default(),
            held: Arc::default(),
        })
    }

    fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }

    fn steps(&self) -> Vec<Witnessed> {
        self.steps.lock().unwrap().clone()
    }

    /// What was done, by whom it was asked for.
    fn told(&self) -> Vec<(String, &'static str, AskedBy)> {
        let word = |step: &Step| match step {
            Step::Accepted => "accepted",
            Step::Started => "started",
            Step::Ended { .. } => "ended",
        };
        let told = |step: Witnessed| (step.action_id.to_string(), word(&step.step), step.asked_by);
        self.steps().into_iter().map(told).collect()
    }
}

/// Lets go also when a test fails, so that it ends.
struct LetGo<'m>(&'m Memory);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.hold(false);
    }
}

impl Witness for Memory {
    fn room(&self) -> Room {
        *self.room.lock().unwrap()
    }

    fn witness(&self, steps: Vec<Witnessed>) -> OnRecord {
        self.steps.lock().unwrap().extend(steps);
        let held = Arc::clone(&self.held);
        Box::new(move || drop(held.1.wait_while(held.0.lock().unwrap(), |held| *held).unwrap()))
    }

    fn missing(&self, steps: &mut dyn Iterator<Item = Witnessed>) -> Vec<Witnessed> {
        let known = self.steps();
        steps.filter(|step| !known.contains(step)).collect()
    }

    fn outlived(&self, action_id: &ActionId) -> bool {
        self.outlived.lock().unwrap().as_ref() == Some(action_id)
    }
}

#[tokio::test]
async fn an_action_is_on_record_before_anybody_hears_of_it_and_before_it_is_begun() {
    let memory = Memory::new(Vec::new());
    let world = World::witnessed(SimulatedDisk::new(), memory.clone()).await;
    memory.hold(true);
    let mut action = create(1);
    action.asked_by = AskedBy::LocalSocket;
    let action_id = action.action_id.clone();
    let mut answer = Box::pin(world.handle.submit_later(action).await.unwrap());
    while memory.steps().is_empty() {
        tokio::task::yield_now().await;
    }
    let _let_go = LetGo(&memory);
    // The journal is durable, and the record is not.
    while after_power_loss(&world.disk, &world.journal()).action(&action_id).is_none() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        assert!(futures_util::FutureExt::now_or_never(&mut answer).is_none());
        world.handle.look(|_| ()).await.unwrap();
    }
    // Its start may have been written with it.
    assert!(memory.told().iter().all(|(_, word, _)| *word != "ended"), "{:?}", memory.told());
    memory.hold(false);
    assert_eq!(answer.await.unwrap(), Admission::New);
    world.handle.wait(&action_id).await.unwrap().unwrap();
    let id = action_id.to_string();
    let by = AskedBy::LocalSocket;
    let expected = ["accepted", "started", "ended"].map(|word| (id.clone(), word, by));
    assert_eq!(memory.told(), expected);
}

#[tokio::test]
async fn without_room_nothing_is_taken_in_and_in_the_reserve_only_deletes() {
    let memory = Memory::new(Vec::new());
    let world = World::witnessed(SimulatedDisk::new(), memory.clone()).await;
    let first = create(1);
    world.handle.submit(first.clone()).await.unwrap();
    world.handle.wait(&first.action_id).await.unwrap();
    *memory.room.lock().unwrap() = Room::ForDeletes;
    let admitted = |action| world.handle.submit(action);
    assert_eq!(admitted(pause(1, &first)).await.unwrap(), Admission::AuditFull);
    assert_eq!(admitted(first.clone()).await.unwrap(), Admission::Repeated, "what is known is answered");
    let end = delete(&first);
    assert_eq!(admitted(end.clone()).await.unwrap(), Admission::New);
    world.handle.wait(&end.action_id).await.unwrap();
    *memory.room.lock().unwrap() = Room::None;
    assert_eq!(admitted(create(2)).await.unwrap(), Admission::AuditFull);
    let other = Action { action_id: "another-delete".parse().unwrap(), ..delete(&create(3)) };
    assert_eq!(admitted(other.clone()).await.unwrap(), Admission::AuditFull);
    *memory.room.lock().unwrap() = Room::Broken;
    assert_eq!(admitted(other).await.unwrap(), Admission::AuditBroken);
}

#[tokio::test]
async fn what_was_begun_by_lost_records_is_not_begun_again() {
    let memory = Memory::new(Vec::new());
    let world = World::witnessed(SimulatedDisk::new(), memory.clone()).await;
    let lost = create(1);
    *memory.outlived.lock().unwrap() = Some(lost.action_id.clone());
    assert_eq!(world.handle.submit(lost.clone()).await.unwrap(), Admission::RecordLost);
    assert_eq!(memory.told(), [], "nothing of it is on record again");
    *memory.outlived.lock().unwrap() = None;
    assert_eq!(world.handle.submit(lost.clone()).await.unwrap(), Admission::New);
    world.handle.wait(&lost.action_id).await.unwrap();
    *memory.outlived.lock().unwrap() = Some(lost.action_id.clone());
    assert_eq!(world.handle.submit(lost).await.unwrap(), Admission::Repeated, "what is known is answered");
}

#[tokio::test]
async fn what_a_crash_left_in_the_journal_only_is_put_on_record_by_the_next_start() {
    let memory = Memory::new(Vec::new());
    let mut world = World::witnessed(SimulatedDisk::new(), memory.clone()).await;
    let actions = [create(1), create(2)];
    for action in &actions {
        world.handle.submit(action.clone()).await.unwrap();
        world.handle.wait(&action.action_id).await.unwrap();
    }
    let all = memory.steps();
    assert_eq!(all.len(), 6);
    for lost in 0..all.len() {
        let mut known = all.clone();
        let missing = known.remove(lost);
        let memory = Memory::new(known);
        world = world.after_crash_witnessed(Some(memory.clone())).await;
        // The journal's thread takes steps in their order: once an admission is answered, those before it are taken.
        world.handle.submit(create(10 + u32::try_from(lost).unwrap())).await.unwrap();
        assert!(memory.steps().contains(&missing), "{missing:?}");
    }
}
