//! What is asked of traces.

use std::time::Duration;

use nkudo_spans::AttributeValue;
use nkudo_traces::{Config, Cursor, Query, SlowStep, Status, Summary, Trace};
use proptest::prelude::*;

use crate::spans::{MILLI, START, failed, of_trace, span, span_id, text, trace_id, with};
use crate::world::World;

/// Three traces on disk, one that is written and not complete, one that is only gathered.
fn world() -> World {
    let mut world = World::new(Config::default());
    let pay = with(span("pay", "order", 10, 70), "card", text("Visa"));
    world.keep([span("order", "", 0, 100), with(pay, "tries", AttributeValue::Integer(3))]);
    let list = with(span("list", "", 200, 203), "limit", AttributeValue::Float(2.5));
    world.keep([of_trace(2, with(list, "cached", AttributeValue::Bool(true)))]);
    let order = with(span("order", "", 300, 310), "user", text("J\u{f6}rg"));
    world.keep([of_trace(3, order), of_trace(3, failed(span("pay", "order", 301, 309), "Card refused"))]);
    world.keep([of_trace(4, span("order", "", 400, 420))]);
    world.offer([of_trace(4, failed(span("mail", "order", 405, 430), "no route"))]);
    world.offer([of_trace(5, span("pay", "order", 500, 501))]);
    world
}

/// A query finds these traces.
#[track_caller]
fn check(query: &Query, expected: &[u64]) {
    let world = world();
    let found = world.recent.search(query).expect("it can be answered");
    let ids: Vec<_> = found.summaries.iter().map(|summary| summary.trace_id).collect();
    let expected: Vec<_> = expected.iter().copied().map(trace_id).collect();
    assert_eq!(ids, expected, "{query:?}");
    assert_eq!((found.next, found.damaged), (None, 0));
}

fn attributes(pairs: &[(&str, &str)]) -> Query {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Query { attributes: pairs.iter().map(own).collect(), ..Query::default() }
}

fn mentions(text: &str) -> Query {
    Query { text: Some(text.to_owned()), ..Query::default() }
}

#[test]
fn everything_is_found_newest_first() {
    check(&Query::default(), &[5, 4, 3, 2, 1]);
}

#[test]
fn traces_are_found_by_their_ids() {
    check(&Query { ids: vec![trace_id(2), trace_id(9), trace_id(4)], ..Query::default() }, &[4, 2]);
}

#[test]
fn traces_are_found_by_the_beginning_of_their_ids() {
    let whole = trace_id(2).to_string();
    for digits in [31, 32] {
        let prefix = whole.get(..digits).and_then(|prefix| prefix.parse().ok());
        let expected: &[u64] = if digits == 32 { &[2] } else { &[5, 4, 3, 2, 1] };
        check(&Query { id_prefix: prefix, ..Query::default() }, expected);
    }
    check(&Query { id_prefix: "abcdef".parse().ok(), ..Query::default() }, &[]);
}

#[test]
fn of_traces_of_which_one_sees_a_part_only_the_part_is_told() {
    // Everything but what failed, and what was around it.
    let unfailed = |trace: Trace| {
        let own = trace.into_spans().into_iter().filter(|span| !span.failed);
        Trace::gather(own.filter(|span| span.parent_id.is_some())).pop()
    };
    let world = world();
    let ids = |query: &Query| -> Vec<_> {
        let found = world.recent.search_parts(query, unfailed).expect("it can be answered");
        found.summaries.into_iter().map(|summary| (summary.trace_id, summary.spans)).collect()
    };
    let parts = [(trace_id(5), 1), (trace_id(1), 1)];
    assert_eq!(ids(&Query::default()), parts);
    assert_eq!(ids(&Query { status: Some(Status::Ok), ..Query::default() }), parts);
    for hidden in [
        Query { status: Some(Status::Error), ..Query::default() },
        mentions("no route"),
        mentions("J\u{f6}rg"),
        attributes(&[("user", "J\u{f6}rg")]),
        Query { min_duration: Some(Duration::from_millis(61)), ..Query::default() },
        // The whole began before, the part that is seen did not.
        Query { until_unix_ns: Some(START + 5 * MILLI), ..Query::default() },
    ] {
        assert_eq!(ids(&hidden), [], "{hidden:?}");
    }
    let since = Query { since_unix_ns: Some(START + 5 * MILLI), ..Query::default() };
    assert_eq!(ids(&since), parts);
}

#[test]
fn traces_are_found_by_attributes_of_any_span() {
    check(&attributes(&[("card", "Visa")]), &[1]);
    check(&attributes(&[("card", "visa")]), &[]);
    check(&attributes(&[("tries", "3"), ("card", "Visa")]), &[1]);
    check(&attributes(&[("tries", "4"), ("card", "Visa")]), &[]);
    check(&attributes(&[("limit", "2.5"), ("cached", "true")]), &[2]);
    check(&attributes(&[("unknown", "")]), &[]);
    check(&attributes(&[("error", "no route")]), &[4]);
}

#[test]
fn traces_are_found_by_their_status() {
    check(&Query { status: Some(Status::Error), ..Query::default() }, &[4, 3]);
    check(&Query { status: Some(Status::Ok), ..Query::default() }, &[5, 2, 1]);
}

#[test]
fn traces_are_found_by_when_they_began() {
    let at = |ms: u64| Some(START + ms * MILLI);
    check(&Query { since_unix_ns: at(200), ..Query::default() }, &[5, 4, 3, 2]);
    check(&Query { until_unix_ns: at(200), ..Query::default() }, &[1]);
    check(&Query { since_unix_ns: at(200), until_unix_ns: at(400), ..Query::default() }, &[3, 2]);
    check(&Query { since_unix_ns: Some(u64::MAX), ..Query::default() }, &[]);
}

#[test]
fn traces_are_found_by_how_long_they_took() {
    let least = |ms| Query { min_duration: Some(Duration::from_millis(ms)), ..Query::default() };
    check(&least(100), &[1]);
    check(&least(30), &[4, 1]);
    check(&least(101), &[]);
    check(&Query { min_duration: Some(Duration::MAX), ..Query::default() }, &[]);
}

#[test]
fn traces_are_found_by_text_in_names_values_and_errors() {
    check(&mentions("PAY"), &[5, 3, 1]);
    check(&mentions("refus"), &[3]);
    check(&mentions("j\u{d6}R"), &[3]);
    check(&mentions("visa"), &[1]);
    check(&mentions("card"), &[3]);
    check(&mentions("true"), &[2]);
    check(&mentions("nowhere"), &[]);
}

#[test]
fn all_parts_of_a_query_hold() {
    let query =
        Query { status: Some(Status::Error), until_unix_ns: Some(START + 350 * MILLI), ..mentions("pay") };
    check(&query, &[3]);
    check(&Query { ids: vec![trace_id(4)], ..query }, &[]);
}

#[test]
fn a_summary_tells_what_a_trace_is() {
    let world = world();
    let found = world.recent.search(&mentions("refused")).expect("it can be answered");
    let expected = Summary {
        trace_id: trace_id(3),
        name: "order".to_owned(),
        start_unix_ns: START + 300 * MILLI,
        duration_ns: 10 * MILLI,
        spans: 2,
        failed: true,
        error: Some("Card refused".to_owned()),
        slow_step: Some(SlowStep { span_id: span_id("pay"), name: "pay".to_owned(), self_ns: 8 * MILLI }),
    };
    assert_eq!(found.summaries, [expected]);
}

/// A query is refused with this text.
#[track_caller]
fn check_refused(query: &Query, expected: &str) {
    let error = world().recent.search(query).expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nonsense_is_refused_with_what_to_give() {
    let query = Query::default;
    check_refused(&Query { limit: 0, ..query() }, "`limit` is 0: give 1 to 1000");
    check_refused(&Query { limit: 1_001, ..query() }, "`limit` is 1001: give 1 to 1000");
    let range = "`since` is not before `until`: give an earlier `since` or a later `until`";
    check_refused(&Query { since_unix_ns: Some(5), until_unix_ns: Some(5), ..query() }, range);
    check_refused(&mentions(""), "`text` is empty: leave it out, or give what to look for");
    check_refused(&mentions(&"x".repeat(1_025)), "`text` has 1025 bytes: give at most 1024");
    check_refused(&attributes(&[("", "x")]), "an attribute to look for has no name: give name and value");
    check_refused(&attributes(&[("a", "x"); 33]), "33 attributes are too many: give at most 32");
    let ids = vec![trace_id(1); 1_001];
    check_refused(&Query { ids, ..query() }, "1001 ids are too many: give at most 1000");
}

#[test]
fn words_that_are_no_status_or_cursor_are_refused() {
    assert_eq!("ok".parse(), Ok(Status::Ok));
    assert_eq!("error".parse(), Ok(Status::Error));
    for word in ["", "Error", "failed", "ok "] {
        let error = word.parse::<Status>().expect_err(word);
        assert_eq!(error.to_string(), format!("`status` is {word:?}: give ok or error"));
    }
    let id = trace_id(1);
    for word in
        ["", "-", "5", "5-", &format!("-{id}"), &format!("x-{id}"), &format!("5-{id}0"), &format!("5 -{id}")]
    {
        let error = word.parse::<Cursor>().expect_err(word);
        let expected = format!("`cursor` is {word:?}: give what the answer before gave, or leave it out");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_cursor_goes_through_text() {
    let query = Query { limit: 2, ..Query::default() };
    let cursor = world().recent.search(&query).expect("it can be answered").next.expect("there is more");
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
}

#[test]
fn an_answer_reads_a_bounded_number_of_traces_and_goes_on_where_it_ended() {
    let mut world = World::new(Config { traces: 5_000, memory_bytes: 8 << 20, ..Config::default() });
    world.offer((1..=2_500).map(|number| {
        // Two at a time.
        let root = of_trace(number, span("a", "", number / 2, number));
        if number == 3 { failed(root, "rare") } else { root }
    }));
    world.after(world.config.quiet);
    let mut query = Query { limit: 10, ..mentions("rare") };
    let mut answers = Vec::new();
    loop {
        let found = world.recent.search(&query).expect("it can be answered");
        answers.push(found.summaries.len());
        query.cursor = found.next;
        let Some(cursor) = found.next else { break };
        // What was read and is not in the answer is not named either.
        assert!(cursor.to_string().ends_with("-00000000000000000000000000000001"), "{cursor}");
    }
    assert_eq!(answers, [0, 0, 1]);
    // What ended before is not read at all, also for somebody who sees parts only.
    let since = Query { since_unix_ns: Some(START + 1_200 * MILLI), cursor: None, ..query };
    for found in [world.recent.search(&since), world.recent.search_parts(&since, Some)] {
        let found = found.expect("it can be answered");
        assert_eq!((found.summaries.len(), found.next), (0, None));
    }
}

#[test]
fn traces_that_come_between_two_pages_change_neither() {
    let mut world = world();
    let first = Query { limit: 2, ..Query::default() };
    let cursor = world.recent.search(&first).expect("it can be answered").next;
    world.keep([of_trace(6, span("a", "", 600, 601))]);
    let rest = Query { cursor, ..Query::default() };
    let found = world.recent.search(&rest).expect("it can be answered");
    let ids: Vec<_> = found.summaries.iter().map(|summary| summary.trace_id).collect();
    assert_eq!(ids, [3, 2, 1].map(trace_id));
}

proptest! {
    /// Traces that begin at the same time have an order too.
    #[test]
    fn pages_together_are_the_whole_answer(
        starts in proptest::collection::vec((0..5_u64, any::<bool>()), 1..40),
        limit in 1..10_usize,
        status in proptest::option::of(any::<bool>()),
    ) {
        let mut world = World::new(Config::default());
        for (number, (start, fails)) in (1..).zip(&starts) {
            let root = of_trace(number, span("a", "", *start, start + 1));
            world.offer([if *fails { failed(root, "no") } else { root }]);
            if number % 3 == 0 {
                world.after(world.config.quiet);
            }
        }
        let status = status.map(|fails| if fails { Status::Error } else { Status::Ok });
        let mut expected: Vec<_> = (1..)
            .zip(&starts)
            .filter(|(_, (_, fails))| status.is_none_or(|status| *fails == (status == Status::Error)))
            .map(|(number, (start, _))| (*start, number))
            .collect();
        expected.sort_unstable();
        let expected: Vec<_> = expected.into_iter().rev().map(|(_, number)| trace_id(number)).collect();
        let (mut ids, mut query) = (Vec::new(), Query { limit, status, ..Query::default() });
        loop {
            let found = world.recent.search(&query).expect("it can be answered");
            prop_assert!(found.summaries.len() <= limit);
            ids.extend(found.summaries.iter().map(|summary| summary.trace_id));
            query.cursor = found.next;
            if query.cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(ids, expected);
    }
}
