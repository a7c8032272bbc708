//! Search: what matches, what is passed over, and how an answer goes on.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use jiff::Timestamp;
use nkudo_logging::{
    Cursor, Found, LogLevel, Order, Query, QueryError, Rotation, SearchError, Skipped, log_end, search,
};
use tempfile::TempDir;

use crate::files::{at, config, line, open};

const FILE: &str = "app.00000001.2026-11-21.jsonl";

/// Line `number` of the tests, at that second after the start; `rest` follows the timestamp.
pub(crate) fn said(number: i64, rest: &str) -> String {
    format!("{{\"timestamp\":\"{:.3}\",{rest}}}\n", at(number))
}

/// Lines with a message each.
pub(crate) fn messages(texts: &[&str]) -> String {
    let message = |text: &str| format!("\"message\":{}", serde_json::to_string(text).unwrap());
    (0..).zip(texts).map(|(number, text)| said(number, &message(text))).collect()
}

pub(crate) fn all(dir: &Path, query: &Query) -> Found {
    search(dir, "app", query).unwrap()
}

/// The seconds after the start of the lines that are found, oldest first, and what was passed over.
fn found(dir: &Path, query: &Query) -> (Vec<i64>, Skipped) {
    let oldest_first = Query { order: Order::OldestFirst, ..query.clone() };
    let seconds = |found: &Found| -> Vec<i64> {
        found.hits.iter().map(|hit| hit.timestamp.as_second() - at(0).as_second()).collect()
    };
    let (oldest, newest) = (all(dir, &oldest_first), all(dir, query));
    assert_eq!((oldest.next, newest.next), (None, None));
    assert!(oldest.hits.iter().eq(newest.hits.iter().rev()), "both orders find the same");
    assert_eq!(oldest.skipped, newest.skipped);
    (seconds(&oldest), oldest.skipped)
}

/// Which lines of a log match a query.
fn check(lines: &str, query: &Query, expected: &[i64]) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(FILE), lines).unwrap();
    assert_eq!(found(dir.path(), query), (expected.to_vec(), Skipped::default()), "{query:?}");
}

fn text(text: &str) -> Query {
    Query { text: Some(text.to_owned()), ..Query::default() }
}

#[test]
fn texts_are_found_as_they_were_said_and_not_as_they_are_written() {
    let odd = messages(&[
        "a\"b",
        "a\\\"b",
        "tab\there",
        "line\nfeed",
        "back\\nslash",
        "a/b",
        "é 🦀",
        "\u{1b}[31m",
        "a\u{7f}b",
    ]);
    check(&odd, &text("a\"b"), &[0]);
    check(&odd, &text("a\\\"b"), &[1]);
    check(&odd, &text("\""), &[0, 1]);
    check(&odd, &text("\t"), &[2]);
    check(&odd, &text("e\nf"), &[3]);
    check(&odd, &text("\\n"), &[4]);
    check(&odd, &text("a/b"), &[5]);
    check(&odd, &text("🦀"), &[6]);
    check(&odd, &text("\u{1b}["), &[7]);
    check(&odd, &text("a\u{7f}"), &[8]);
    check(&odd, &text("u001b"), &[]);
    check(&odd, &text("A\"B"), &[]);
    // Another writer may escape whatever it likes.
    let escaped = "\"message\":\"\\u0061\\u002f\\u0062 \\/ \\ud83e\\udd80\"";
    for wanted in ["a/b", "/ 🦀", "b /"] {
        check(&said(0, escaped), &text(wanted), &[0]);
    }
}

#[test]
fn texts_are_found_in_messages_and_fields_only() {
    let line = "\"level\":\"info\",\"component\":\"queue\",\"message\":\"work done\",\"fields\":\
                {\"jobs\":31,\"disk\":\"vda\",\"ok\":true,\"deep\":{\"in\":\"side\"}},\"action_id\":\"a-1\"";
    let lines = said(0, line);
    for there in ["work done", "rk d", "31", "vda", "true", "side"] {
        check(&lines, &text(there), &[0]);
    }
    for absent in ["jobs", "queue", "info", "a-1", "2026", "work  done", "\"vda\"", "message"] {
        check(&lines, &text(absent), &[]);
    }
}

#[test]
fn a_line_has_to_match_all_that_is_asked() {
    let lines: String = [
        "\"level\":\"debug\",\"component\":\"disk\",\"message\":\"warn\",\"fields\":{}",
        "\"level\":\"info\",\"component\":\"disk\",\"message\":\"x\",\"fields\":{},\"action_id\":\"a-1\"",
        "\"level\":\"warn\",\"component\":\"disk-cache\",\"message\":\"x\",\"fields\":{\"action_id\":\"a-1\"}",
        "\"level\":\"error\",\"component\":\"disk\",\"message\":\"y\",\"fields\":{},\"action_id\":\"a-1\",\"trace_id\":\"t\"",
        "\"level\":\"odd\",\"message\":\"a-1 t disk error\"",
    ]
    .iter()
    .zip(0..)
    .map(|(rest, number)| said(number, rest))
    .collect();
    let any = Query::default;
    let level = |level| Query { level: Some(level), ..any() };
    let ids = |ids: &[(&str, &str)]| Query {
        ids: ids.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..any()
    };
    check(&lines, &any(), &[0, 1, 2, 3, 4]);
    check(&lines, &level(LogLevel::Debug), &[0, 1, 2, 3]);
    check(&lines, &level(LogLevel::Info), &[1, 2, 3]);
    check(&lines, &level(LogLevel::Warn), &[2, 3]);
    check(&lines, &level(LogLevel::Error), &[3]);
    check(&lines, &Query { component: Some("disk".into()), ..any() }, &[0, 1, 3]);
    check(&lines, &Query { component: Some("dis".into()), ..any() }, &[]);
    check(&lines, &ids(&[("action_id", "a-1")]), &[1, 3]);
    check(&lines, &ids(&[("action_id", "a-1"), ("trace_id", "t")]), &[3]);
    check(&lines, &ids(&[("action_id", "a-")]), &[]);
    check(&lines, &Query { text: Some("x".into()), ..level(LogLevel::Info) }, &[1, 2]);
    check(&lines, &Query { since: Some(at(1)), until: Some(at(3)), ..any() }, &[1, 2]);
    check(&lines, &Query { since: Some(at(4)), ..any() }, &[4]);
    check(&lines, &Query { until: Some(at(0)), ..any() }, &[]);
    let nearly: Timestamp = "2026-11-21T10:59:31.0001Z".parse().unwrap();
    check(&lines, &Query { since: Some(nearly), ..any() }, &[2, 3, 4]);
    check(&lines, &Query { until: Some(nearly), ..any() }, &[0, 1]);
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_cost_no_other() {
    let dir = TempDir::new().unwrap();
    let good = said(0, "\"message\":\"x\"");
    let mut log = good.clone().into_bytes();
    let bad: [&[u8]; 12] = [
        b"",
        b"\0\0\0\0",
        b"{\"timestamp\":\"2026-11-21T10:59:3",
        b"{\"timestamp\":\"2026-11-21T10:59:30.000Z\",\"message\":\"\xff\xfe\"}",
        b"{\"timestamp\":\"2026-11-21T10:59:30.000Z\",\"message\":\"\0\"}",
        b"{\"timestamp\":\"2026-11-31T10:59:30.000Z\"}",
        b"{\"timestamp\":12}",
        b"{\"message\":\"x\"}",
        b"[]",
        b"{}{}",
        b"{",
        b"\xff",
    ];
    for line in bad {
        log.extend_from_slice(line);
        log.push(b'\n');
    }
    log.extend_from_slice(good.as_bytes());
    fs::write(dir.path().join(FILE), &log).unwrap();
    let unreadable = bad.len() as u64;
    assert_eq!(found(dir.path(), &Query::default()), (vec![0, 0], Skipped { unreadable, too_long: 0 }));

    // Cut at any byte: only the last line, which may be being written, is not there yet.
    let two = messages(&["x", "y"]);
    for length in 0..two.len() {
        fs::write(dir.path().join(FILE), &two.as_bytes()[..length]).unwrap();
        let whole = two.as_bytes()[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(found(dir.path(), &Query::default()), ((0..).take(whole).collect(), Skipped::default()));
        // In a file that is ended it is counted.
        fs::write(dir.path().join("app.00000002.2026-11-21.jsonl"), said(2, "\"message\":\"z\"")).unwrap();
        let cut = u64::from(!(two.as_bytes()[..length].ends_with(b"\n") || length == 0));
        let skipped = Skipped { unreadable: cut, too_long: 0 };
        assert_eq!(found(dir.path(), &Query::default()), ((0..).take(whole).chain([2]).collect(), skipped));
        fs::remove_file(dir.path().join("app.00000002.2026-11-21.jsonl")).unwrap();
    }
}

#[test]
fn lines_of_any_length_up_to_one_mebibyte_are_read_across_blocks() {
    let (block, most) = (64 << 10, 1 << 20);
    let lengths = [100, block - 1, block, block + 1, 100, 2 * block, most - 1, most, 100, 100];
    for too_long in [0, most + 1, most + 2, most + block, 5 * most] {
        for place in [0, 5, lengths.len()] {
            let dir = TempDir::new().unwrap();
            let mut lines: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(number, bytes)| line(number, bytes + 1)).collect();
            if too_long > 0 {
                lines.insert(place, line(99, too_long + 1));
            }
            fs::write(dir.path().join(FILE), lines.concat()).unwrap();
            let (hits, skipped) = found(dir.path(), &Query::default());
            assert_eq!(hits.len(), lengths.len());
            assert_eq!(skipped, Skipped { unreadable: 0, too_long: u64::from(too_long > 0) });
            let hits = all(dir.path(), &Query::default()).hits;
            let read: Vec<usize> = hits.iter().rev().map(|hit| hit.line.len()).collect();
            assert_eq!(read, lengths);
        }
    }
}

#[test]
fn files_of_another_time_are_not_opened() {
    let dir = TempDir::new().unwrap();
    for (number, period) in [(1, ".2026-11-19"), (2, ".2026-11-20T23"), (3, ".2026-11-21"), (4, "")] {
        // Whoever opens it has one more line that cannot be read.
        let text = format!("no JSON\n{}", said(number, "\"message\":\"x\""));
        fs::write(dir.path().join(format!("app.0000000{number}{period}.jsonl")), text).unwrap();
    }
    let opened = |since: Option<&str>, until: Option<&str>| {
        let time = |text: &str| text.parse().unwrap();
        let query = Query { since: since.map(time), until: until.map(time), ..Query::default() };
        found(dir.path(), &query).1.unreadable
    };
    assert_eq!(opened(None, None), 4);
    assert_eq!(opened(Some("2026-11-21T10:00:00Z"), None), 2);
    assert_eq!(opened(Some("2026-11-21T00:05:00Z"), None), 3, "a line may be ten minutes late");
    assert_eq!(opened(None, Some("2026-11-20T00:00:00Z")), 2);
    assert_eq!(opened(None, Some("2026-11-20T23:55:00Z")), 4, "a clock may be ten minutes off");
    assert_eq!(opened(Some("2027-01-01T00:00:00Z"), None), 1, "without a period it has to be looked");
}

#[test]
fn what_is_before_a_place_is_not_found_whatever_its_lines_say_of_their_time() {
    let dir = TempDir::new().unwrap();
    let marked = "app.00000002.2026-11-21.jsonl";
    let write = |name: &str, lines: &str| fs::write(dir.path().join(name), lines).unwrap();
    let lines = messages(&["0", "1", "2", "3", "4"]);
    let before: String = lines.split_inclusive('\n').take(3).collect();
    let nothing = log_end(&dir.path().join("absent"), "app").unwrap();
    write(FILE, &said(-3_600, "\"message\":\"older\""));
    // Two hours ahead of what comes after them.
    write(marked, &before.replace("T10:", "T12:"));
    let place = log_end(dir.path(), "app").unwrap();
    let since = |since| Query { from: Some(place), since: Some(at(since)), ..Query::default() };
    let (first, all) = (since(-9_999), Query { from: Some(nothing), ..Query::default() });
    assert_eq!(found(dir.path(), &first).0, Vec::<i64>::new());
    write(marked, &(before.replace("T10:", "T12:") + lines.strip_prefix(&before).unwrap()));
    assert_eq!(found(dir.path(), &first).0, [3, 4]);
    assert_eq!(found(dir.path(), &since(4)).0, [4]);
    assert_eq!(found(dir.path(), &all).0.len(), 6);
    // Nor by a cursor of before, in either order.
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let page = Query { order, limit: 1, ..Query::default() };
        let cursor = search(dir.path(), "app", &page).unwrap().next;
        let went_on =
            search(dir.path(), "app", &Query { cursor, limit: 9, from: Some(place), order, ..page }).unwrap();
        let seconds = went_on.hits.iter().map(|hit| hit.timestamp.as_second() - at(0).as_second());
        let seconds: Vec<i64> = seconds.collect();
        assert_eq!(seconds, if order == Order::OldestFirst { vec![3, 4] } else { vec![3] });
    }
    // Later files count whole, and so does a log that was begun anew.
    write("app.00000003.2026-11-21.jsonl", &said(9, "\"message\":\"9\""));
    assert_eq!(found(dir.path(), &first).0, [3, 4, 9]);
    fs::remove_file(dir.path().join("app.00000003.2026-11-21.jsonl")).unwrap();
    fs::remove_file(dir.path().join(marked)).unwrap();
    assert_eq!(found(dir.path(), &first).0, [-3_600]);
}

#[test]
fn nonsense_is_refused_with_the_parameter_and_a_remedy() {
    let dir = TempDir::new().unwrap();
    let check = |query: Query, parameter: &str, words: &str| match search(dir.path(), "app", &query) {
        Err(SearchError::Query(error)) => {
            assert_eq!(error.parameter(), parameter);
            let told = error.to_string();
            assert!(told.contains(words) && told.len() < 300, "{told}");
        }
        other => panic!("{query:?} gave {other:?}"),
    };
    let long = "x".repeat(1_025);
    let any = Query::default;
    let id = |name: &str, value: &str| Query { ids: vec![(name.into(), value.into())], ..any() };
    check(text(""), "text", "give what to search for, or leave it away");
    check(text(&long), "text", "has 1025 bytes, at most 1024");
    check(Query { component: Some(String::new()), ..any() }, "component", "is empty");
    check(Query { component: Some(long.clone()), ..any() }, "component", "give a part of it");
    check(id("", "x"), "ids", "is empty");
    check(id("action_id", ""), "action_id", "is empty");
    check(id("trace_id", &long), "trace_id", "1025");
    check(id(&long, "x"), "ids", "1025");
    check(id("message", "x"), "message", "search for it by `text`");
    check(id("level", "warn"), "level", "search for it by `level`");
    check(Query { ids: vec![("a".into(), "b".into()); 17], ..any() }, "ids", "at most 16");
    for limit in [0, 1_001, usize::MAX] {
        check(Query { limit, ..any() }, "limit", "give 1 to 1000");
    }
    check(Query { since: Some(at(1)), until: Some(at(1)), ..any() }, "since", "not before `until`");
    check(Query { since: Some(at(2)), until: Some(at(1)), ..any() }, "since", "swap them");
    let end = all(dir.path(), &any()).end;
    check(Query { cursor: Some(end), ..any() }, "cursor", "in the other order");
    for nonsense in ["", "n", "n_1_1", "x_00000001_1", "n_00000001_-1", "n_00000001_1_1", &long, "ü_ü_ü"] {
        let error = nonsense.parse::<Cursor>().unwrap_err();
        assert!(matches!(error, QueryError::Cursor { .. }) && error.to_string().len() < 300, "{error}");
    }
    let error = search(&dir.path().join("absent"), "app", &any()).unwrap_err();
    assert!(error.to_string().contains("give the directory that the program logs to"), "{error}");
    let error = search(dir.path(), "../app", &any()).unwrap_err();
    assert!(matches!(error, SearchError::Name(_)), "{error}");
}

#[test]
fn an_empty_log_has_no_lines_and_no_error() {
    let dir = TempDir::new().unwrap();
    assert_eq!(found(dir.path(), &Query::default()), (vec![], Skipped::default()));
    fs::write(dir.path().join(FILE), "").unwrap();
    assert_eq!(found(dir.path(), &Query::default()), (vec![], Skipped::default()));
    let only_feeds = "\n".repeat(3);
    fs::write(dir.path().join(FILE), only_feeds).unwrap();
    assert_eq!(found(dir.path(), &Query::default()), (vec![], Skipped { unreadable: 3, too_long: 0 }));
}

/// All pages of an answer, with something done to the log before each next one.
fn pages(dir: &Path, query: &Query, mut meanwhile: impl FnMut()) -> Vec<String> {
    let mut query = query.clone();
    let mut lines = Vec::new();
    loop {
        let found = all(dir, &query);
        assert!(found.hits.len() <= query.limit);
        lines.extend(found.hits.into_iter().map(|hit| hit.line));
        let Some(next) = found.next else { return lines };
        // As a caller keeps it.
        query.cursor = Some(next.to_string().parse().unwrap());
        meanwhile();
    }
}

#[test]
fn an_answer_goes_on_while_lines_are_written_and_files_pruned() {
    for (order, limit) in [(Order::NewestFirst, 7), (Order::OldestFirst, 7), (Order::NewestFirst, 1)] {
        let dir = TempDir::new().unwrap();
        let (mut files, counts) = open(&config(dir.path(), Rotation::Daily));
        let mut number = 0;
        let mut write = |lines: usize| {
            for _ in 0..lines {
                files.write(at(0), &line(number, 500)).unwrap();
                number += 1;
            }
        };
        write(60);
        let query = Query { order, limit, ..Query::default() };
        let read = pages(dir.path(), &query, || write(1));
        let numbers: Vec<usize> = read
            .iter()
            .map(|line| {
                line.split("message\":\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(counts.pruned.get() > 0);
        match order {
            // What came later is not for this answer; what was pruned is gone, from the end.
            Order::NewestFirst => assert!(numbers.iter().copied().eq((60 - numbers.len()..60).rev())),
            Order::OldestFirst => {
                assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(numbers.len() > 60 && *numbers.last().unwrap() > 60);
            }
        }
        assert!(numbers.len() >= 30, "{numbers:?}");
    }
}

#[test]
fn an_answer_has_a_bound_in_bytes() {
    let dir = TempDir::new().unwrap();
    let lines: Vec<u8> = (0..30).flat_map(|number| line(number, 1_000_000)).collect();
    fs::write(dir.path().join(FILE), lines).unwrap();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let query = Query { order, ..Query::default() };
        let first = all(dir.path(), &query);
        assert_eq!(first.hits.len(), 8, "a ninth is beyond 8 MiB");
        assert!(first.next.is_some());
        assert_eq!(pages(dir.path(), &query, || ()).len(), 30);
        for (max_bytes, lines) in [(0, 1), (999_999, 1), (1_999_998, 2), (2_999_996, 2), (usize::MAX, 8)] {
            let query = Query { max_bytes, ..query.clone() };
            assert_eq!(all(dir.path(), &query).hits.len(), lines, "{max_bytes}");
            assert_eq!(pages(dir.path(), &query, || ()).len(), 30);
        }
    }
}

#[test]
fn an_answer_looks_through_a_bounded_part_of_the_log() {
    let dir = TempDir::new().unwrap();
    // A file of holes and line feeds takes no room.
    let file = fs::File::create(dir.path().join(FILE)).unwrap();
    let (lines, line_bytes) = (130, 2 << 20);
    for end in 1..=lines {
        file.write_all_at(b"\n", end * line_bytes - 1).unwrap();
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut query = Query { order, ..Query::default() };
        let first = all(dir.path(), &query);
        assert_eq!(first.skipped, Skipped { unreadable: 0, too_long: 128 });
        query.cursor = first.next;
        let second = all(dir.path(), &query);
        assert_eq!((second.skipped.too_long, second.next), (lines - 128, None));
    }
}
