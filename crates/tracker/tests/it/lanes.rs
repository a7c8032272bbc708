//! One action at a time on a VM, in order; VMs side by side up to a bound; a delete overtakes.

use nkudo_domain::{Deed, Outcome, VmState};
use nkudo_tracker::{Config, Phase};

use crate::asking::{create, delete, pause, resume, start, stop, vm_id};
use crate::provider::{Fate, Part};
use crate::world::{World, success};

#[test]
fn a_lane_keeps_its_order() {
    let mut world = World::new();
    let requests = [create(1), pause(1), resume(1), stop(1), start(1), delete(1)];
    // A delete would overtake, so that it is asked for last.
    let (delete, before) = requests.split_last().unwrap();
    for (index, request) in before.iter().enumerate() {
        world.submit(&format!("a{index}"), request.clone());
    }
    assert_eq!(world.tracker.queue_depth(), 4);
    world.run();
    world.ask("a5", delete.clone());
    let ended: Vec<&str> = world.told.iter().map(|told| told.action_id.as_str()).collect();
    assert_eq!(ended, ["a0", "a1", "a2", "a3", "a4", "a5"]);
    assert!(world.told.iter().all(|told| told.outcome == success(true)));
    let deeds: Vec<Deed> = world.performed.iter().map(|(_, deed)| *deed).collect();
    assert_eq!(deeds, [Deed::Create, Deed::Pause, Deed::Resume, Deed::PowerOff, Deed::Boot, Deed::Delete]);
}

#[test]
fn vms_side_by_side_up_to_the_bound_the_earliest_first() {
    let mut world = World::with(Config { parallel_max: 2, ..Config::default() });
    world.fate(Deed::Create, [Fate::Hangs, Fate::Hangs]);
    // Later ids sort before earlier ones: the order is that of admission.
    for (id, n) in [("z", 4), ("y", 3), ("x", 2), ("w", 1)] {
        world.submit(id, create(n));
    }
    world.run();
    let begun = |world: &World| -> Vec<String> {
        world.performed.iter().map(|(action_id, _)| action_id.to_string()).collect()
    };
    assert_eq!(begun(&world), ["z", "y"]);
    assert_eq!(world.tracker.performing().count(), 2);
    assert_eq!(world.tracker.queue_depth(), 2);
    world.cancel("z");
    world.run();
    assert_eq!(begun(&world), ["z", "y", "x", "w"]);
    assert_eq!(world.deeds.len(), 1, "the other one hangs still");
}

#[test]
fn order_of_admission_survives_a_wall_clock_that_steps_back() {
    let mut world = World::with(Config { parallel_max: 1, ..Config::default() });
    world.fate(Deed::Create, [Fate::Hangs]);
    world.ask("first", create(1));
    world.submit("b", create(2));
    world.now.wall_ms -= 3_600_000;
    world.submit("a", create(3));
    world.cancel("first");
    world.run();
    let ended: Vec<&str> = world.told.iter().map(|told| told.action_id.as_str()).collect();
    assert_eq!(ended, ["first", "b", "a"]);
}

#[test]
fn a_delete_overtakes() {
    let mut world = World::new();
    world.fate(Deed::Pause, [Fate::Hangs]);
    world.ask("create", create(1));
    world.ask("running", pause(1));
    world.submit("waiting", resume(1));
    world.submit("waiting-too", stop(1));
    world.sync();
    world.submit("delete", delete(1));
    assert_eq!(world.interrupted.len(), 1);
    assert_eq!(world.deeds_of("delete"), [], "not before the running one ended");
    world.run();
    for id in ["running", "waiting", "waiting-too"] {
        assert_eq!(world.outcome(id), Some(&Outcome::Cancelled), "{id}");
    }
    for told in world.told.iter().filter(|told| told.action_id.as_str().starts_with("waiting")) {
        assert_eq!(told.execution, None, "it never started");
    }
    assert_eq!(world.outcome("delete"), Some(&success(true)));
    assert_eq!(world.state(1), None);
    assert_eq!(world.gone, [vm_id(1)]);
    world.check_vms();
}

#[test]
fn a_delete_overtakes_no_other_delete_and_nothing_after_it() {
    let mut world = World::new();
    world.ask("create", create(1));
    world.fate(Deed::Delete, [Fate::Hangs]);
    world.ask("first", delete(1));
    world.submit("second", delete(1));
    world.submit("create-again", create(1));
    world.run();
    assert_eq!(world.interrupted, []);
    assert!(matches!(world.phase("first"), Phase::Running { interrupted: None }));
    world.part = Part::Whole;
    world.cancel("first");
    world.run();
    assert_eq!(world.outcome("second"), Some(&success(false)));
    assert_eq!(world.outcome("create-again"), Some(&success(true)));
    assert_eq!(world.state(1), Some(VmState::Running));
    world.check_vms();
}

/// The delete was durable and what it cancelled was not.
#[test]
fn a_delete_overtakes_after_a_crash_too() {
    for part in [Part::Nothing, Part::Half, Part::Whole] {
        let mut world = World::new();
        world.fate(Deed::Create, [Fate::Hangs, Fate::Hangs]);
        world.ask("create", create(1));
        world.submit("waiting", pause(1));
        world.sync();
        world.submit("delete", delete(1));
        let cut =
            world.journal.iter().rposition(|record| format!("{record:?}").contains("Accepted")).unwrap();
        world.journal.truncate(cut + 1);
        world.crash(true, part);
        world.recover();
        world.end_hangs();
        world.ask("after", create(1));
        assert_eq!(world.outcome("waiting"), Some(&Outcome::Cancelled), "{part:?}");
        assert_eq!(world.outcome("after"), Some(&success(true)), "{part:?}");
        assert_eq!(world.ends_of(&"delete".parse().unwrap()), 1);
        world.check_vms();
    }
}
