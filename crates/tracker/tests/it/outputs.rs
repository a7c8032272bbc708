//! What commands wrote, within a bound for all together.

use nkudo_domain::AgentId;
use nkudo_tracker::{Admission, Config, Input, Tracker};

use crate::asking::{create, execute};
use crate::provider::Part;
use crate::world::{World, observable, success};

/// Each command of these worlds writes 100 bytes, and two fit.
fn world() -> World {
    let config = Config { outputs_max: 250, outbox_id: "o".to_owned(), ..Config::default() };
    let mut world = World::with(config);
    world.commands.writes = 100;
    world.recover();
    world
}

fn agent() -> AgentId {
    "01890a5d-ac96-774b-bcce-b302099a8001".parse().unwrap()
}

/// Bytes of output that are kept with the result.
#[track_caller]
fn kept(world: &World, id: &str) -> usize {
    let output = world.execution(id).output.as_ref().expect("it was run");
    assert_eq!(output.exit_code, Some(0), "{id}");
    assert_eq!(
        output.truncated,
        output.is_empty() && world.commands.writes > 0,
        "{id}: what is gone is told"
    );
    output.len()
}

fn ask_all(world: &mut World, ids: &[&str]) {
    ids.iter().for_each(|id| world.ask(id, execute()));
}

#[test]
fn the_oldest_outputs_go_when_they_are_too_much() {
    let mut world = world();
    ask_all(&mut world, &["a", "b"]);
    assert_eq!((kept(&world, "a"), kept(&world, "b")), (100, 100));
    ask_all(&mut world, &["c", "d"]);
    let all = ["a", "b", "c", "d"].map(|id| kept(&world, id));
    assert_eq!(all, [0, 0, 100, 100]);
    assert_eq!(world.outcome("a"), Some(&success(true)), "the result stays");
    assert_eq!(world.told[0].execution.as_ref().unwrap().output.as_ref().unwrap().len(), 100, "it was told");
}

#[test]
fn outputs_without_text_take_no_room() {
    let mut world = world();
    ask_all(&mut world, &["a", "b"]);
    world.commands.writes = 0;
    ask_all(&mut world, &["c", "d", "e"]);
    world.commands.writes = 100;
    assert_eq!((kept(&world, "a"), kept(&world, "b")), (100, 100));
    assert!(world.execution("c").output.as_ref().is_some_and(|output| !output.truncated));
}

#[test]
fn outputs_that_are_owed_stay_and_commands_are_refused_meanwhile() {
    let mut world = world();
    world.step(Input::ReportAs(Some(agent())));
    ask_all(&mut world, &["a", "b", "c"]);
    assert_eq!(["a", "b", "c"].map(|id| kept(&world, id)), [100, 100, 100]);
    let full = world.submit("d", execute());
    assert_eq!(world.admissions.get(&full), Some(&Admission::OutputsFull), "at once");
    let repeated = world.submit("a", execute());
    world.ask("vm", create(1));
    assert_eq!(world.admissions[&repeated], Admission::Repeated);
    assert_eq!(world.outcome("vm"), Some(&success(true)), "VMs write nothing");
    world.step(Input::Acknowledged { seq: 1 });
    assert_eq!(["a", "b", "c"].map(|id| kept(&world, id)), [0, 100, 100], "what was told makes room at once");
    ask_all(&mut world, &["d"]);
    assert_eq!(kept(&world, "d"), 100);
    // To nobody nothing is owed.
    world.step(Input::ReportAs(None));
    ask_all(&mut world, &["e"]);
    assert_eq!(["b", "c", "d", "e"].map(|id| kept(&world, id)), [0, 0, 100, 100]);
}

/// The records have what was let go of since; nothing of it goes before it is known who is to be told.
#[test]
fn outputs_come_back_with_the_records_and_keep_their_bound() {
    for compact in [false, true] {
        let mut world = world();
        world.step(Input::ReportAs(Some(agent())));
        ask_all(&mut world, &["a", "b", "c"]);
        if compact {
            world.journal = world.tracker.snapshot();
        }
        world.crash(true, Part::Nothing);
        world.recover();
        assert_eq!(["a", "b", "c"].map(|id| kept(&world, id)), [100, 100, 100], "compact {compact}");
        world.step(Input::ReportAs(Some(agent())));
        let full = world.submit("d", execute());
        assert_eq!(world.admissions.get(&full), Some(&Admission::OutputsFull), "compact {compact}");
        world.step(Input::Acknowledged { seq: 3 });
        world.run();
        assert_eq!(["a", "b", "c"].map(|id| kept(&world, id)), [0, 100, 100], "compact {compact}");
        let replayed = Tracker::replay(world.config.clone(), world.tracker.snapshot());
        assert_eq!(observable(&replayed), observable(&world.tracker), "compact {compact}");
    }
}

/// Until somebody says to whom results are owed, it may be to whom it was before.
#[test]
fn outputs_that_may_be_owed_stay_after_a_restart() {
    let mut world = world();
    world.step(Input::ReportAs(Some(agent())));
    ask_all(&mut world, &["a", "b", "c"]);
    world.crash(true, Part::Nothing);
    world.recover();
    let full = world.submit("d", execute());
    assert_eq!(world.admissions.get(&full), Some(&Admission::OutputsFull));
    assert_eq!(["a", "b", "c"].map(|id| kept(&world, id)), [100, 100, 100]);
    world.step(Input::ReportAs(None));
    ask_all(&mut world, &["d"]);
    assert_eq!(["a", "b", "c", "d"].map(|id| kept(&world, id)), [0, 0, 100, 100]);
}

/// A result that is forgotten takes its output along; the next that has its id keeps its own.
#[test]
fn an_id_that_is_used_again_has_its_own_output() {
    let mut world = world();
    world.config.results_keep_ms = 1_000;
    world.crash(false, Part::Nothing);
    world.recover();
    ask_all(&mut world, &["a"]);
    world.advance(2_000);
    world.commands.begun.clear();
    ask_all(&mut world, &["a", "b"]);
    assert_eq!((kept(&world, "a"), kept(&world, "b")), (100, 100));
}
