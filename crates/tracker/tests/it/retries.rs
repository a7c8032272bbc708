//! What is tried again, how often, and what is taken back.

use std::time::Duration;

use nkudo_domain::{Action, Deed, Request, VmState};
use nkudo_tracker::{Config, Input, Phase};

use crate::asking::{action, create, create_stopped, delete, pause, start};
use crate::provider::{Fate, Part};
use crate::world::{World, failure, success};

const UNLUCKY: &str = "the host is out of luck";

fn fails(transient: bool) -> Fate {
    Fate::Fails { transient, left: Part::Half }
}

/// A create whose deeds have these fates comes to this many attempts and retries.
#[track_caller]
fn check(fates: &[Fate], creates: usize, retries: u32, succeeds: bool) {
    let mut world = World::new();
    world.fate(Deed::Create, fates.iter().copied());
    world.ask("one", create(1));
    world.drain();
    let expected = if succeeds { success(true) } else { failure(UNLUCKY) };
    assert_eq!(world.outcome("one"), Some(&expected), "{fates:?}");
    let begun = world.deeds_of("one").iter().filter(|deed| **deed == Deed::Create).count();
    assert_eq!((begun, world.execution("one").retries), (creates, retries), "{fates:?}");
    assert_eq!(world.state(1), succeeds.then_some(VmState::Running), "{fates:?}");
    world.check_vms();
}

#[test]
fn only_transient_failures_are_retried_and_not_for_ever() {
    check(&[], 1, 0, true);
    check(&[fails(true)], 2, 1, true);
    check(&[fails(true), fails(true)], 3, 2, true);
    check(&[fails(true), fails(true), fails(true)], 3, 2, false);
    check(&[fails(false)], 1, 0, false);
    check(&[fails(true), fails(false)], 2, 1, false);
}

/// A retry that would come too late is not waited for, and the error is the provider's.
#[test]
fn no_retry_past_the_deadline() {
    for (timeout_ms, retried) in [(200, false), (201, true)] {
        let mut world = World::new();
        world.fate(Deed::Create, [fails(true)]);
        let timeout = Duration::from_millis(timeout_ms);
        world.submit_action(Action { timeout, ..action("one", create(1)) });
        world.drain();
        let expected = if retried { success(true) } else { failure(UNLUCKY) };
        assert_eq!(world.outcome("one"), Some(&expected), "{timeout_ms} ms");
        world.check_vms();
    }
}

#[test]
fn a_failed_create_can_be_asked_for_again() {
    let mut world = World::new();
    world.fate(Deed::Create, [fails(false)]);
    world.ask("one", create(1));
    assert_eq!(world.deeds_of("one"), [Deed::Create, Deed::Delete]);
    assert!(world.provider.vms.is_empty());
    world.ask("two", create(1));
    assert_eq!(world.outcome("two"), Some(&success(true)));
    world.check_vms();
}

#[test]
fn the_delay_doubles_and_jitter_spreads_it() {
    let mut world = World::with(Config { attempts_max: 4, ..Config::default() });
    world.jitter_permille = 250;
    world.fate(Deed::Create, [fails(true); 3]);
    world.ask("one", create(1));
    for delay_ms in [250, 500, 1_000] {
        let until_ms = world.now.boottime_ms + delay_ms;
        assert_eq!(world.phase("one"), &Phase::Waiting { until_ms });
        world.advance(delay_ms - 1);
        assert_eq!(world.phase("one"), &Phase::Waiting { until_ms }, "not a moment too early");
        world.advance(1);
        world.run();
    }
    assert_eq!(world.outcome("one"), Some(&success(true)));
}

#[test]
fn nothing_is_retried_while_the_program_ends() {
    let mut world = World::new();
    world.fate(Deed::Create, [fails(true)]);
    world.submit("one", create(1));
    world.submit("two", pause(1));
    world.sync();
    world.step(Input::Stop);
    world.run();
    assert_eq!(world.outcome("one"), Some(&failure(UNLUCKY)));
    assert_eq!(world.phase("two"), &Phase::Queued, "it waits for the next run");
    assert!(world.tracker.is_idle());
}

#[test]
fn a_failed_start_leaves_the_vm_as_it_was() {
    for (before, after) in [(create_stopped(1), VmState::Stopped), (create(1), VmState::Failed)] {
        let mut world = World::new();
        world.ask("make", before);
        world.die(1, crate::provider::killed());
        world.run();
        world.fate(Deed::Boot, [Fate::Fails { transient: false, left: Part::Nothing }]);
        world.ask("one", start(1));
        assert_eq!(world.outcome("one"), Some(&failure(UNLUCKY)));
        assert_eq!(world.state(1), Some(after));
        world.check_vms();
    }
}

/// Three times the remains of a create cannot be removed.
fn with_remains() -> World {
    let mut world = World::new();
    world.fate(Deed::Create, [fails(false)]);
    world.fate(Deed::Delete, [Fate::Fails { transient: false, left: Part::Nothing }; 3]);
    world.ask("one", create(1));
    let error = format!("{UNLUCKY}; what was begun could not be taken back: {UNLUCKY}");
    assert_eq!(world.outcome("one"), Some(&failure(&error)));
    assert_eq!(world.deeds_of("one"), [Deed::Create, Deed::Delete, Deed::Delete, Deed::Delete]);
    assert_eq!(world.state(1), Some(VmState::Failed));
    assert_eq!(world.reason(1), Some("its creation failed and could not be taken back"));
    world
}

/// The first answer to "create it again" was "unchanged", although the VM had never been made.
#[test]
fn remains_are_not_the_vm_that_was_asked_for() {
    let ways: [fn(&mut World); 2] = [
        |_| {},
        |world| {
            world.crash(false, Part::Nothing);
            world.recover();
        },
    ];
    for way in ways {
        let mut world = with_remains();
        way(&mut world);
        assert_eq!(world.state(1), Some(VmState::Failed));
        world.ask("again", create(1));
        assert_eq!(world.outcome("again"), Some(&success(true)));
        assert_eq!(world.state(1), Some(VmState::Running));
        world.check_vms();
        world.ask("and-again", create(1));
        assert_eq!(world.outcome("and-again"), Some(&success(false)));
    }
}

#[test]
fn remains_can_be_deleted_and_a_cancelled_second_try_removes_them() {
    let mut world = with_remains();
    world.ask("delete", delete(1));
    assert_eq!(world.outcome("delete"), Some(&success(true)));
    world.check_vms();

    let mut world = with_remains();
    world.submit("again", create(1));
    assert_eq!(world.phase("again"), &Phase::Intending);
    world.cancel("again");
    world.run();
    assert_eq!(world.deeds_of("again"), [Deed::Delete]);
    assert_eq!(world.state(1), None);
    world.check_vms();
}

/// The VM's process ends while an attempt is under way, when its notice does not count, and the action is cancelled
/// before the next attempt.
#[test]
fn a_death_between_attempts_is_not_overlooked() {
    let mut world = World::new();
    world.ask("make", create(1));
    world.fate(Deed::Pause, [Fate::Fails { transient: true, left: Part::Nothing }]);
    world.submit("one", Request::Pause(crate::asking::vm_id(1)));
    world.sync();
    world.die(1, crate::provider::killed());
    assert_eq!(world.state(1), Some(VmState::Running), "what is found after the deed decides");
    world.run();
    world.cancel("one");
    world.run();
    assert_eq!(world.state(1), Some(VmState::Failed));
    world.check_vms();
}

#[test]
fn a_delete_that_fails_after_all_was_gone_has_succeeded() {
    for transient in [true, false] {
        let mut world = World::new();
        world.ask("create", create(1));
        world.fate(Deed::Delete, [Fate::Fails { transient, left: Part::Whole }]);
        world.ask("delete", delete(1));
        assert_eq!(world.outcome("delete"), Some(&success(true)), "transient: {transient}");
        assert_eq!((world.gone.len(), world.state(1)), (1, None));
    }
}
