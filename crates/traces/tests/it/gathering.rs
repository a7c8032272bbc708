//! When a trace is complete, and what becomes of it.

use std::time::Duration;

use nkudo_spans::FinishedSpan;
use nkudo_traces::{Config, ConfigError, Sampling, Stats};

use crate::spans::{failed, of_trace, span, text, trace_id, with};
use crate::world::{World, pair};

const NOTHING: Duration = Duration::ZERO;

fn quiet() -> Duration {
    Config::default().quiet
}

#[test]
fn a_trace_is_written_when_its_root_is_here_and_nothing_more_comes() {
    let mut world = World::new(Config::default());
    assert_eq!(world.recent.next_due(), None);
    world.offer(pair(1));
    assert_eq!(world.recent.next_due(), Some(world.now + quiet()));
    world.after(quiet() / 2);
    world.offer([of_trace(1, span("c", "a", 5, 6))]);
    world.after(quiet() / 2);
    assert_eq!(world.recent.stats().kept_sampled, 0, "it is not quiet yet");
    assert_eq!(world.names(1), ["a", "b", "c"], "what is gathered is found");
    assert!(world.killed().names(1).is_empty());
    world.after(quiet() / 2);
    assert_eq!(world.recent.next_due(), None);
    assert_eq!(world.killed().names(1), ["a", "b", "c"]);
    let stats = world.recent.stats();
    assert_eq!(stats, Stats { received: 3, kept_sampled: 1, ..Stats::default() });
}

/// A trace that begins with this span is complete after so long.
#[track_caller]
fn check_due(first: FinishedSpan, due: Duration) {
    let mut world = World::new(Config::default());
    world.offer([first]);
    assert_eq!(world.recent.next_due(), Some(world.now + due));
    world.after(due - Duration::from_nanos(1));
    assert_eq!(world.recent.stats().kept_sampled, 0);
    world.after(Duration::from_nanos(1));
    assert_eq!(world.recent.stats().kept_sampled, 1);
    assert_eq!(world.killed().ids(), [trace_id(1)]);
}

#[test]
fn a_root_is_what_nothing_in_this_program_is_around() {
    let deadline = Config::default().deadline;
    let child = span("b", "a", 1, 2);
    check_due(span("a", "", 0, 10), quiet());
    check_due(child.clone(), deadline);
    for (kind, due) in [("server", quiet()), ("CONSUMER", quiet()), ("client", deadline), ("", deadline)] {
        check_due(with(child.clone(), "otel.kind", text(kind)), due);
    }
}

#[test]
fn a_trace_that_never_falls_silent_is_written_at_the_deadline() {
    let mut world = World::new(Config::default());
    world.offer([span("a", "", 0, 10)]);
    let mut waited = NOTHING;
    while world.recent.stats().kept_sampled == 0 {
        world.offer([span("b", "a", 1, 2)]);
        world.after(quiet() / 2);
        waited += quiet() / 2;
    }
    assert_eq!(waited, Config::default().deadline);
}

#[test]
fn late_spans_are_put_to_their_trace() {
    let mut world = World::new(Config::default());
    world.keep(pair(1));
    world.keep(pair(2));
    world.offer([of_trace(1, failed(span("late", "b", 5, 30), "lost"))]);
    assert_eq!(world.names(1), ["a", "b", "late"]);
    world.after(quiet());
    assert_eq!(world.recent.stats().late, 1);
    assert_eq!(world.recent.stats().kept_sampled, 2, "no trace more");
    let after = world.killed();
    assert_eq!(after.names(1), ["a", "b", "late"]);
    assert!(after.recent.trace(trace_id(1)).expect("it is there").failed());
    assert_eq!(after.ids(), [trace_id(2), trace_id(1)]);
}

#[test]
fn spans_that_come_late_too_often_are_dropped_and_counted() {
    let mut world = World::new(Config::default());
    world.keep(pair(1));
    for part in 0..34 {
        world.keep([of_trace(1, span(&format!("late{part}"), "a", 20 + part, 90))]);
    }
    let stats = world.recent.stats();
    assert_eq!((stats.late, stats.spans_dropped_late), (34, 2));
    assert_eq!(world.names(1).len(), 2 + 32);
    assert_eq!(world.killed().names(1).len(), 2 + 32);
}

#[test]
fn spans_that_are_told_again_take_no_room_and_nobodys_place() {
    let mut world = World::new(Config::default());
    world.keep(pair(1));
    let mut told = pair(1);
    for part in 0..12 {
        told.push(of_trace(1, span(&format!("late{part}"), "a", 20 + part, 40)));
        // All of it again, four times with nothing new.
        for _ in 0..5 {
            world.keep(told.clone());
        }
    }
    assert_eq!(world.recent.stats().spans_dropped_late, 0);
    assert_eq!(world.names(1).len(), 2 + 12);
    assert_eq!(world.killed().names(1).len(), 2 + 12);
}

#[test]
fn what_is_not_sampled_is_dropped_unless_it_failed_or_was_slow() {
    let sampling = Sampling { ratio: 0.0, slow: Duration::from_millis(50) };
    let mut world = World::new(Config { sampling, ..Config::default() });
    world.keep(pair(1));
    world.keep([of_trace(2, failed(span("a", "", 2, 3), "no"))]);
    world.keep([of_trace(3, span("a", "", 3, 53))]);
    assert_eq!(world.ids(), [trace_id(3), trace_id(2)]);
    let expected =
        Stats { received: 4, kept_failed: 1, kept_slow: 1, dropped_sampling: 1, ..Stats::default() };
    assert_eq!(world.recent.stats(), expected);
}

#[test]
fn a_trace_without_room_keeps_its_failed_and_longest_spans() {
    let mut world = World::new(Config { trace_bytes: 4 << 10, ..Config::default() });
    let numbered = |at: u64| span(&format!("n{at:04}"), "root", 0, at);
    world.offer((1..=200).map(numbered));
    world.offer([failed(span("short", "root", 0, 0), "no"), span("root", "", 0, 1_000)]);
    world.after(quiet());
    let names = world.killed().names(1);
    let dropped = world.recent.stats().spans_dropped_full;
    assert_eq!(names.len() as u64 + dropped, 202);
    assert!(names.contains(&"root".to_owned()) && names.contains(&"short".to_owned()), "{names:?}");
    let kept = names.len() as u64 - 2;
    assert!(kept > 10);
    for at in 1..=200 {
        assert_eq!(names.contains(&format!("n{at:04}")), at > 200 - kept, "{at}");
    }
}

#[test]
fn a_span_that_is_larger_than_a_trace_may_be_is_dropped() {
    let mut world = World::new(Config { trace_bytes: 4 << 10, ..Config::default() });
    world.keep([with(span("huge", "", 0, 1), "body", text(&"x".repeat(4 << 10)))]);
    assert_eq!(world.recent.stats(), Stats { received: 1, spans_dropped_full: 1, ..Stats::default() });
    assert_eq!(world.recent.next_due(), None);
}

#[test]
fn memory_has_a_bound_and_what_waits_longest_is_written_first() {
    let config = Config { memory_bytes: 64 << 10, traces: 100, trace_bytes: 4 << 10, ..Config::default() };
    let mut world = World::new(config);
    // Without roots these wait for a minute.
    for number in 0..1_000 {
        world.offer([of_trace(number, span("b", "a", number, number + 1))]);
    }
    let stats = world.recent.stats();
    assert!(stats.kept_sampled > 500, "{stats:?}");
    let ids = world.ids();
    assert_eq!(ids.first(), Some(&trace_id(999)));
    assert!(ids.is_sorted_by_key(|id| std::cmp::Reverse(id.to_bytes())), "no newer one went before an older");
    world.recent.flush(world.now);
    let stats = world.recent.stats();
    assert_eq!(stats.kept_sampled, 1_000);
    let after = world.killed().ids();
    assert!((90..=100).contains(&after.len()), "{}", after.len());
    assert_eq!(stats.evicted, 1_000 - after.len() as u64);
}

#[test]
fn at_the_end_of_a_program_everything_is_written_and_survives_a_loss_of_power() {
    let mut world = World::new(Config::default());
    world.offer([span("b", "a", 1, 2)]);
    world.offer(pair(2));
    world.recent.flush(world.now);
    let after = World::on(world.disk.crash(), world.config);
    assert_eq!(after.ids(), [trace_id(2), trace_id(1)]);
    assert_eq!(after.recent.stats(), Stats::default());
}

#[test]
fn opening_writes_nothing() {
    let world = World::new(Config::default());
    assert_eq!(world.disk.operations(), 0);
    assert!(world.ids().is_empty());
    assert!(world.recent.failure().is_none());
}

/// These bounds are refused with this text.
#[track_caller]
fn check_refused(config: Config, expected: &str) {
    let dir = std::path::Path::new(crate::world::DIR);
    let refused = nkudo_traces::Recent::open_on(nkudo_journal::SimulatedDisk::new(), dir, config);
    let error: ConfigError = refused.expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn bounds_that_make_no_sense_are_refused_with_what_to_give() {
    let bounds = Config::default();
    for (ratio, told) in [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let sampling = Sampling { ratio, ..Sampling::default() };
        let expected = format!("a sampling ratio of {told} is none: give a number from 0 to 1");
        check_refused(Config { sampling, ..bounds }, &expected);
    }
    check_refused(Config { trace_bytes: 1, ..bounds }, "`trace_bytes` is 1: give 4096 to 122880");
    check_refused(Config { traces: 0, ..bounds }, "`traces` is 0: give the number of traces to keep");
    check_refused(
        Config { traces: 100, trace_bytes: 4 << 10, memory_bytes: 9_999, ..bounds },
        "`memory_bytes` is 9999, and to keep 100 `traces` takes 24192: give more, or keep fewer",
    );
    check_refused(
        Config { disk_bytes: 0, ..bounds },
        "`disk_bytes` is 0: give at least 491520, four times `trace_bytes`",
    );
    let week = Duration::from_hours(168);
    for (what, config) in [
        ("quiet", Config { quiet: week, ..bounds }),
        ("deadline", Config { deadline: Duration::MAX, ..bounds }),
        ("retry", Config { retry: week, ..bounds }),
    ] {
        let found = if what == "deadline" { Duration::MAX } else { week };
        check_refused(config, &format!("`{what}` is {found:?}: give at most 86400s"));
    }
}

#[test]
fn as_many_traces_are_kept_as_are_allowed_and_have_room_on_disk() {
    let keep = |traces: usize| {
        let mut world = World::new(Config::default().with_traces(traces));
        (1..=5_000).for_each(|number| world.keep([of_trace(number, span("a", "", 0, 10))]));
        let stats = world.recent.stats();
        assert_eq!(stats.kept_sampled, 5_000, "{stats:?}");
        stats.kept_sampled - stats.evicted
    };
    assert_eq!(keep(6_000), 5_000);
    // A segment goes at once, a sixteenth of them.
    let kept = keep(3_000);
    assert!((2_800..=3_000).contains(&kept), "{kept}");
}
