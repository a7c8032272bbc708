//! How spans hang together.

use nkudo_spans::FinishedSpan;
use nkudo_traces::Trace;

use crate::spans::{MILLI, START, failed, of_trace, span, span_id, trace, trace_id};

/// The tree as text: two blanks for each level, and `?` before a span whose parent is not known.
fn drawn(trace: &Trace) -> Vec<String> {
    let line = |branch: nkudo_traces::Branch<'_>| {
        let orphan = if branch.orphan { "?" } else { "" };
        format!("{}{orphan}{}", "  ".repeat(branch.depth), branch.span.name)
    };
    trace.tree().map(line).collect()
}

/// However the spans come, they make this tree with this root.
#[track_caller]
fn check(spans: &[FinishedSpan], tree: &[&str], root: &str) {
    for turn in 0..spans.len() {
        let mut spans = spans.to_vec();
        spans.rotate_left(turn);
        let trace = trace(spans);
        assert_eq!(drawn(&trace), tree);
        assert_eq!(trace.root().name, root);
    }
}

#[test]
fn children_stand_in_their_parents_in_order_of_start() {
    check(
        &[span("c", "a", 50, 60), span("a", "", 0, 100), span("d", "b", 11, 12), span("b", "a", 10, 20)],
        &["a", "  b", "    d", "  c"],
        "a",
    );
}

#[test]
fn a_span_whose_parent_is_not_known_stands_at_the_root() {
    check(&[span("a", "", 5, 100), span("b", "lost", 0, 20), span("c", "b", 1, 2)], &["?b", "  c", "a"], "a");
}

#[test]
fn without_a_root_the_longest_of_the_top_stands_for_it() {
    check(&[span("a", "x", 0, 10), span("b", "y", 5, 50), span("c", "b", 6, 49)], &["?a", "?b", "  c"], "b");
}

#[test]
fn what_lies_within_a_span_is_told_apart_from_the_rest() {
    let spans = [
        span("a", "", 0, 100),
        span("b", "a", 10, 20),
        span("c", "b", 11, 12),
        span("d", "a", 30, 40),
        span("e", "d", 31, 32),
    ];
    let check = |top: &str, expected: &[&str]| {
        let is_top = |span: &FinishedSpan| span.name == top || span.parent_id == Some(span_id(top));
        let within = trace(spans.clone()).into_within(is_top);
        let names: Vec<_> = within.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, expected, "{top}");
    };
    check("a", &["a", "b", "c", "d", "e"]);
    check("b", &["b", "c"]);
    check("e", &["e"]);
    check("x", &[]);
    // Nobody knows the span, but who is in it says so.
    let circle = [span("a", "lost", 0, 9), span("b", "c", 1, 2), span("c", "b", 1, 2)];
    let within =
        trace(circle).into_within(|span| span.parent_id == Some(span_id("lost")) || span.name == "b");
    assert_eq!(within.len(), 3);
}

#[test]
fn of_several_roots_the_first_is_it() {
    check(&[span("a", "", 3, 4), span("b", "", 5, 90)], &["a", "b"], "a");
}

#[test]
fn what_begins_together_stands_in_what_ends_later() {
    check(&[span("b", "a", 0, 10), span("a", "", 0, 10), span("c", "a", 0, 9)], &["a", "  b", "  c"], "a");
}

#[test]
fn spans_that_are_their_own_ancestors_are_shown_once() {
    check(&[span("a", "a", 0, 10)], &["?a"], "a");
    check(&[span("a", "b", 0, 10), span("b", "a", 1, 9)], &["?a", "  b"], "a");
    check(
        &[span("r", "", 0, 1), span("a", "c", 2, 10), span("b", "a", 3, 9), span("c", "b", 4, 8)],
        &["r", "?a", "  b", "    c"],
        "r",
    );
}

#[test]
fn a_span_that_comes_twice_counts_once() {
    let (first, again) = (span("a", "", 0, 10), span("a", "", 0, 99));
    assert_eq!(trace([first.clone(), again]).spans(), [first]);
}

#[test]
fn a_chain_of_a_hundred_thousand_spans_is_no_burden() {
    let id = |at: u64| nkudo_spans::SpanId::from_bytes((at + 1).to_be_bytes()).expect("it is not zero");
    let link = |at: u64| FinishedSpan {
        span_id: id(at),
        parent_id: (at > 0).then(|| id(at - 1)),
        ..span("link", "", 0, 10)
    };
    let trace = trace((0..100_000).map(link));
    assert_eq!(trace.tree().last().map(|branch| branch.depth), Some(99_999));
    let path = nkudo_traces::CriticalPath::of(&trace);
    assert_eq!(path.segments.len(), 1);
    assert_eq!(path.segments[0].span_id, id(99_999));
}

#[test]
fn spans_are_told_apart_by_their_traces() {
    let spans = [of_trace(2, span("a", "", 20, 30)), of_trace(1, span("a", "", 0, 10)), span("b", "a", 1, 2)];
    let traces = Trace::gather(spans);
    let found: Vec<_> = traces.iter().map(|trace| (trace.id(), drawn(trace))).collect();
    assert_eq!(
        found,
        [(trace_id(1), vec!["a".to_owned(), "  b".to_owned()]), (trace_id(2), vec!["a".to_owned()]),]
    );
    assert!(Trace::gather([]).is_empty());
}

#[test]
fn a_trace_lasts_from_its_first_start_to_its_last_end() {
    let trace = trace([span("a", "", 10, 50), span("early", "a", 4, 20), span("late", "a", 40, 64)]);
    assert_eq!((trace.start_unix_ns(), trace.duration_ns()), (START + 4 * MILLI, 60 * MILLI));
}

#[test]
fn a_span_at_the_end_of_time_does_not_run_over() {
    let last = FinishedSpan { start_unix_ns: u64::MAX - 1, duration_ns: u64::MAX, ..span("a", "", 0, 0) };
    let trace = trace([last, FinishedSpan { start_unix_ns: 0, ..span("b", "a", 0, 0) }]);
    assert_eq!(trace.duration_ns(), u64::MAX);
}

/// The error that a trace tells.
#[track_caller]
fn check_error(spans: &[FinishedSpan], error: Option<&str>) {
    let trace = trace(spans.to_vec());
    assert_eq!(trace.error().as_deref(), error);
    assert_eq!(trace.failed(), spans.iter().any(|span| span.failed));
}

#[test]
fn the_error_is_that_of_the_root_or_else_the_deepest() {
    let (root, step) = (span("a", "", 0, 10), span("b", "a", 1, 9));
    let deep = failed(span("c", "b", 2, 8), "disk full");
    check_error(std::slice::from_ref(&root), None);
    check_error(&[failed(root.clone(), "refused"), step.clone(), deep.clone()], Some("refused"));
    check_error(&[root.clone(), failed(step.clone(), "no image"), deep.clone()], Some("disk full"));
    check_error(&[FinishedSpan { failed: true, ..root.clone() }, step.clone(), deep], Some("disk full"));
    check_error(&[FinishedSpan { failed: true, ..root.clone() }, step.clone()], None);
    // Of two at one depth it is the first.
    check_error(
        &[root.clone(), failed(step, "first"), failed(span("d", "a", 5, 6), "second")],
        Some("first"),
    );
    // An attribute of a span that did not fail is none.
    check_error(&[FinishedSpan { failed: false, ..failed(root, "handled") }], None);
}
