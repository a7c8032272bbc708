//! Traces as text.

use nkudo_spans::{FinishedSpan, SpanId};
use nkudo_traces::Gantt;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr as _;

use crate::spans::{failed, span, trace};

fn order() -> Vec<FinishedSpan> {
    vec![
        span("order", "", 0, 100),
        span("auth", "order", 0, 10),
        span("stock", "order", 10, 40),
        span("price", "order", 10, 30),
        failed(span("pay", "order", 40, 95), "refused"),
        span("bank", "pay", 45, 90),
        span("mail", "lost", 60, 120),
    ]
}

fn named(name: &'static str, span: FinishedSpan) -> FinishedSpan {
    FinishedSpan { name: name.into(), ..span }
}

/// A trace is drawn like this. Blanks at the ends of lines are left out.
#[track_caller]
fn check(gantt: Gantt, spans: Vec<FinishedSpan>, expected: &[&str]) {
    let drawn = gantt.draw(&trace(spans));
    let lines: Vec<_> = drawn.lines().map(str::trim_end).collect();
    assert_eq!(lines, expected, "\n{drawn}");
}

#[test]
fn a_trace_is_drawn_with_its_critical_path() {
    check(
        Gantt { width: 60, ..Gantt::default() },
        order(),
        &[
            "* order    ──────────────────────────────━━       100.0 ms",
            "*   auth   ━━━━                                    10.0 ms",
            "*   stock     ━━━━━━━━━━                           30.0 ms",
            "    price     ───────                              20.0 ms",
            "*   pay                ━━━─────────────━━━         55.0 ms !",
            "*     bank               ━━━━━━━━━━━━━━━           45.0 ms",
            "  mail                        ───────────────────  60.0 ms",
        ],
    );
}

#[test]
fn colours_tell_the_path_and_failures() {
    let drawn = Gantt { width: 60, colour: true, ..Gantt::default() }.draw(&trace(order()));
    let words = [("\x1b[0m", "]"), ("\x1b[1m", "bold["), ("\x1b[31m", "red["), ("\x1b[33m", "yellow[")];
    let drawn = words.iter().fold(drawn, |drawn, (code, word)| drawn.replace(code, word));
    let lines: Vec<_> = drawn.lines().map(str::trim_end).collect();
    let expected = [
        "  bold[order   ] ──────────────────────────────yellow[━━]       100.0 ms",
        "    bold[auth  ] yellow[━━━━]                                    10.0 ms",
        "    bold[stock ]    yellow[━━━━━━━━━━]                           30.0 ms",
        "    price     ───────                              20.0 ms",
        "    red[pay   ]             yellow[━━━]─────────────yellow[━━━]         55.0 ms !",
        "      bold[bank]               yellow[━━━━━━━━━━━━━━━]           45.0 ms",
        "  mail                        ───────────────────  60.0 ms",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn lines_that_are_too_many_are_counted() {
    check(
        Gantt { width: 50, lines: 2, ..Gantt::default() },
        order(),
        &[
            "* order  ───────────────────────━━      100.0 ms",
            "*   auth ━━━                             10.0 ms",
            "  and 5 more",
        ],
    );
}

#[test]
fn a_moment_is_a_mark() {
    check(
        Gantt { width: 40, ..Gantt::default() },
        vec![span("a", "", 0, 0), span("b", "a", 0, 0)],
        &["  a   ─                           0 ns", "    b ─                           0 ns"],
    );
}

#[test]
fn names_that_are_long_wide_or_hostile_stay_in_their_column() {
    check(
        Gantt { width: 50, ..Gantt::default() },
        vec![
            named("a name that is longer than its column is wide", span("a", "", 0, 10)),
            named(
                "\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}",
                span("b", "a", 1, 2),
            ),
            named("\x1b[2J\r\ngone", span("c", "a", 2, 3)),
            named("\u{202e}txt.exe", span("d", "a", 3, 4)),
            named("", span("e", "a", 4, 5)),
        ],
        &[
            "* a name that is long… ━━──────━━━━━━━━  10.0 ms",
            "*   漢字漢字漢字漢字…   ━━━               1.0 ms",
            "*   \\u{1b}[2J\\r\\ngone     ━━              1.0 ms",
            "*   \\u{202e}txt.exe        ━━━            1.0 ms",
            "*                            ━━           1.0 ms",
        ],
    );
}

/// Names of anything, below each other, at any time.
fn spans() -> impl Strategy<Value = Vec<FinishedSpan>> {
    let one = (any::<String>(), 0..20_u64, 0..1_000_u64, 0..1_000_u64, any::<bool>());
    proptest::collection::vec(one, 1..20).prop_map(|all| {
        let id = |at: u64| SpanId::from_bytes((at + 1).to_be_bytes()).expect("it is not zero");
        let place = |(at, (name, parent, from, length, failed)): (usize, (String, u64, u64, u64, bool))| {
            FinishedSpan {
                span_id: id(at as u64),
                parent_id: (at > 0).then(|| id(parent)),
                name: name.into(),
                failed,
                ..span("s", "", from, from + length)
            }
        };
        all.into_iter().enumerate().map(place).collect()
    })
}

proptest! {
    #[test]
    fn every_line_is_as_wide_as_asked(spans in spans(), width in 0..200_usize) {
        let trace = trace(spans);
        let gantt = Gantt { width, ..Gantt::default() };
        let drawn = gantt.draw(&trace);
        prop_assert_eq!(drawn.lines().count(), trace.spans().len());
        let plain = drawn.replace('\n', "");
        prop_assert!(!plain.contains(char::is_control), "{:?}", drawn);
        for line in drawn.lines() {
            let failed_mark = if line.ends_with(" !") { 0 } else { 2 };
            prop_assert_eq!(line.width() + failed_mark, width.clamp(40, 1_000), "{:?}", line);
        }
        let coloured = Gantt { colour: true, ..gantt }.draw(&trace);
        let mut bare = coloured;
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[33m"] {
            bare = bare.replace(code, "");
        }
        prop_assert_eq!(bare, drawn.lines().map(|line| line.replacen('*', " ", usize::from(line.starts_with('*'))) + "\n").collect::<String>());
    }
}
