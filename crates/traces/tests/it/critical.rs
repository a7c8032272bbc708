//! Which spans a trace waited for.

use std::collections::HashMap;

use nkudo_spans::{FinishedSpan, SpanId};
use nkudo_traces::{CriticalPath, Trace};
use proptest::prelude::*;

use crate::spans::{MILLI, START, span, span_id, trace};

/// The path as names with their times in milliseconds.
#[track_caller]
fn check(spans: &[FinishedSpan], path: &[(&str, u64, u64)], slowest: Option<(&str, u64)>) {
    let found = CriticalPath::of(&trace(spans.to_vec()));
    let ms = |ns: u64| (ns - START) / MILLI;
    let expected: Vec<_> = path.iter().map(|(name, from, to)| (span_id(name), *from, *to)).collect();
    let segments = found.segments.iter();
    let segments: Vec<_> =
        segments.map(|part| (part.span_id, ms(part.from_unix_ns), ms(part.to_unix_ns))).collect();
    assert_eq!(segments, expected);
    assert_eq!(found.slowest(), slowest.map(|(name, ms)| (span_id(name), ms * MILLI)));
}

#[test]
fn a_span_alone_is_the_path() {
    check(&[span("a", "", 0, 100)], &[("a", 0, 100)], Some(("a", 100)));
}

#[test]
fn of_children_beside_each_other_the_last_to_end_counts() {
    check(
        &[span("a", "", 0, 100), span("fast", "a", 10, 40), span("slow", "a", 10, 90)],
        &[("a", 0, 10), ("slow", 10, 90), ("a", 90, 100)],
        Some(("slow", 80)),
    );
}

#[test]
fn children_after_each_other_all_count() {
    check(
        &[span("a", "", 0, 100), span("b", "a", 10, 40), span("c", "a", 40, 60), span("d", "a", 70, 100)],
        &[("a", 0, 10), ("b", 10, 40), ("c", 40, 60), ("a", 60, 70), ("d", 70, 100)],
        Some(("b", 30)),
    );
}

#[test]
fn a_child_that_overlaps_with_the_one_waited_for_does_not_count() {
    check(
        &[span("a", "", 0, 100), span("b", "a", 0, 60), span("c", "a", 50, 100), span("d", "a", 5, 45)],
        &[("a", 0, 5), ("d", 5, 45), ("a", 45, 50), ("c", 50, 100)],
        Some(("c", 50)),
    );
}

#[test]
fn the_path_goes_down_into_children() {
    check(
        &[span("a", "", 0, 100), span("b", "a", 10, 90), span("c", "b", 20, 80), span("d", "c", 30, 35)],
        &[
            ("a", 0, 10),
            ("b", 10, 20),
            ("c", 20, 30),
            ("d", 30, 35),
            ("c", 35, 80),
            ("b", 80, 90),
            ("a", 90, 100),
        ],
        Some(("c", 55)),
    );
}

#[test]
fn what_other_clocks_say_begins_within_the_parent() {
    check(
        &[span("a", "", 10, 100), span("b", "a", 0, 30), span("c", "a", 80, 100), span("d", "c", 70, 95)],
        &[("b", 10, 30), ("a", 30, 80), ("d", 80, 95), ("c", 95, 100)],
        Some(("a", 50)),
    );
    check(&[span("a", "", 10, 20), span("b", "a", 0, 9)], &[("a", 10, 20)], Some(("a", 10)));
}

#[test]
fn what_a_request_asked_for_is_waited_for_after_its_answer() {
    check(
        &[
            span("request", "", 0, 5),
            span("store", "request", 1, 4),
            span("deliver", "request", 10, 12),
            span("create", "deliver", 11, 90),
            span("boot", "create", 20, 85),
        ],
        &[
            ("request", 0, 1),
            ("store", 1, 4),
            ("request", 4, 5),
            ("deliver", 10, 11),
            ("create", 11, 20),
            ("boot", 20, 85),
            ("create", 85, 90),
        ],
        Some(("boot", 65)),
    );
}

#[test]
fn a_child_that_outlasts_its_parent_counts_within_it_where_something_later_was_waited_for() {
    check(
        &[span("a", "", 0, 200), span("b", "a", 0, 100), span("c", "b", 60, 140), span("d", "a", 100, 150)],
        &[("b", 0, 60), ("c", 60, 100), ("d", 100, 150), ("a", 150, 200)],
        Some(("b", 60)),
    );
}

#[test]
fn while_nothing_within_is_at_work_it_is_the_time_of_the_nearest_around_that_is_open() {
    check(
        &[span("a", "", 0, 100), span("b", "a", 5, 40), span("c", "b", 10, 20), span("d", "c", 50, 60)],
        &[
            ("a", 0, 5),
            ("b", 5, 10),
            ("c", 10, 20),
            ("b", 20, 40),
            ("a", 40, 50),
            ("d", 50, 60),
            ("a", 60, 100),
        ],
        Some(("a", 55)),
    );
}

#[test]
fn a_root_without_time_has_no_path_but_that_of_what_it_began() {
    check(&[span("a", "", 5, 5)], &[], None);
    check(&[span("a", "", 5, 5), span("b", "a", 5, 9)], &[("b", 5, 9)], Some(("b", 4)));
}

#[test]
fn other_tops_are_not_on_the_path() {
    check(&[span("a", "", 0, 10), span("b", "lost", 0, 50)], &[("a", 0, 10)], Some(("a", 10)));
}

#[test]
fn own_times_are_told_with_the_longest_first() {
    let spans = [span("a", "", 0, 100), span("b", "a", 10, 40), span("c", "a", 40, 45)];
    let path = CriticalPath::of(&trace(spans));
    let expected = [("a", 65), ("b", 30), ("c", 5)].map(|(name, ms)| (span_id(name), ms * MILLI));
    assert_eq!(path.self_times(), expected);
}

/// Spans that hang below each other anyhow, with clocks that agree on nothing.
fn spans() -> impl Strategy<Value = Vec<FinishedSpan>> {
    let one = (0..30_u64, 0..100_u64, 0..60_u64);
    proptest::collection::vec(one, 1..30).prop_map(|all| {
        let id = |at: u64| SpanId::from_bytes((at + 1).to_be_bytes()).expect("it is not zero");
        let place = |(at, (parent, from, length)): (usize, &(u64, u64, u64))| FinishedSpan {
            span_id: id(at as u64),
            parent_id: (at > 0).then(|| id(*parent)),
            ..span("s", "", *from, from + length)
        };
        all.iter().enumerate().map(place).collect()
    })
}

/// How long a span takes, and how long its parts on the path do.
fn shares(trace: &Trace) -> HashMap<SpanId, (u64, u64)> {
    let mut shares: HashMap<SpanId, (u64, u64)> =
        trace.spans().iter().map(|span| (span.span_id, (span.duration_ns, 0))).collect();
    for (id, time_ns) in CriticalPath::of(trace).self_times() {
        shares.get_mut(&id).expect("the path is of known spans").1 += time_ns;
    }
    shares
}

proptest! {
    #[test]
    fn the_path_covers_the_root_once(spans in spans()) {
        let trace = trace(spans);
        let path = CriticalPath::of(&trace);
        let (start, end) = (trace.root().start_unix_ns, trace.root().end_unix_ns());
        let mut at = start;
        for part in &path.segments {
            prop_assert!(at <= part.from_unix_ns && part.from_unix_ns < part.to_unix_ns);
            prop_assert!(at == part.from_unix_ns || end <= at, "a gap at {} in the root", at - start);
            let span = trace.spans().iter().find(|span| span.span_id == part.span_id).expect("it is known");
            prop_assert!(span.start_unix_ns <= part.from_unix_ns && part.to_unix_ns <= span.end_unix_ns());
            at = part.to_unix_ns;
        }
        prop_assert!(end <= at && at <= trace.start_unix_ns() + trace.duration_ns());
        for (whole, own) in shares(&trace).into_values() {
            prop_assert!(own <= whole);
        }
    }

    #[test]
    fn the_tree_has_every_span_once_and_after_what_is_around_it(spans in spans()) {
        let trace = trace(spans);
        let mut above: Vec<SpanId> = Vec::new();
        let mut seen = Vec::new();
        for branch in trace.tree() {
            prop_assert!(branch.depth <= above.len());
            above.truncate(branch.depth);
            if let Some(parent) = above.last() {
                prop_assert_eq!(branch.span.parent_id, Some(*parent));
            }
            above.push(branch.span.span_id);
            seen.push(branch.span.span_id.to_bytes());
        }
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), trace.spans().len());
    }
}
