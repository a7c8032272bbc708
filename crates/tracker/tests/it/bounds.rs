//! Everything has a limit.

use nkudo_domain::{ActionType, RestartPolicy};
use nkudo_tracker::{Admission, Config, Input};

use crate::asking::{create, create_restarting, create_stopped, delete, pause};
use crate::provider::killed;
use crate::world::{World, success};

#[test]
fn a_full_queue_refuses() {
    let mut world = World::with(Config { queue_max: 3, ..Config::default() });
    let tickets: Vec<_> = (1..=4).map(|n| world.submit(&format!("a{n}"), create(n))).collect();
    assert_eq!(world.admissions.get(&tickets[3]), Some(&Admission::QueueFull), "at once");
    world.run();
    let again = world.submit("a4", create(4));
    world.run();
    assert_eq!(world.admissions[&again], Admission::New);
    assert_eq!(world.outcome("a4"), Some(&success(true)));
}

#[test]
fn results_are_kept_and_then_make_room() {
    let mut world = World::with(Config { results_max: 2, results_keep_ms: 60_000, ..Config::default() });
    world.ask("a", create(1));
    world.ask("b", pause(1));
    let full = world.submit("c", pause(1));
    assert_eq!(world.admissions.get(&full), Some(&Admission::ResultsFull));
    let repeated = world.submit("a", create(1));
    assert_eq!(world.admissions.get(&repeated), Some(&Admission::Repeated), "known ids are answered still");
    world.advance(60_000);
    world.ask("c", pause(1));
    assert_eq!(world.outcome("c"), Some(&success(false)));
    assert_eq!(world.outcome("a"), None, "forgotten after its time");
}

/// A VM that keeps dying must not lock its operator out.
#[test]
fn restarts_make_room_for_operators() {
    let mut world = World::with(Config { results_max: 4, ..Config::default() });
    world.ask("a", create_restarting(1, RestartPolicy::Always));
    for _ in 0..6 {
        world.die(1, killed());
        world.drain();
    }
    world.ask("b", delete(1));
    assert_eq!(world.outcome("b"), Some(&success(true)));
    assert_eq!(
        world.outcome("a"),
        Some(&success(true)),
        "what an operator asked for is not forgotten for it"
    );
}

#[test]
fn no_admission_while_the_program_ends() {
    let mut world = World::new();
    world.ask("a", create(1));
    world.step(Input::Stop);
    let repeated = world.submit("a", create(1));
    let refused = world.submit("b", pause(1));
    assert_eq!(world.admissions.get(&repeated), Some(&Admission::Repeated));
    assert_eq!(world.admissions.get(&refused), Some(&Admission::Stopping));
}

#[test]
fn a_history_that_is_full_rolls_into_aggregates() {
    let mut world = World::with(Config { history_max: 3, ..Config::default() });
    for n in 1..=5 {
        world.ask(&format!("c{n}"), create_stopped(n));
        world.ask(&format!("p{n}"), pause(n));
    }
    let kept: Vec<&str> = world.tracker.executions().map(|e| e.action_id.as_str()).collect();
    assert_eq!(kept, ["p4", "c5", "p5"], "the newest, oldest first");
    let aggregates = world.tracker.aggregates();
    let creates = &aggregates[&ActionType::Create];
    assert_eq!((creates.success, creates.failure, creates.cancelled, creates.count()), (5, 0, 0, 5));
    let pauses = &aggregates[&ActionType::Pause];
    assert_eq!((pauses.success, pauses.failure), (0, 5));
}
