//! Restarts by policy, and what stands above them.

use std::collections::HashSet;

use nkudo_domain::{Deed, Exit, Observation, Request, RestartPolicy, VmState};
use nkudo_tracker::{Config, Input, Lost, Phase, Record};

use crate::asking::{create, create_restarting, delete, pause, start, stop, vm_id};
use crate::provider::{Fate, Part, killed};
use crate::vms::running;
use crate::world::{World, failure};

#[test]
fn restarts_in_a_row_wait_longer_and_calm_forgives() {
    let mut world = running(RestartPolicy::Always);
    for delay_ms in [1_000, 2_000, 4_000] {
        world.die(1, killed());
        world.run();
        assert_eq!(world.tracker.next_wake(), Some(world.now.boottime_ms + delay_ms));
        world.drain();
        assert_eq!(world.state(1), Some(VmState::Running));
    }
    world.advance(600_001);
    world.die(1, killed());
    world.run();
    assert_eq!(world.tracker.next_wake(), Some(world.now.boottime_ms + 1_000));
    world.drain();
    let restarts: Vec<&str> = world
        .told
        .iter()
        .map(|told| told.action_id.as_str())
        .filter(|id| id.starts_with("restart:"))
        .collect();
    assert_eq!(restarts.len(), 4, "each with its own id: {restarts:?}");
    let traces: HashSet<_> = world
        .tracker
        .actions()
        .filter(|tracked| tracked.action.action_id.as_str().starts_with("restart:"))
        .map(|tracked| (tracked.action.trace_id.expect("a restart has a trace"), tracked.execution.as_ref()))
        .map(|(trace_id, execution)| {
            assert_eq!(execution.and_then(|execution| execution.trace_id), Some(trace_id));
            trace_id
        })
        .collect();
    assert_eq!(traces.len(), 4, "each with its own trace");
    assert_eq!(world.tracker.vm(vm_id(1)).unwrap().restarts, 4);
}

/// A restart that failed was the last one.
#[test]
fn a_restart_that_fails_is_tried_again() {
    let mut world = running(RestartPolicy::OnFailure);
    world.fate(Deed::Boot, [Fate::Fails { transient: false, left: Part::Half }; 2]);
    world.die(1, killed());
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Running));
    assert_eq!(world.tracker.vm(vm_id(1)).unwrap().restarts, 3);
    world.check_vms();
}

#[test]
fn a_restarted_vm_that_ends_at_once_is_restarted_again() {
    let mut world = running(RestartPolicy::Always);
    world.die(1, killed());
    world.run();
    world.advance(1_000);
    world.sync();
    // The boot succeeds and the guest is gone before the look after it.
    assert_eq!(world.deeds.len(), 1);
    let deed = world.deeds.pop_front().unwrap();
    world.provider.set(vm_id(1), Observation::Stopped(Some(killed())));
    let report = nkudo_tracker::DeedReport {
        result: Ok(()),
        observation: Observation::Stopped(Some(killed())),
        usage: nkudo_domain::ResourceUsage::default(),
        jitter_permille: 0,
    };
    world.step(Input::DeedEnded { action_id: deed.action_id, attempt: 1, report });
    world.run();
    assert_eq!(world.state(1), Some(VmState::Failed));
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Running));
    assert_eq!(world.tracker.vm(vm_id(1)).unwrap().restarts, 2);
}

/// What an operator asks for while a restart is due, and whether it is still due then.
#[test]
fn an_operator_stands_above_the_restart_policy() {
    let cases: [(Request, bool, Option<VmState>); 5] = [
        (stop(1), false, Some(VmState::Stopped)),
        (start(1), false, Some(VmState::Running)),
        (delete(1), false, None),
        // What is refused or unchanged asked for nothing that a restart would spoil.
        (pause(1), true, Some(VmState::Running)),
        (create_restarting(1, RestartPolicy::Always), true, Some(VmState::Running)),
    ];
    for exit in [killed(), Exit::GuestPoweredOff] {
        for (request, due, after) in &cases {
            let mut world = running(RestartPolicy::Always);
            world.die(1, exit.clone());
            world.ask("asked", request.clone());
            assert_eq!(world.tracker.next_wake().is_some(), *due, "{request:?} after {exit:?}");
            // Nor does the restart come back with the program.
            world.crash(false, Part::Nothing);
            world.recover();
            world.drain();
            assert_eq!(world.state(1), *after, "{request:?} after {exit:?}");
            world.check_vms();
        }
    }
}

#[test]
fn a_cancelled_restart_stays_cancelled() {
    let mut world = World::with(Config { parallel_max: 1, ..Default::default() });
    world.ask("make", create_restarting(1, RestartPolicy::Always));
    world.fate(Deed::Create, [Fate::Hangs]);
    world.ask("hangs", create(2));
    world.die(1, killed());
    world.run();
    world.advance(1_000);
    world.run();
    let restart = format!("restart:{}:1", vm_id(1));
    assert_eq!(world.phase(&restart), &Phase::Queued);
    world.cancel(&restart);
    world.cancel("hangs");
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Failed));
    world.crash(false, Part::Nothing);
    world.recover();
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Failed));
}

#[test]
fn a_restart_that_never_got_its_turn_is_wanted_still() {
    let mut world = World::with(Config { parallel_max: 1, ..Default::default() });
    world.ask("make", create_restarting(1, RestartPolicy::Always));
    world.fate(Deed::Create, [Fate::Fails { transient: false, left: Part::Half }]);
    world.fate(Deed::Delete, [Fate::Hangs]);
    world.ask("hangs", create(2));
    world.die(1, killed());
    world.run();
    for _ in 0..3 {
        world.advance(60_000);
        world.run();
    }
    let first = format!("restart:{}:1", vm_id(1));
    assert_eq!(world.outcome(&first), Some(&failure("timed out before it started")));
    assert_eq!(world.state(1), Some(VmState::Failed));
    // The host is free again after the program was killed.
    world.crash(false, Part::Whole);
    world.recover();
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Running));
}

#[test]
fn a_restart_wanted_before_a_crash_comes_after_it() {
    let mut world = running(RestartPolicy::Always);
    world.die(1, killed());
    world.run();
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(world.state(1), Some(VmState::Failed));
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Running));
    assert_eq!(world.provider.boots, 2);
}

#[test]
fn no_restart_while_the_program_ends() {
    let mut world = running(RestartPolicy::Always);
    world.step(Input::Stop);
    world.die(1, killed());
    world.run();
    assert_eq!(world.tracker.next_wake(), None);
    world.advance(1_000);
    assert!(world.tracker.is_idle());
    world.crash(false, Part::Nothing);
    world.recover();
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Running), "the next run of the program restarts it");
}

/// The next number is taken a little later.
#[test]
fn an_id_that_somebody_else_has_used_is_passed_over() {
    let mut world = running(RestartPolicy::Always);
    let named = |restart: u64| format!("restart:{}:{restart}", vm_id(1));
    world.ask(&named(1), create(2));
    world.die(1, killed());
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Running));
    assert_eq!(restart_ids(&world.journal), [named(1), named(2)]);
    assert_eq!(world.deeds_of(&named(1)), [Deed::Create], "what it was asked for, once");
    assert_eq!(world.deeds_of(&named(2)), [Deed::Boot]);
}

/// Ids of restarts that were taken in.
fn restart_ids(journal: &[Record]) -> Vec<String> {
    let accepted = journal.iter().filter_map(|record| match record {
        Record::Accepted { action, .. } => Some(action.action_id.to_string()),
        _ => None,
    });
    accepted.filter(|id| id.starts_with("restart:")).collect()
}

/// The count of a VM's restarts is lost with the records that have it; the series is another one then.
#[test]
fn no_loss_gives_the_id_of_a_restart_again() {
    let named = |series: &str, restart: u64| format!("restart:{}:{series}:{restart}", vm_id(1));
    for lost in [Lost::Unwritten, Lost::Ends] {
        for keeps_all_before in [true, false] {
            let mut world = World::with(Config { outbox_id: "first".to_owned(), ..Config::default() });
            world.recover();
            world.ask("make", create_restarting(1, RestartPolicy::Always));
            let before = if keeps_all_before { world.journal.len() } else { 0 };
            world.die(1, killed());
            world.drain();
            // A start of the program that loses nothing goes on counting.
            world.crash(false, Part::Nothing);
            world.config.outbox_id = "unused".to_owned();
            world.recover();
            world.die(1, killed());
            world.drain();
            let mut ids = restart_ids(&world.journal);
            assert_eq!(ids, [named("first", 1), named("first", 2)]);
            world.journal.truncate(before);
            world.crash(true, Part::Nothing);
            (world.config.lost, world.config.outbox_id) = (lost, "second".to_owned());
            world.recover();
            assert_eq!(world.state(1), Some(VmState::Running), "{lost:?}, {keeps_all_before}");
            world.die(1, killed());
            world.drain();
            ids.extend(restart_ids(&world.journal));
            assert_eq!(ids.last(), Some(&named("second", 1)), "{lost:?}: the count was lost");
            let different: HashSet<&String> = ids.iter().collect();
            assert_eq!(different.len(), 3, "{lost:?}: {ids:?}");
        }
    }
}
