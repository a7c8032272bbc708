//! Nothing is done before its intent is durable, nothing told before its outcome is. [`World`] asserts it at every
//! effect of every test; here each gate is held shut in turn.

use nkudo_domain::Deed;
use nkudo_tracker::{Admission, Input, Phase};

use crate::asking::{create, pause};
use crate::world::{World, success};

#[test]
fn each_step_waits_for_its_record() {
    let mut world = World::new();
    let ticket = world.submit("one", create(1));
    assert_eq!(world.admissions.get(&ticket), None, "not answered before it is durable");
    assert_eq!(world.performed, []);

    // The first record, the admission, is durable; the second, the intent, is not.
    assert_eq!(world.journal.len(), 2);
    world.durable = 1;
    world.step(Input::Persisted(1));
    assert_eq!(world.admissions.get(&ticket), Some(&Admission::New));
    assert_eq!(world.performed, [], "no deed before its intent is durable");

    world.sync();
    assert_eq!(world.deeds_of("one"), [Deed::Create]);
    assert!(world.end_deed());
    assert_eq!(world.journal.len(), 3);
    assert!(world.told.is_empty(), "no report before the outcome is durable");
    assert_eq!(world.outcome("one"), None);
    assert!(matches!(world.phase("one"), Phase::Concluding { .. }));
    let running = world.tracker.executions().next().unwrap();
    assert_eq!((running.status.as_str(), running.completed_at_ms), ("running", None), "nor in the views");

    world.sync();
    assert_eq!(world.told[0].outcome, success(true));
    assert_eq!(world.execution("one").status.as_str(), "success");
}

#[test]
fn the_lane_goes_on_after_the_durable_outcome() {
    let mut world = World::new();
    world.ask("one", create(1));
    world.submit("two", pause(1));
    world.submit("three", pause(1));
    world.sync();
    assert!(world.end_deed());
    assert!(matches!(world.phase("two"), Phase::Concluding { .. }));
    assert_eq!(world.phase("three"), &Phase::Queued);
    let written = world.journal.len();
    world.step(Input::Tick);
    assert_eq!(world.journal.len(), written, "nothing begins meanwhile");
    world.run();
    assert_eq!(world.outcome("three"), Some(&success(false)));
}

#[test]
fn a_repetition_is_answered_when_the_first_is_durable() {
    let mut world = World::new();
    world.submit("one", create(1));
    let again = world.submit("one", create(1));
    assert_eq!(world.admissions.get(&again), None);
    world.sync();
    assert_eq!(world.admissions.get(&again), Some(&Admission::Repeated));
}

#[test]
fn a_cancellation_in_the_lane_is_told_when_it_is_durable() {
    let mut world = World::new();
    world.submit("one", create(1));
    world.submit("two", pause(1));
    world.cancel("two");
    assert!(world.told.is_empty());
    world.sync();
    assert_eq!(world.told.len(), 1);
}
