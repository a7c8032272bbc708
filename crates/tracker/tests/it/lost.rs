//! Records that were lost: what may have ended is not done again, and everybody is told.

use nkudo_domain::{Deed, Request, VmState};
use nkudo_tracker::{Config, Input, Lost, Record};

use crate::asking::{create, delete, pause, resume, stop};
use crate::provider::Part;
use crate::world::World;

#[test]
fn a_damage_costs_an_end_unless_it_looks_like_a_write_that_was_cut_off() {
    let check = |is_cut_off, was_synced, has_stayed_up, expected| {
        let what = format!("cut off {is_cut_off}, synced {was_synced}, up {has_stayed_up}");
        assert_eq!(Lost::judge(is_cut_off, was_synced, has_stayed_up), expected, "{what}");
    };
    for has_stayed_up in [true, false] {
        check(true, false, has_stayed_up, Lost::Unwritten);
        check(true, true, has_stayed_up, Lost::Ends);
        check(false, true, has_stayed_up, Lost::Ends);
    }
    // A loss of power tears what was not synced; a kill does not.
    check(false, false, false, Lost::Unwritten);
    check(false, false, true, Lost::Ends);
}

/// A host with VM 1 running, on which `request` was taken in; its journal then ends after these of its records.
fn without_the_rest(request: Request, keep: fn(&Record) -> bool, lost: Lost) -> World {
    let mut world = World::with(Config { outbox_id: "first".to_owned(), ..Config::default() });
    world.recover();
    if !matches!(request, Request::Create(_)) {
        world.ask("made", create(1));
    }
    world.ask("asked", request);
    assert!(world.outcome("asked").is_some());
    let of_it = |record: &Record| match record {
        Record::Accepted { action, .. } => action.action_id.as_str() == "asked",
        Record::Started { execution, .. } => execution.action_id.as_str() == "asked",
        Record::Ended { action_id, .. } => action_id.as_str() == "asked",
        _ => false,
    };
    let end = world.journal.iter().position(|record| of_it(record) && !keep(record)).expect("a record of it");
    world.journal.truncate(end);
    world.crash(true, Part::Nothing);
    world.config.lost = lost;
    world.config.outbox_id = "second".to_owned();
    world.performed.clear();
    world.told.clear();
    world.recover();
    world.run();
    world
}

fn admission(record: &Record) -> bool {
    matches!(record, Record::Accepted { .. })
}

fn admission_and_start(record: &Record) -> bool {
    !matches!(record, Record::Ended { .. })
}

#[test]
fn what_may_have_ended_is_not_done_again() {
    let requests = [create(1), stop(1), pause(1), delete(1)];
    let cut: [fn(&Record) -> bool; 2] = [admission, admission_and_start];
    for (request, keep) in requests.into_iter().flat_map(|request| cut.map(|keep| (request.clone(), keep))) {
        let what = format!("{request:?}");
        let world = without_the_rest(request.clone(), keep, Lost::Ends);
        assert_eq!(world.deeds_of("asked"), [], "{what}");
        let outcome = world.outcome("asked").and_then(nkudo_domain::Outcome::error).unwrap_or_default();
        assert!(outcome.starts_with("interrupted, outcome unknown"), "{what}: {outcome}");
        world.check_vms_in(&what);
        let outbox = world.tracker.outbox();
        assert_eq!(outbox.id, "second", "{what}: the numbers of lost results are not given again");
        assert!(world.tracker.is_idle(), "{what}");
    }
}

#[test]
fn what_was_never_durable_costs_nothing() {
    let world = without_the_rest(pause(1), admission_and_start, Lost::Unwritten);
    assert!(world.outcome("asked").is_some_and(|outcome| outcome.error().is_none()));
    assert_eq!(world.tracker.outbox().id, "second");
}

#[test]
fn a_vm_is_what_is_found_of_it() {
    // The stop is lost, and what came after it.
    let world = without_the_rest(stop(1), admission, Lost::Ends);
    assert_eq!(world.state(1), Some(VmState::Stopped));
    // A creation that left nothing is none, whether its end was recorded or not.
    let mut world = World::new();
    world.submit("asked", create(1));
    world.sync();
    world.crash(true, Part::Nothing);
    world.config.lost = Lost::Ends;
    world.recover();
    world.run();
    assert_eq!(world.state(1), None);
    // One that left half a VM left one of which nobody knows what it is, and that can be deleted.
    let mut world = World::new();
    world.submit("asked", create(1));
    world.sync();
    world.crash(true, Part::Half);
    world.config.lost = Lost::Ends;
    world.recover();
    world.run();
    assert_eq!(world.state(1), Some(VmState::Unknown));
    world.ask("again", delete(1));
    assert_eq!(world.state(1), None);
}

#[test]
fn what_is_given_up_took_as_long_as_it_did() {
    let mut world = World::new();
    world.ask("made", create(1));
    world.submit("asked", pause(1));
    world.sync();
    world.crash(true, Part::Nothing);
    world.now.monotonic_ms = 1_000_000_000;
    world.now.wall_ms += 7_000;
    world.config.lost = Lost::Ends;
    world.recover();
    assert_eq!(world.execution("asked").duration_ms, Some(7_000));
}

#[test]
fn a_vm_whose_disks_were_to_go_is_kept_until_they_are_known_to_be_gone() {
    let delete =
        Request::Delete(nkudo_domain::DeleteVm { vm_id: crate::asking::vm_id(1), delete_disks: true });
    let world = without_the_rest(delete, admission_and_start, Lost::Ends);
    assert_eq!((world.state(1), world.reason(1)), (Some(VmState::Failed), Some("its run directory is gone")));
}

#[test]
fn the_lane_goes_on_after_what_was_given_up() {
    let mut world = without_the_rest(pause(1), admission_and_start, Lost::Ends);
    assert_eq!(world.state(1), Some(VmState::Paused));
    world.ask("next", resume(1));
    assert_eq!(world.deeds_of("next"), [Deed::Resume]);
    assert_eq!(world.state(1), Some(VmState::Running));
}

#[test]
fn an_acknowledgement_of_what_was_never_told_begins_other_numbers() {
    let mut world = without_the_rest(pause(1), admission, Lost::Unwritten);
    let known: Vec<u64> = world.tracker.results_after(0).map(|(seq, _)| seq).collect();
    world.step(Input::Acknowledged { seq: 9 });
    world.sync();
    assert_eq!(world.tracker.outbox().id, "second.10");
    assert_eq!((world.tracker.outbox().last, world.tracker.outbox().acknowledged), (9, 0));
    assert_eq!(
        world.tracker.results_after(0).map(|(seq, _)| seq).collect::<Vec<_>>(),
        known,
        "all are told anew"
    );
    world.ask("next", resume(1));
    assert_eq!(world.tracker.results_after(9).map(|(seq, _)| seq).collect::<Vec<_>>(), [10]);
    // And again, also after a restart.
    world.step(Input::Acknowledged { seq: 99 });
    world.run();
    assert_eq!(world.tracker.outbox().id, "second.100");
    world.crash(false, Part::Nothing);
    world.config.lost = Lost::Nothing;
    world.recover();
    assert_eq!(world.tracker.outbox().id, "second.100");
}
