//! Cancelling, wherever it finds an action.

use nkudo_domain::{Deed, Outcome, Request, VmState};
use nkudo_tracker::{CancelAnswer, Input, Phase};

use crate::asking::{create, create_stopped, pause, start, stop};
use crate::provider::{Fate, Part};
use crate::world::{World, success};

#[test]
fn answers() {
    let mut world = World::new();
    assert_eq!(world.cancel("nobody"), CancelAnswer::Unknown);
    world.submit("one", create(1));
    assert_eq!(world.cancel("one"), CancelAnswer::Cancelling);
    world.run();
    assert_eq!(world.cancel("one"), CancelAnswer::AlreadyEnded);
    assert_eq!(world.outcome("one"), Some(&Outcome::Cancelled));
}

#[test]
fn one_whose_outcome_is_written_has_ended() {
    let mut world = World::new();
    world.submit("one", create(1));
    world.sync();
    assert!(world.end_deed());
    assert!(matches!(world.phase("one"), Phase::Concluding { .. }));
    assert_eq!(world.cancel("one"), CancelAnswer::AlreadyEnded);
    world.run();
    assert_eq!(world.outcome("one"), Some(&success(true)));
}

#[test]
fn in_the_lane() {
    let mut world = World::new();
    world.fate(Deed::Create, [Fate::Hangs]);
    world.ask("runs", create(1));
    world.submit("waits", pause(1));
    world.cancel("waits");
    world.run();
    assert_eq!(world.outcome("waits"), Some(&Outcome::Cancelled));
    assert_eq!(world.told.last().unwrap().execution, None);
    assert!(matches!(world.phase("runs"), Phase::Running { interrupted: None }));
}

/// The action is cancelled between its intent and its deed: nothing is done, and nothing is left.
#[test]
fn while_the_intent_is_written() {
    let cases: [(Option<Request>, Request, Option<VmState>); 3] = [
        (None, create(1), None),
        (Some(create_stopped(1)), start(1), Some(VmState::Stopped)),
        (Some(create(1)), pause(1), Some(VmState::Running)),
    ];
    for (before, request, after) in cases {
        let mut world = World::new();
        if let Some(before) = before {
            world.ask("make", before);
        }
        world.submit("one", request.clone());
        assert_eq!(world.phase("one"), &Phase::Intending);
        world.cancel("one");
        world.run();
        assert_eq!(world.outcome("one"), Some(&Outcome::Cancelled), "{request:?}");
        assert_eq!(world.deeds_of("one"), [], "{request:?}");
        assert_eq!(world.state(1), after, "{request:?}");
        world.check_vms();
    }
}

/// A create that is cancelled, however far it was, leaves nothing and can be asked for again.
#[test]
fn a_running_create() {
    for part in [Part::Nothing, Part::Half, Part::Whole] {
        let mut world = World::new();
        world.part = part;
        world.fate(Deed::Create, [Fate::Hangs]);
        world.ask("one", create(1));
        world.cancel("one");
        world.cancel("one");
        assert_eq!(world.interrupted.len(), 1, "interrupted once");
        world.run();
        assert_eq!(world.outcome("one"), Some(&Outcome::Cancelled), "{part:?}");
        assert_eq!(world.state(1), None, "{part:?}");
        assert!(world.provider.vms.is_empty(), "{part:?}");
        world.ask("two", create(1));
        assert_eq!(world.outcome("two"), Some(&success(true)), "{part:?}");
    }
}

#[test]
fn while_it_waits_for_a_retry() {
    let cases: [(Option<Request>, Request, Deed, Option<VmState>); 3] = [
        (None, create(1), Deed::Create, None),
        (Some(create_stopped(1)), start(1), Deed::Boot, Some(VmState::Stopped)),
        (Some(create(1)), pause(1), Deed::Pause, Some(VmState::Running)),
    ];
    for (before, request, deed, after) in cases {
        let mut world = World::new();
        if let Some(before) = before {
            world.ask("make", before);
        }
        world.fate(deed, [Fate::Fails { transient: true, left: Part::Half }]);
        world.ask("one", request.clone());
        assert!(matches!(world.phase("one"), Phase::Waiting { .. }), "{request:?}");
        world.cancel("one");
        world.run();
        assert_eq!(world.outcome("one"), Some(&Outcome::Cancelled), "{request:?}");
        assert_eq!(world.state(1), after, "{request:?}");
        world.check_vms();
    }
}

/// What can be taken over stays as it was found; the outcome says that it was cancelled.
#[test]
fn a_running_stop() {
    for (part, after) in [(Part::Nothing, VmState::Running), (Part::Whole, VmState::Stopped)] {
        let mut world = World::new();
        world.ask("make", create(1));
        world.part = part;
        world.fate(Deed::PowerOff, [Fate::Hangs]);
        world.ask("one", stop(1));
        world.cancel("one");
        world.run();
        assert_eq!(world.outcome("one"), Some(&Outcome::Cancelled));
        assert_eq!((world.state(1), world.reason(1)), (Some(after), None));
        world.check_vms();
    }
}

#[test]
fn a_taking_back_is_not_interrupted() {
    let mut world = World::new();
    world.fate(Deed::Create, [Fate::Fails { transient: false, left: Part::Half }]);
    world.fate(Deed::Delete, [Fate::Hangs]);
    world.ask("one", create(1));
    assert!(matches!(world.phase("one"), Phase::TakingBack { .. }));
    world.cancel("one");
    world.step(Input::Tick);
    assert_eq!(world.interrupted, []);
}
