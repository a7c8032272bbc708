//! A crash after every effect of every scenario, with the disk and the provider in each way they may be found in.

use std::collections::BTreeSet;

use nkudo_domain::{Deed, Exit, Lane, Request, RestartPolicy};

use crate::asking::{
    command, create, create_restarting, create_stopped, delete, execute, pause, resume, spec, start, stop,
};
use crate::provider::{Fate, Part, killed};
use crate::world::{CommandFate, World};

#[derive(Debug, Clone)]
enum Step {
    Ask(&'static str, Request),
    Submit(&'static str, Request),
    Fate(Deed, Fate),
    CommandFate(CommandFate),
    Cancel(&'static str),
    Die(Exit),
    Advance(u64),
}

fn play(world: &mut World, step: &Step) {
    match step {
        Step::Ask(id, request) => world.ask(id, request.clone()),
        Step::Submit(id, request) => {
            world.submit(id, request.clone());
        }
        Step::Fate(deed, fate) => world.fate(*deed, [*fate]),
        Step::CommandFate(fate) => world.commands.fates.push_back(*fate),
        Step::Cancel(id) => {
            if !world.crashed {
                let input =
                    nkudo_tracker::Input::Cancel { ticket: 1_000_000, action_id: id.parse().unwrap() };
                world.cancels.clear();
                world.step(input);
            }
        }
        Step::Die(exit) => world.die(1, exit.clone()),
        Step::Advance(ms) => {
            if !world.crashed {
                world.advance(*ms);
                world.run();
            }
        }
    }
}

/// Plays the scenario, crashing after so many effects. After the crash everything submitted so far is delivered once
/// more, and the scenario goes on.
fn play_with_crash(steps: &[Step], crash_after: Option<usize>, keep_undurable: bool, part: Part) -> World {
    let mut world = World::new();
    world.crash_after = crash_after;
    let mut submitted: Vec<(&str, Request)> = Vec::new();
    for step in steps {
        if let Step::Ask(id, request) | Step::Submit(id, request) = step {
            submitted.push((id, request.clone()));
        }
        play(&mut world, step);
        if world.crashed {
            world.crash(keep_undurable, part);
            world.recover();
            for (id, request) in &submitted {
                world.submit(id, request.clone());
            }
            world.run();
        }
    }
    world.drain();
    if world.crashed {
        world.crash(keep_undurable, part);
        world.recover();
        world.drain();
    }
    world
}

/// Whatever happens, the scenario ends with everything known and consistent. `at_most_boots` holds without a crash;
/// a crash may add one boot.
fn check(name: &str, steps: &[Step], vms_after: &[u32]) {
    let calm = play_with_crash(steps, None, false, Part::Nothing);
    let effects = calm.effects_done;
    let boots = calm.provider.boots;
    assert!(effects > 5, "{name} does something");
    check_end(&format!("{name} without a crash"), steps, vms_after, &calm);
    for crash_after in 0..effects {
        for keep_undurable in [false, true] {
            for part in [Part::Nothing, Part::Half, Part::Whole] {
                let context = format!(
                    "{name}, crash after effect {crash_after} of {effects}, undurable kept: {keep_undurable}, deed done: {part:?}"
                );
                let world = play_with_crash(steps, Some(crash_after), keep_undurable, part);
                check_end(&context, steps, vms_after, &world);
                assert!(world.provider.boots <= boots + 1, "{context}: {} boots", world.provider.boots);
            }
        }
    }
}

#[track_caller]
fn check_end(context: &str, steps: &[Step], vms_after: &[u32], world: &World) {
    for step in steps {
        let (Step::Ask(id, request) | Step::Submit(id, request)) = step else { continue };
        let outcome = world.outcome(id).unwrap_or_else(|| panic!("{context}: {id} has an outcome"));
        if request.lane() == Lane::Commands {
            let has_begun = world.commands.has_begun(id);
            // The world itself sees to it that none is begun twice.
            let may_have = outcome.changed() || world.execution(id).output.is_some();
            assert!(has_begun || !may_have, "{context}: {id} was not run: {outcome:?}");
            let is_open = outcome.error() == Some("interrupted, outcome unknown");
            assert!(!has_begun || may_have || is_open, "{context}: {id} was run: {outcome:?}");
        }
        assert_eq!(world.ends_of(&id.parse().unwrap()), 1, "{context}: {id} ends once");
    }
    assert!(world.tracker.is_idle(), "{context}: nothing is left to do");
    world.check_vms_in(context);
    let there: BTreeSet<_> = world.provider.vms.keys().copied().collect();
    let wanted: BTreeSet<_> = vms_after.iter().map(|n| spec(*n).vm_id).collect();
    assert_eq!(there, wanted, "{context}: the vms that are there");
}

const FAILS: Fate = Fate::Fails { transient: false, left: Part::Half };
const FAILS_FOR_NOW: Fate = Fate::Fails { transient: true, left: Part::Half };

#[test]
fn creating() {
    check("create", &[Step::Ask("a", create(1))], &[1]);
    check("create stopped", &[Step::Ask("a", create_stopped(1))], &[1]);
    check("create two", &[Step::Submit("a", create(1)), Step::Submit("b", create(2))], &[1, 2]);
    check("create, retried", &[Step::Fate(Deed::Create, FAILS_FOR_NOW), Step::Ask("a", create(1))], &[1]);
}

#[test]
fn pausing_and_resuming() {
    check("create, pause", &[Step::Ask("a", create(1)), Step::Ask("b", pause(1))], &[1]);
    check(
        "create, pause, resume at once",
        &[Step::Submit("a", create(1)), Step::Submit("b", pause(1)), Step::Submit("c", resume(1))],
        &[1],
    );
}

#[test]
fn stopping_and_starting() {
    check(
        "create, stop, start",
        &[Step::Ask("a", create(1)), Step::Ask("b", stop(1)), Step::Ask("c", start(1))],
        &[1],
    );
    check(
        "stop and start at once",
        &[Step::Ask("a", create(1)), Step::Submit("b", stop(1)), Step::Submit("c", start(1))],
        &[1],
    );
    check(
        "a start that fails",
        &[Step::Ask("a", create_stopped(1)), Step::Fate(Deed::Boot, FAILS_FOR_NOW), Step::Ask("b", start(1))],
        &[1],
    );
}

#[test]
fn deleting() {
    check("create, delete", &[Step::Ask("a", create(1)), Step::Ask("b", delete(1))], &[]);
    check(
        "a delete that overtakes",
        &[
            Step::Ask("a", create(1)),
            Step::Submit("b", pause(1)),
            Step::Submit("c", stop(1)),
            Step::Submit("d", delete(1)),
        ],
        &[],
    );
    check(
        "create, delete, create again",
        &[Step::Ask("a", create(1)), Step::Ask("b", delete(1)), Step::Ask("c", create(1))],
        &[1],
    );
}

#[test]
fn running_commands() {
    check("a command", &[Step::Ask("a", execute()), Step::Ask("b", execute())], &[]);
    check(
        "commands in a row beside a VM",
        &[
            Step::CommandFate(CommandFate::Exits(1)),
            Step::Submit("a", execute()),
            Step::Submit("b", execute()),
            Step::Submit("c", command("/bin/sh")),
            Step::Submit("d", create(1)),
        ],
        &[1],
    );
    check(
        "a command that hangs, and one behind it",
        &[
            Step::CommandFate(CommandFate::Hangs),
            Step::Submit("a", execute()),
            Step::Submit("b", execute()),
            Step::Advance(30_000),
        ],
        &[],
    );
    check(
        "a command that is cancelled",
        &[
            Step::CommandFate(CommandFate::Hangs),
            Step::Ask("a", execute()),
            Step::Cancel("a"),
            Step::Advance(10),
        ],
        &[],
    );
}

/// A crash may give a create another try, with another fate; then its VM is there, whole. Else there is nothing.
#[test]
fn a_create_that_fails_leaves_nothing() {
    let steps = [Step::Fate(Deed::Create, FAILS), Step::Ask("a", create(1))];
    let effects = play_with_crash(&steps, None, false, Part::Nothing).effects_done;
    for crash_after in 0..effects {
        for part in [Part::Nothing, Part::Half, Part::Whole] {
            let world = play_with_crash(&steps, Some(crash_after), false, part);
            let succeeded = world.outcome("a").unwrap().changed();
            let vms = usize::from(succeeded);
            assert_eq!(world.provider.vms.len(), vms, "crash after effect {crash_after}, {part:?}");
            assert_eq!(world.ends_of(&"a".parse().unwrap()), 1);
            world.check_vms();
        }
    }
}

#[test]
fn a_cancelled_create_leaves_nothing_or_a_whole_vm() {
    let steps = [
        Step::Fate(Deed::Create, Fate::Hangs),
        Step::Ask("a", create(1)),
        Step::Cancel("a"),
        Step::Advance(10),
    ];
    let effects = play_with_crash(&steps, None, false, Part::Nothing).effects_done;
    for crash_after in 0..effects {
        for part in [Part::Nothing, Part::Half, Part::Whole] {
            let world = play_with_crash(&steps, Some(crash_after), true, part);
            let vms = usize::from(world.outcome("a").unwrap().changed());
            assert_eq!(world.provider.vms.len(), vms, "crash after effect {crash_after}, {part:?}");
            assert_eq!(world.ends_of(&"a".parse().unwrap()), 1);
            world.check_vms();
        }
    }
}

#[test]
fn restarting_by_policy() {
    let make = create_restarting(1, RestartPolicy::Always);
    check(
        "die, restart",
        &[Step::Ask("a", make.clone()), Step::Die(killed()), Step::Advance(1_000), Step::Advance(5_000)],
        &[1],
    );
    check(
        "die, restart that fails, restart",
        &[
            Step::Ask("a", make.clone()),
            Step::Fate(Deed::Boot, FAILS),
            Step::Die(killed()),
            Step::Advance(1_000),
            Step::Advance(60_000),
        ],
        &[1],
    );
    check("die, stop", &[Step::Ask("a", make), Step::Die(killed()), Step::Ask("b", stop(1))], &[1]);
}

#[test]
fn a_delete_that_was_to_take_the_disks_along_does_so_after_a_crash() {
    let mut world = World::new();
    world.ask("make", create(1));
    world.fate(Deed::Delete, [Fate::Hangs]);
    let vm_id = spec(1).vm_id;
    world.ask("delete", Request::Delete(nkudo_domain::DeleteVm { vm_id, delete_disks: true }));
    // The VM is gone and the disks, perhaps, are not.
    world.crash(false, Part::Whole);
    world.recover();
    assert_eq!(world.deeds_of("delete"), [Deed::Delete, Deed::Delete]);
    assert_eq!(world.outcome("delete"), Some(&crate::world::success(true)));
}
