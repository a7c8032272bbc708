//! Results that are told elsewhere: numbered in the order of their end, kept until they are acknowledged.

use nkudo_domain::{Action, AgentId, AskedBy, Request};
use nkudo_tracker::{Config, Input, Known, Lost, Record, Tracker};

use crate::asking::{create, pause, resume};
use crate::provider::Part;
use crate::world::World;

fn agent(number: u8) -> AgentId {
    format!("01890a5d-ac96-774b-bcce-b302099a80{number:02x}").parse().unwrap()
}

fn world() -> World {
    let mut world = World::with(Config { outbox_id: "first".to_owned(), ..Config::default() });
    world.recover();
    world
}

/// The results after a number: their numbers with the ids of their actions.
fn told(tracker: &Tracker, after: u64) -> Vec<(u64, String)> {
    tracker.results_after(after).map(|(seq, tracked)| (seq, tracked.action.action_id.to_string())).collect()
}

fn named(results: &[(u64, &str)]) -> Vec<(u64, String)> {
    results.iter().map(|(seq, id)| (*seq, (*id).to_owned())).collect()
}

fn three(world: &mut World) {
    world.ask("a", create(1));
    world.ask("b", pause(1));
    world.ask("c", pause(9));
}

#[test]
fn results_are_numbered_in_the_order_of_their_end_and_survive_crash_and_compaction() {
    let mut world = world();
    three(&mut world);
    let all = named(&[(1, "a"), (2, "b"), (3, "c")]);
    assert_eq!(told(&world.tracker, 0), all);
    assert_eq!(told(&world.tracker, 2), all[2..]);
    assert_eq!(told(&world.tracker, 3), []);
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(told(&world.tracker, 0), all);
    world.journal = world.tracker.snapshot();
    world.crash(true, Part::Nothing);
    world.recover();
    assert_eq!(told(&world.tracker, 0), all);
    assert_eq!((world.tracker.outbox().id.as_str(), world.tracker.outbox().last), ("first", 3));
    world.ask("d", resume(1));
    assert_eq!(told(&world.tracker, 3), named(&[(4, "d")]), "no number is given twice");
}

#[test]
fn an_end_has_its_number_only_once_it_is_durable() {
    let mut world = world();
    world.submit("a", create(1));
    world.sync();
    while world.end_deed() {}
    assert_eq!(told(&world.tracker, 0), [], "written, and not durable");
    world.run();
    assert_eq!(told(&world.tracker, 0), named(&[(1, "a")]));
}

#[test]
fn an_acknowledgement_is_of_what_there_is_and_is_kept() {
    let mut world = world();
    three(&mut world);
    let acknowledged = |world: &World| world.tracker.outbox().acknowledged;
    world.step(Input::Acknowledged { seq: 99 });
    assert_eq!(acknowledged(&world), 0, "nothing of that number was told");
    world.step(Input::Acknowledged { seq: 2 });
    world.step(Input::Acknowledged { seq: 1 });
    world.run();
    assert_eq!(acknowledged(&world), 2, "it does not go back");
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(acknowledged(&world), 2);
    world.journal = world.tracker.snapshot();
    world.crash(true, Part::Nothing);
    world.recover();
    assert_eq!(acknowledged(&world), 2);
}

#[test]
fn owed_results_are_kept_past_their_time_while_somebody_is_to_be_told() {
    let keep = |reporting: bool, restarts: bool| {
        let config = Config { outbox_id: "o".to_owned(), results_keep_ms: 1_000, ..Config::default() };
        let mut world = World::with(config);
        world.recover();
        world.step(Input::ReportAs(reporting.then(|| agent(1))));
        three(&mut world);
        world.step(Input::Acknowledged { seq: 1 });
        if restarts {
            // Nobody has said yet to whom results are owed now: it may be to whom it was before.
            world.crash(true, Part::Nothing);
            world.recover();
        }
        world.advance(2_000);
        world.ask("later", resume(1));
        told(&world.tracker, 0)
    };
    for restarts in [false, true] {
        assert_eq!(keep(false, restarts), named(&[(4, "later")]), "for nobody nothing is kept");
        assert_eq!(
            keep(true, restarts),
            named(&[(2, "b"), (3, "c"), (4, "later")]),
            "what is acknowledged is forgotten in its time"
        );
    }
}

#[test]
fn a_journal_that_lost_records_tells_everything_that_it_has_under_a_new_name() {
    let mut world = world();
    three(&mut world);
    world.step(Input::Acknowledged { seq: 3 });
    world.run();
    world.crash(false, Part::Nothing);
    world.config.lost = Lost::Unwritten;
    world.config.outbox_id = "second".to_owned();
    world.recover();
    let outbox = world.tracker.outbox();
    assert_eq!((outbox.id.as_str(), outbox.acknowledged), ("second", 0));
    assert_eq!(told(&world.tracker, 0).len(), 3);
    // The next start lost nothing: the name stays.
    world.run();
    world.crash(false, Part::Nothing);
    world.config.lost = Lost::Nothing;
    world.config.outbox_id = "third".to_owned();
    world.recover();
    assert_eq!(world.tracker.outbox().id, "second");
}

#[test]
fn results_of_earlier_versions_get_their_numbers_as_they_are_read() {
    let mut world = world();
    three(&mut world);
    let old: Vec<Record> = world
        .journal
        .iter()
        .filter(|record| !matches!(record, Record::Outbox { .. }))
        .cloned()
        .map(|mut record| {
            if let Record::Ended { seq, .. } = &mut record {
                *seq = 0;
            }
            record
        })
        .collect();
    let tracker = Tracker::replay(world.config.clone(), old);
    assert_eq!(told(&tracker, 0), named(&[(1, "a"), (2, "b"), (3, "c")]));
}

#[test]
fn as_another_agent_nothing_is_told_of_what_was_taken_in_before() {
    // A restart, and a compaction before it, change nothing.
    for (crash, compact) in [(false, false), (true, false), (true, true)] {
        let mut world = world();
        world.step(Input::ReportAs(Some(agent(1))));
        three(&mut world);
        world.submit("queued", pause(1));
        world.step(Input::ReportAs(None));
        world.step(Input::ReportAs(Some(agent(1))));
        assert_eq!(told(&world.tracker, 0).len(), 3, "the same agent again");
        world.step(Input::ReportAs(Some(agent(2))));
        if compact {
            world.run();
            world.journal = world.tracker.snapshot();
        } else {
            world.sync();
        }
        if crash {
            world.crash(true, Part::Nothing);
            world.recover();
            world.step(Input::ReportAs(Some(agent(2))));
        }
        world.run();
        let tracker = &world.tracker;
        assert!(tracker.action(&"queued".parse().unwrap()).unwrap().has_ended(), "it is done all the same");
        assert_eq!(told(tracker, 0), [], "crash {crash}, compaction {compact}");
        world.ask("new", resume(1));
        let results = told(&world.tracker, 0);
        assert_eq!(results.len(), 1, "{results:?}");
        assert_eq!(results[0].1, "new");
        assert_eq!(world.tracker.outbox().reporter, Some(agent(2)));
    }
}

#[test]
fn results_from_before_the_first_agent_are_told() {
    let mut world = world();
    three(&mut world);
    world.step(Input::ReportAs(Some(agent(1))));
    assert_eq!(told(&world.tracker, 0).len(), 3);
}

#[test]
fn what_another_agent_had_asked_is_not_known_as_the_same() {
    let mut world = world();
    world.step(Input::ReportAs(Some(agent(1))));
    world.ask("a", create(1));
    let action = |request: Request| Action {
        action_id: "a".parse().unwrap(),
        timeout: request.default_timeout(),
        request,
        trace_id: None,
        parent_span_id: None,
        correlation_id: None,
        asked_by: AskedBy::Unknown,
        start_within: None,
    };
    assert_eq!(world.tracker.knows(&action(create(1))), Known::Same, "defaults are filled in");
    assert_eq!(world.tracker.knows(&action(pause(1))), Known::AsAnother);
    world.step(Input::ReportAs(Some(agent(2))));
    assert_eq!(world.tracker.knows(&action(create(1))), Known::AsAnother);
    let unknown = Action { action_id: "b".parse().unwrap(), ..action(create(1)) };
    assert_eq!(world.tracker.knows(&unknown), Known::No);
}
