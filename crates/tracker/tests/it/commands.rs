//! Commands of the host: one after another, each at most once, beside everything that is done with VMs.

use std::time::Duration;

use nkudo_domain::{ActionType, CommandOutput, Outcome, Request};
use nkudo_tracker::{Admission, CancelAnswer, CommandEnd, Config, Effect, Input, Lost, Phase, Record};

use crate::asking::{action, command, create, execute, pause};
use crate::provider::{Fate, Part};
use crate::world::{CommandFate, World, failure, success};

const UNKNOWN: &str = "interrupted, outcome unknown";
const OWN_TIMEOUT: &str = "timed out after 30 s; it was ended with all that it had started";

/// A world whose next command never ends by itself.
fn hanging(config: Config) -> World {
    let mut world = World::with(config);
    world.commands.fates.push_back(CommandFate::Hangs);
    world
}

fn begun(world: &World) -> Vec<&str> {
    world.commands.begun.iter().map(|action_id| action_id.as_str()).collect()
}

#[test]
fn each_step_of_a_command_waits_for_its_record() {
    let mut world = World::new();
    let ticket = world.submit("one", execute());
    assert_eq!(world.journal.len(), 2, "its admission and its intent");
    world.durable = 1;
    world.step(Input::Persisted(1));
    assert_eq!(world.admissions.get(&ticket), Some(&Admission::New));
    assert_eq!(begun(&world), [""; 0], "not before its intent is durable");
    assert_eq!(world.phase("one"), &Phase::Intending);
    world.sync();
    assert_eq!(begun(&world), ["one"]);
    assert!(world.end_command());
    assert!(world.told.is_empty(), "not before its outcome is durable");
    assert_eq!(world.tracker.executions().next().unwrap().output, None, "nor in the views");
    world.sync();
    assert_eq!(world.told[0].outcome, success(true));
    let execution = world.told[0].execution.as_ref().unwrap();
    let output = CommandOutput { exit_code: Some(0), stdout: "xxx".to_owned(), ..CommandOutput::default() };
    assert_eq!(execution.output.as_deref(), Some(&output));
    assert_eq!((execution.action_type, execution.vm_id), (ActionType::CommandExecute, None));
    assert_eq!((execution.usage.cpu_percent, execution.usage.memory_bytes), (50.0, 1 << 20));
    assert_eq!(world.execution("one"), &**execution, "what was told is kept");
}

#[test]
fn the_history_has_no_outputs() {
    let mut world = World::new();
    world.ask("one", execute());
    let check = |world: &World, when: &str| {
        let history: Vec<_> = world.tracker.executions().collect();
        assert_eq!((history.len(), history[0].output.as_ref()), (1, None), "{when}");
        assert!(world.execution("one").output.is_some(), "{when}: it is with the result");
    };
    check(&world, "after its end");
    world.crash(false, Part::Nothing);
    world.recover();
    check(&world, "after a restart");
}

#[test]
fn what_a_command_comes_to_is_how_it_ended() {
    #[derive(Debug, Clone, Copy)]
    enum Ended {
        ByItself,
        Cancelled,
        TimedOut,
    }
    use Ended::{ByItself, Cancelled, TimedOut};
    let check = |end: CommandEnd, how: Ended, expected: Outcome| {
        let mut world = hanging(Config::default());
        world.ask("one", execute());
        match how {
            ByItself => {}
            Cancelled => assert_eq!(world.cancel("one"), CancelAnswer::Cancelling),
            TimedOut => world.advance(30_000),
        }
        world.report_command("one".parse().unwrap(), end.clone());
        world.run();
        assert_eq!(world.outcome("one"), Some(&expected), "{end:?}, {how:?}");
        let has_output = world.execution("one").output.is_some();
        assert_eq!(has_output, !matches!(end, CommandEnd::NotStarted { .. }), "{end:?}, {how:?}");
    };
    let not_started = || CommandEnd::NotStarted { error: "no such file".to_owned() };
    for how in [ByItself, Cancelled, TimedOut] {
        check(CommandEnd::Exited(0), how, success(true));
    }
    check(CommandEnd::Exited(2), ByItself, failure("it exited with status 2"));
    check(CommandEnd::Exited(2), Cancelled, Outcome::Cancelled);
    check(CommandEnd::Exited(2), TimedOut, failure("it exited with status 2"));
    check(CommandEnd::Killed { signal: Some(9) }, ByItself, failure("it was killed by signal 9"));
    check(CommandEnd::Killed { signal: None }, ByItself, failure("it ended, and it is not known how"));
    check(CommandEnd::Killed { signal: Some(9) }, Cancelled, Outcome::Cancelled);
    check(not_started(), ByItself, failure("no such file"));
    check(not_started(), Cancelled, Outcome::Cancelled);
    check(not_started(), TimedOut, failure("no such file"));
    let stuck = "its processes [7, 8] cannot be ended, as the kernel holds them; does a file system or a disk of the host hang?";
    for how in [ByItself, Cancelled, TimedOut] {
        check(CommandEnd::Stuck { pids: vec![7, 8] }, how, failure(stuck));
    }
    check(CommandEnd::Interrupted, ByItself, Outcome::Cancelled);
    check(CommandEnd::Interrupted, Cancelled, Outcome::Cancelled);
    check(CommandEnd::Interrupted, TimedOut, failure(OWN_TIMEOUT));
}

#[test]
fn what_is_not_on_the_list_runs_nothing() {
    let mut world = World::new();
    world.ask("one", command("/bin/sh"));
    let error = world.outcome("one").and_then(Outcome::error).unwrap_or_default();
    assert!(error.contains("/bin/sh"), "{error}");
    assert_eq!(begun(&world), [""; 0]);
    let intents = world.journal.iter().filter(|record| matches!(record, Record::Started { .. })).count();
    assert_eq!(intents, 0, "nor was it about to");
    // The answer stays what it was when the list is another one.
    world.crash(false, Part::Nothing);
    world.config.commands_allow.push("/bin/sh".into());
    world.recover();
    world.ask("one", command("/bin/sh"));
    assert_eq!(begun(&world), [""; 0]);
    world.ask("two", command("/bin/sh"));
    assert_eq!(begun(&world), ["two"]);
}

#[test]
fn commands_run_one_after_another_in_the_order_of_their_admission() {
    let mut world = hanging(Config::default());
    for id in ["z", "y", "x"] {
        world.submit(id, execute());
    }
    world.run();
    assert_eq!(begun(&world), ["z"]);
    assert_eq!(world.tracker.queue_depth(), 2);
    world.cancel("z");
    world.sync();
    assert!(world.end_command());
    assert_eq!(begun(&world), ["z"], "not before the outcome of the first is durable");
    world.run();
    assert_eq!(begun(&world), ["z", "y", "x"]);
}

#[test]
fn commands_and_vms_do_not_wait_for_each_other() {
    let mut world = hanging(Config { parallel_max: 1, ..Config::default() });
    world.ask("slow", execute());
    world.ask("made", create(1));
    assert_eq!(world.outcome("made"), Some(&success(true)));
    world.cancel("slow");
    world.fate(nkudo_domain::Deed::Pause, [Fate::Hangs]);
    world.ask("hangs", pause(1));
    world.ask("quick", execute());
    assert_eq!(world.outcome("quick"), Some(&success(true)));
    assert!(matches!(world.phase("hangs"), Phase::Running { .. }));
}

/// Its own time counts from its start, the action's from its admission.
#[test]
fn the_earlier_of_both_timeouts_ends_a_command() {
    let mut world = hanging(Config::default());
    world.ask("own", execute());
    world.advance(29_999);
    assert_eq!(world.interrupted, []);
    world.advance(1);
    assert_eq!(world.interrupted.len(), 1);
    world.run();
    assert_eq!(world.outcome("own"), Some(&failure(OWN_TIMEOUT)));
    assert_eq!(world.execution("own").duration_ms, Some(30_000));

    world.commands.fates.extend([CommandFate::Hangs, CommandFate::Hangs]);
    world.submit("first", execute());
    world.submit_action(nkudo_domain::Action {
        timeout: Duration::from_secs(40),
        ..action("second", execute())
    });
    world.run();
    world.advance(30_000);
    world.run();
    assert_eq!(begun(&world), ["own", "first", "second"]);
    world.advance(9_999);
    assert_eq!(world.interrupted.len(), 2);
    world.advance(1);
    world.run();
    let late =
        "timed out after 40 s, the wait for its turn included; it was ended with all that it had started";
    assert_eq!(world.outcome("second"), Some(&failure(late)));
    assert_eq!(world.execution("second").duration_ms, Some(10_000));
}

#[test]
fn a_command_whose_turn_comes_too_late_is_not_run() {
    let mut world = hanging(Config::default());
    world.ask("slow", execute());
    world.submit_action(nkudo_domain::Action {
        timeout: Duration::from_secs(10),
        ..action("waits", execute())
    });
    world.run();
    world.advance(10_000);
    world.run();
    assert_eq!(world.outcome("waits"), Some(&failure("timed out before it started")));
    assert_eq!(world.told.last().unwrap().execution, None);
    // Its time ends while its intent is written.
    world.cancel("slow");
    world.run();
    world.submit("intends", execute());
    world.advance(90_000);
    assert_eq!(world.phase("intends"), &Phase::Intending);
    world.run();
    assert_eq!(world.outcome("intends"), Some(&failure("timed out after 90 s")));
    assert_eq!(begun(&world), ["slow"]);
    assert_eq!(world.execution("intends").output, None);
}

#[test]
fn a_command_is_cancelled_wherever_it_is() {
    let mut world = hanging(Config::default());
    world.submit("intends", execute());
    world.submit("waits", execute());
    assert_eq!(world.cancel("waits"), CancelAnswer::Cancelling);
    assert_eq!(world.cancel("intends"), CancelAnswer::Cancelling);
    world.run();
    assert_eq!(begun(&world), [""; 0]);
    assert_eq!(world.interrupted, []);
    world.ask("runs", execute());
    assert_eq!(world.cancel("runs"), CancelAnswer::Cancelling);
    assert_eq!(world.interrupted.len(), 1);
    assert!(world.end_command());
    assert_eq!(world.cancel("runs"), CancelAnswer::AlreadyEnded, "its outcome is written");
    world.run();
    for id in ["intends", "waits", "runs"] {
        assert_eq!(world.outcome(id), Some(&Outcome::Cancelled), "{id}");
    }
    assert!(world.execution("runs").output.is_some(), "what it wrote until then is kept");
    // It had done all by then.
    world.commands.fates.push_back(CommandFate::EndsFirst(0));
    world.ask("done", execute());
    world.cancel("done");
    world.run();
    assert_eq!(world.outcome("done"), Some(&success(true)));
}

#[test]
fn an_end_that_comes_twice_or_of_nothing_changes_nothing() {
    let mut world = World::new();
    world.ask("one", execute());
    world.ask("vm", create(1));
    let written = world.journal.len();
    for id in ["one", "vm", "nobody"] {
        world.report_command(id.parse().unwrap(), CommandEnd::Exited(1));
    }
    assert_eq!(world.journal.len(), written);
    assert_eq!(world.outcome("one"), Some(&success(true)));
}

#[test]
fn full_of_commands_refuses_commands_only() {
    let mut world = hanging(Config { commands_max: 2, ..Config::default() });
    world.ask("runs", execute());
    world.ask("waits", execute());
    let third = world.submit("third", execute());
    assert_eq!(world.admissions.get(&third), Some(&Admission::CommandsFull), "at once");
    let repeated = world.submit("waits", execute());
    world.ask("vm", create(1));
    assert_eq!(world.admissions[&repeated], Admission::Repeated);
    assert_eq!(world.outcome("vm"), Some(&success(true)));
    world.cancel("runs");
    world.run();
    let again = world.submit("third", execute());
    world.run();
    assert_eq!(world.admissions[&again], Admission::New);
    assert_eq!(begun(&world), ["runs", "waits", "third"]);
}

/// A stop waits for no command: with the program, or at its next start, the host ends it.
#[test]
fn a_stop_of_the_program_leaves_a_command_to_the_next_start() {
    let mut world = hanging(Config::default());
    world.ask("runs", execute());
    world.ask("waits", execute());
    world.step(Input::Stop);
    world.run();
    assert_eq!(world.interrupted, []);
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(world.outcome("runs"), Some(&failure(UNKNOWN)));
    assert_eq!(world.outcome("waits"), Some(&success(true)), "nothing of it was done");
    assert_eq!(begun(&world), ["runs", "waits"]);
}

#[test]
fn a_journal_that_starts_over_while_a_command_runs_knows_its_intent() {
    let mut world = hanging(Config::default());
    world.ask("runs", execute());
    world.ask("waits", execute());
    world.ask("vm", create(1));
    assert!(world.tracker.can_start_over() && !world.tracker.is_idle());
    world.submit("deed", pause(1));
    assert!(!world.tracker.can_start_over(), "a deed of a vm is under way");
    world.run();
    world.journal = world.tracker.snapshot();
    world.durable = world.journal.len();
    world.crash(true, Part::Nothing);
    world.recover();
    assert_eq!(world.outcome("runs"), Some(&failure(UNKNOWN)));
    assert_eq!(world.outcome("waits"), Some(&success(true)));
    assert_eq!(begun(&world), ["runs", "waits"]);
}

/// The intent says that it may have run, whatever else is known.
#[test]
fn an_intent_without_an_end_is_never_followed() {
    for boots in [false, true] {
        let mut world = hanging(Config::default());
        world.ask("one", execute());
        world.now.wall_ms += 5_000;
        world.crash(true, Part::Nothing);
        world.now.monotonic_ms = 1_000_000;
        if boots {
            world.reboot();
        }
        world.recover();
        assert_eq!(world.outcome("one"), Some(&failure(UNKNOWN)), "boots {boots}");
        assert_eq!(world.execution("one").duration_ms, Some(5_000), "boots {boots}");
        assert_eq!(world.execution("one").output, None);
        let again = world.submit("one", execute());
        world.run();
        assert_eq!(world.admissions[&again], Admission::Repeated);
        assert_eq!(begun(&world), ["one"], "boots {boots}");
    }
}

#[test]
fn a_command_whose_end_may_be_lost_is_not_run() {
    for (has_intent, lost) in [false, true]
        .into_iter()
        .flat_map(|has_intent| [Lost::Unwritten, Lost::Ends].map(|lost| (has_intent, lost)))
    {
        let mut world = World::with(Config { outbox_id: "first".to_owned(), ..Config::default() });
        world.recover();
        world.ask("one", execute());
        let is_lost = |record: &Record| match record {
            Record::Started { .. } => !has_intent,
            record => matches!(record, Record::Ended { .. }),
        };
        let end = world.journal.iter().position(is_lost).expect("it has both");
        world.journal.truncate(end);
        world.crash(true, Part::Nothing);
        (world.config.lost, world.config.outbox_id) = (lost, "second".to_owned());
        world.recover();
        let what = format!("intent {has_intent}, {lost:?}");
        assert_eq!(begun(&world), ["one"], "{what}");
        let outcome = world.outcome("one").cloned().unwrap();
        assert!(outcome.error().is_some_and(|error| error.starts_with(UNKNOWN)), "{what}: {outcome:?}");
    }
}

#[test]
fn an_agent_that_looks_the_host_over_runs_nothing_before() {
    let mut world = World::new();
    world.submit("one", execute());
    world.submit("two", execute());
    world.journal.truncate(1);
    world.crash(true, Part::Nothing);
    let mut tracker = nkudo_tracker::Tracker::replay(world.config.clone(), world.journal.clone());
    assert_eq!(tracker.step(Input::Tick, world.now), []);
    let effects = tracker.step(Input::Recovered { found: Vec::new() }, world.now);
    assert!(
        effects.iter().all(|effect| matches!(effect, Effect::Persist { .. })),
        "first its intent is written again: {effects:?}"
    );
}

#[test]
fn a_command_asks_the_same_only_with_the_same_parameters() {
    let mut world = World::new();
    world.ask("one", execute());
    let Request::Execute(mut other) = execute() else { panic!("it is a command") };
    other.args.push("--since".to_owned());
    let ticket = world.submit("one", Request::Execute(other));
    world.run();
    assert_eq!(world.admissions[&ticket], Admission::Conflict);
    assert_eq!(begun(&world), ["one"]);
}
