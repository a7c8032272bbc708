//! Deadlines count from admission, wherever they find an action.

use std::time::Duration;

use nkudo_domain::{Action, Deed, Outcome, VmState};
use nkudo_tracker::{Config, Input, Phase};

use crate::asking::{action, create, create_stopped, pause, resume, start};
use crate::provider::{Fate, Part};
use crate::world::{World, failure, success};

fn within(seconds: u64, action: Action) -> Action {
    Action { timeout: Duration::from_secs(seconds), ..action }
}

#[test]
fn in_the_lane() {
    let mut world = World::new();
    world.ask("make", create(1));
    world.fate(Deed::Pause, [Fate::Hangs]);
    world.ask("hangs", pause(1));
    let admitted_ms = world.now.boottime_ms;
    world.submit_action(within(5, action("waits", resume(1))));
    world.run();
    assert_eq!(world.tracker.next_wake(), Some(admitted_ms + 5_000));
    world.advance(4_999);
    assert_eq!(world.phase("waits"), &Phase::Queued);
    world.advance(1);
    world.run();
    assert_eq!(world.outcome("waits"), Some(&failure("timed out before it started")));
    assert_eq!(world.tracker.action(&"waits".parse().unwrap()).unwrap().execution, None);
    assert_eq!(world.told.last().unwrap().execution, None);
    assert!(matches!(world.phase("hangs"), Phase::Running { interrupted: None }), "the other one goes on");
    assert_eq!(world.tracker.next_wake(), Some(admitted_ms + 30_000), "the deadline of the one that hangs");
}

fn start_within(seconds: u64, action: Action) -> Action {
    Action { start_within: Some(Duration::from_secs(seconds)), ..action }
}

/// What the control plane says counts from admission too, also across restarts; what has begun by then goes on.
#[test]
fn what_is_too_old_when_its_turn_comes_expires() {
    for (crashes, boots) in [(false, false), (true, false), (true, true)] {
        let mut world = World::with(Config { boot: 1, ..Config::default() });
        world.ask("make", create(1));
        world.fate(Deed::Pause, [Fate::Hangs, Fate::Hangs]);
        world.submit_action(start_within(3, action("hangs", pause(1))));
        world.run();
        let admitted_ms = world.now.boottime_ms;
        world.submit_action(start_within(3, action("waits", resume(1))));
        world.submit_action(start_within(60, action("later", resume(1))));
        world.run();
        assert_eq!(world.tracker.next_wake(), Some(admitted_ms + 3_000));
        if crashes {
            world.now.wall_ms += 1_000;
            world.now.boottime_ms += 1_000;
            world.crash(true, Part::Nothing);
            if boots {
                world.reboot();
            }
            world.recover();
        }
        world.advance(3_000);
        world.run();
        assert_eq!(world.outcome("waits"), Some(&Outcome::Expired), "crashes {crashes}, boots {boots}");
        assert_eq!(world.deeds_of("waits"), []);
        assert_eq!(world.tracker.action(&"waits".parse().unwrap()).unwrap().execution, None);
        let hangs = world.outcome("hangs").cloned();
        assert_ne!(hangs, Some(Outcome::Expired), "it had begun: crashes {crashes}, boots {boots}");
        assert_eq!(world.outcome("later").is_some(), hangs.is_some(), "crashes {crashes}, boots {boots}");
    }
    // No tick came in between.
    let mut world = World::with(Config { parallel_max: 1, ..Config::default() });
    world.fate(Deed::Create, [Fate::Hangs]);
    world.ask("hangs", create(1));
    world.submit_action(start_within(5, action("waits", create(2))));
    world.cancel("hangs");
    world.now.boottime_ms += 6_000;
    world.run();
    assert_eq!(world.outcome("waits"), Some(&Outcome::Expired));
    // The earlier of both ends it.
    world.fate(Deed::Create, [Fate::Hangs]);
    world.ask("hangs-too", create(3));
    world.submit_action(within(4, start_within(5, action("timed-out", create(4)))));
    world.advance(6_000);
    world.run();
    assert_eq!(world.outcome("timed-out"), Some(&failure("timed out before it started")));
}

/// No tick came in between, as when the host slept.
#[test]
fn in_the_lane_when_its_turn_comes_too_late() {
    let mut world = World::with(Config { parallel_max: 1, ..Config::default() });
    world.fate(Deed::Create, [Fate::Hangs]);
    world.ask("hangs", create(1));
    world.submit_action(within(5, action("waits", create(2))));
    world.cancel("hangs");
    world.now.boottime_ms += 6_000;
    world.run();
    assert_eq!(world.outcome("waits"), Some(&failure("timed out before it started")));
    assert_eq!(world.deeds_of("waits"), []);
}

#[test]
fn while_the_intent_is_written() {
    let mut world = World::new();
    world.submit_action(within(5, action("slow-disk", create(1))));
    world.now.boottime_ms += 5_000;
    world.run();
    assert_eq!(world.outcome("slow-disk"), Some(&failure("timed out after 5 s")));
    assert_eq!(world.performed, []);
    assert_eq!(world.state(1), None);
}

#[test]
fn while_it_runs() {
    // What is interrupted, what was done of it by then, and what the VM is after.
    let cases = [
        (Deed::Create, Part::Nothing, None),
        (Deed::Create, Part::Half, None),
        (Deed::Create, Part::Whole, None),
        (Deed::Boot, Part::Nothing, Some(VmState::Stopped)),
        (Deed::Boot, Part::Half, Some(VmState::Stopped)),
        (Deed::Boot, Part::Whole, Some(VmState::Stopped)),
        (Deed::Pause, Part::Nothing, Some(VmState::Running)),
        (Deed::Pause, Part::Whole, Some(VmState::Paused)),
    ];
    for (deed, part, after) in cases {
        let mut world = World::new();
        let request = match deed {
            Deed::Create => create(1),
            Deed::Boot => {
                world.ask("make", create_stopped(1));
                start(1)
            }
            _ => {
                world.ask("make", create(1));
                pause(1)
            }
        };
        world.fate(deed, [Fate::Hangs]);
        world.part = part;
        let admitted_ms = world.now.boottime_ms;
        world.submit_action(within(7, action("late", request)));
        world.run();
        assert_eq!(world.tracker.next_wake(), Some(admitted_ms + 7_000), "{deed:?}");
        world.advance(7_000);
        assert_eq!(world.interrupted.len(), 1, "{deed:?}");
        assert_eq!(world.tracker.next_wake(), None, "{deed:?}: it is interrupted once");
        world.run();
        assert_eq!(world.outcome("late"), Some(&failure("timed out after 7 s")), "{deed:?} {part:?}");
        assert_eq!(world.execution("late").duration_ms, Some(7_000));
        assert_eq!(world.state(1), after, "{deed:?} {part:?}");
        world.check_vms();
        world.drain();
        assert_eq!(world.state(1), after, "{deed:?} {part:?}: and it stays so");
    }
}

#[test]
fn while_it_waits_for_a_retry() {
    let mut world = World::with(Config { attempts_max: 10, ..Config::default() });
    world.jitter_permille = 500;
    world.fate(Deed::Create, [Fate::Fails { transient: true, left: Part::Half }; 2]);
    let admitted_ms = world.now.boottime_ms;
    world.submit_action(within(1, action("unlucky", create(1))));
    world.run();
    assert_eq!(world.phase("unlucky"), &Phase::Waiting { until_ms: admitted_ms + 300 });
    assert_eq!(world.tracker.next_wake(), Some(admitted_ms + 300));
    world.advance(300);
    world.run();
    assert_eq!(world.phase("unlucky"), &Phase::Waiting { until_ms: admitted_ms + 900 });
    // The host sleeps past both the next attempt and the deadline.
    world.advance(2_000);
    world.run();
    assert_eq!(world.outcome("unlucky"), Some(&failure("timed out after 1 s")));
    assert_eq!(world.deeds_of("unlucky"), [Deed::Create, Deed::Create, Deed::Delete]);
    assert_eq!(world.state(1), None);
    world.check_vms();
}

#[test]
fn a_deed_that_was_done_before_the_interruption_reached_it_succeeds() {
    let mut world = World::new();
    world.submit_action(within(5, action("close", create(1))));
    world.sync();
    let perform = world.deeds[0].clone();
    world.advance(5_000);
    assert_eq!(world.interrupted.len(), 1);
    world.provider.end(&perform.work, Fate::Done).unwrap();
    world.deeds.clear();
    let report = nkudo_tracker::DeedReport {
        result: Ok(()),
        observation: world.provider.observe(perform.work.spec.vm_id),
        usage: nkudo_domain::ResourceUsage::default(),
        jitter_permille: 0,
    };
    world.step(Input::DeedEnded { action_id: perform.action_id, attempt: 1, report });
    world.run();
    assert_eq!(world.outcome("close"), Some(&success(true)));
    world.check_vms();
}

/// Where the deadline of a waiting action falls after a restart of the program.
#[test]
fn over_a_restart() {
    // Another boot?, how long it was away, when it times out after it came back.
    let cases = [(false, 10_000, 110_000), (true, 10_000, 110_000), (false, 130_000, 0), (true, 130_000, 0)];
    for (reboot, away_ms, left_ms) in cases {
        let mut world = World::with(Config { parallel_max: 1, ..Config::default() });
        world.fate(Deed::Create, [Fate::Hangs, Fate::Hangs]);
        world.ask("runs", create(1));
        world.submit("waits", create(2));
        world.sync();
        world.crash(false, Part::Half);
        world.now.wall_ms += i64::try_from(away_ms).unwrap();
        world.now.boottime_ms += away_ms;
        if reboot {
            world.config.boot += 1;
            world.now.boottime_ms = 20_000;
            world.provider.set(crate::asking::vm_id(1), crate::provider::killed_by_reboot());
        }
        world.recover();
        if left_ms > 0 {
            assert_eq!(world.tracker.next_wake(), Some(world.now.boottime_ms + left_ms), "reboot {reboot}");
            world.advance(left_ms);
        }
        world.run();
        let context = format!("reboot {reboot}, away {away_ms} ms");
        assert_eq!(world.outcome("runs"), Some(&failure("timed out after 120 s")), "{context}");
        assert_eq!(world.outcome("waits"), Some(&failure("timed out before it started")), "{context}");
        assert_eq!(world.state(1), None, "{context}");
        world.check_vms();
    }
}
