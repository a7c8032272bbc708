//! An id is admitted once, over crashes and compactions too.

use std::time::Duration;

use nkudo_domain::{Action, Deed};
use nkudo_tracker::{Admission, Tracker};

use crate::asking::{action, create, create_stopped, delete, pause, start, stop};
use crate::provider::{Fate, Part};
use crate::world::{World, failure, observable, success};

#[track_caller]
fn check(world: &mut World, action: Action, expected: Admission) {
    let deeds = world.performed.len();
    let ticket = world.submit_action(action);
    world.run();
    assert_eq!(world.admissions[&ticket], expected);
    assert_eq!(world.performed.len(), deeds, "nothing is done for it");
}

fn check_repetitions(world: &mut World) {
    let other_timeout = Action { timeout: Duration::from_secs(1), ..action("one", create(1)) };
    let other_trace = Action { correlation_id: Some("another call".to_owned()), ..action("one", create(1)) };
    check(world, action("one", create(1)), Admission::Repeated);
    check(world, other_trace, Admission::Repeated);
    check(world, other_timeout, Admission::Conflict);
    check(world, action("one", create(2)), Admission::Conflict);
    check(world, action("one", pause(1)), Admission::Conflict);
    check(world, action("bad", pause(9)), Admission::Repeated);
    assert_eq!(world.outcome("one"), Some(&success(true)));
    assert_eq!(world.outcome("bad").map(|outcome| outcome.status().as_str()), Some("failure"));
}

#[test]
fn an_id_is_admitted_once() {
    let mut world = World::new();
    world.ask("one", create(1));
    world.ask("bad", pause(9));
    check_repetitions(&mut world);
    world.crash(false, Part::Nothing);
    world.recover();
    check_repetitions(&mut world);
    world.journal = world.tracker.snapshot();
    world.crash(true, Part::Nothing);
    world.recover();
    check_repetitions(&mut world);
    assert_eq!(world.provider.creates, 1);
}

#[test]
fn what_was_not_durable_was_never_asked() {
    let mut world = World::new();
    world.submit("one", create(1));
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(world.tracker.actions().count(), 0);
    let ticket = world.submit("one", create(1));
    world.run();
    assert_eq!(world.admissions[&ticket], Admission::New);
}

/// A world with something of everything that can be at rest.
fn eventful() -> World {
    let mut world =
        World::with(nkudo_tracker::Config { history_max: 4, parallel_max: 1, ..Default::default() });
    world.ask("a", create(1));
    world.ask("b", create_stopped(2));
    world.ask("c", pause(1));
    world.ask("d", pause(2));
    world.fate(Deed::Create, [Fate::Fails { transient: false, left: Part::Half }]);
    world.ask("e", create(3));
    world.ask("f", start(2));
    world.ask("g", delete(2));
    world.ask("h", stop(1));
    world.submit("i", start(1));
    world.cancel("i");
    world.run();
    world
}

#[test]
fn records_and_snapshots_give_the_state_back() {
    let world = eventful();
    assert!(world.tracker.is_idle());
    let here = observable(&world.tracker);
    let replayed = Tracker::replay(world.config.clone(), world.journal.clone());
    assert_eq!(observable(&replayed), here);
    let compacted = Tracker::replay(world.config.clone(), world.tracker.snapshot());
    assert_eq!(observable(&compacted), here);
    assert_eq!(compacted.snapshot(), world.tracker.snapshot());
}

#[test]
fn a_snapshot_keeps_executions_whose_results_are_forgotten() {
    let mut world = World::with(nkudo_tracker::Config { results_keep_ms: 1_000, ..Default::default() });
    world.ask("a", create(1));
    world.ask("b", pause(9));
    world.advance(1_000);
    world.ask("c", pause(1));
    assert_eq!(world.tracker.actions().count(), 1);
    assert_eq!(world.tracker.executions().count(), 3);
    let compacted = Tracker::replay(world.config.clone(), world.tracker.snapshot());
    assert_eq!(observable(&compacted), observable(&world.tracker));
}

#[test]
fn a_wall_clock_that_is_set_forward_forgets_no_result() {
    let mut world = World::with(nkudo_tracker::Config { results_keep_ms: 1_000, ..Default::default() });
    world.ask("a", create(1));
    world.now.wall_ms += 1_000_000_000;
    world.ask("b", pause(1));
    assert_eq!(world.tracker.actions().count(), 2, "it ended a moment ago");
    world.advance(1_000);
    world.ask("c", pause(9));
    assert_eq!(world.tracker.actions().count(), 1, "both have become old by now");
}

/// A snapshot is taken while actions may wait, when the program is about to end.
#[test]
fn a_snapshot_keeps_the_order_of_what_waits() {
    let mut world = World::with(nkudo_tracker::Config { parallel_max: 1, ..Default::default() });
    world.ask("make", create(1));
    world.step(nkudo_tracker::Input::Stop);
    let journal = {
        let mut waiting = World::with(world.config.clone());
        waiting.submit("two", create(2));
        waiting.submit("one", create(1));
        waiting.submit("again", pause(1));
        waiting.journal.retain(|record| matches!(record, nkudo_tracker::Record::Accepted { .. }));
        waiting.journal
    };
    let tracker = Tracker::replay(world.config.clone(), journal.clone());
    let accepted: Vec<_> = tracker
        .snapshot()
        .into_iter()
        .filter(|r| matches!(r, nkudo_tracker::Record::Accepted { .. }))
        .collect();
    assert_eq!(accepted, journal);
}

#[test]
fn the_deadline_of_what_waits_outlives_a_crash() {
    let mut world = World::new();
    world.fate(Deed::Create, [Fate::Hangs, Fate::Hangs]);
    world.ask("one", create(1));
    let wake = world.tracker.next_wake();
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(world.tracker.next_wake(), wake);
    assert_eq!(world.execution("one").retries, 1, "the crash cost an attempt");
    world.advance(120_000);
    world.run();
    assert_eq!(world.outcome("one"), Some(&failure("timed out after 120 s")));
}
