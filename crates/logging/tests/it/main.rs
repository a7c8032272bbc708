//! Lines as readers get them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broken_disks;
mod files;
mod files_later;
mod flood;
mod follow;
mod kills;
mod redaction;
mod repeats;
mod search;
mod search_model;

use std::io;

use nkudo_logging::{
    ColorChoice, Lines, LogConfig, LogFormat, LogHandle, LogLevel, Output, Rotation, line_as_text, subscriber,
};
use nkudo_metrics_core::{Format, Registry};
use serde_json::{Value, json};

fn config(format: LogFormat) -> LogConfig {
    LogConfig {
        format,
        target_prefix: "app_",
        context_fields: &["correlation_id", "action_id", "plan_id"],
        color: ColorChoice::Never,
        ..LogConfig::default()
    }
}

fn logged(config: &LogConfig, say: impl FnOnce(&LogHandle)) -> Vec<String> {
    let lines = Lines::default();
    let (subscriber, handle) = subscriber(config, lines.clone());
    tracing::subscriber::with_default(subscriber, || say(&handle));
    lines.text().lines().map(str::to_owned).collect()
}

/// What one event gives as JSON, its timestamp checked and taken out.
fn check(say: impl FnOnce(), expected: &Value) {
    let lines = logged(&config(LogFormat::Json), |_| say());
    assert_eq!(lines.len(), 1, "{lines:?}");
    let mut line: Value = serde_json::from_str(&lines[0]).unwrap();
    let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
    let timestamp = timestamp.as_str().unwrap();
    assert!(
        timestamp.len() == 24 && timestamp.ends_with('Z') && timestamp.as_bytes()[19] == b'.',
        "{timestamp}"
    );
    assert_eq!(&line, expected);
}

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] io::Error);

#[test]
fn json_lines_are_to_the_letter() {
    check(
        || tracing::info!(target: "app_disk_cache::worker", jobs = 3, ratio = 0.5, ok = true, name = "n", "work done"),
        &json!({"level": "info", "component": "disk-cache", "message": "work done",
            "fields": {"jobs": 3, "ratio": 0.5, "ok": true, "name": "n"}}),
    );
    check(
        || tracing::warn!(component = "queue", action_id = "a-1", plan_id = 7, trace_id = "t", "odd"),
        &json!({"level": "warn", "component": "queue", "message": "odd", "fields": {},
            "action_id": "a-1", "plan_id": "7", "trace_id": "t"}),
    );
    let error = Outer(io::Error::other("inner"));
    check(
        || tracing::error!(target: "x", error = &error as &dyn std::error::Error, "failed"),
        &json!({"level": "error", "component": "x", "message": "failed", "fields": {"error": "outer: inner"}}),
    );
    check(
        || tracing::info!(target: "x", nan = f64::NAN, inf = f64::NEG_INFINITY, big = u64::MAX, small = i64::MIN, none = Option::<u8>::None, ""),
        &json!({"level": "info", "component": "x", "message": "",
            "fields": {"nan": "NaN", "inf": "-inf", "big": u64::MAX, "small": i64::MIN}}),
    );
    check(
        || tracing::info!(target: "x", text = "a\"b\\c\nd\u{0}\u{1b}[31m\u{7f}", "line\nfeed"),
        &json!({"level": "info", "component": "x", "message": "line\nfeed",
            "fields": {"text": "a\"b\\c\nd\u{0}\u{1b}[31m\u{7f}"}}),
    );
    check(
        || tracing::info!(target: "x", twice = 1, r#type = "t", twice = 2, message = 3),
        &json!({"level": "info", "component": "x", "message": "3", "fields": {"twice": 2, "type": "t"}}),
    );
    check(
        || tracing::info!(target: "x", text = "\"}, {\"level\": \"error\"", component = "a\",\"b", "[{{"),
        &json!({"level": "info", "component": "a\",\"b", "message": "[{",
            "fields": {"text": "\"}, {\"level\": \"error\""}}),
    );
}

#[test]
fn no_character_breaks_a_line_or_reaches_a_terminal_raw() {
    let all: Vec<char> = (char::MIN..=char::MAX).collect();
    // Four bytes at most for each character, within the bound of a field.
    for some in all.chunks(4_000) {
        let said: String = some.iter().collect();
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = Lines::default();
            let (subscriber, _) = subscriber(&config(format), lines.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(component = said, value = said, action_id = said, "{said}");
            });
            let text = lines.text();
            let line = text.strip_suffix('\n').unwrap();
            let is_odd = |c: &char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let raw = line.chars().find(|c| c.is_control() || is_odd(c));
            assert_eq!(raw, None, "after {:?}", some[0]);
            if format == LogFormat::Json {
                let line: Value = serde_json::from_str(line).unwrap();
                let read =
                    [&line["component"], &line["message"], &line["fields"]["value"], &line["action_id"]];
                assert!(read.iter().all(|text| **text == said), "after {:?}", some[0]);
            }
        }
    }
}

#[test]
fn ids_come_from_the_spans_around() {
    let lines = logged(&config(LogFormat::Json), |_| {
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        let outer = tracing::info_span!("outer", trace_id, correlation_id = "c-1", component = "door");
        let inner = outer.in_scope(|| tracing::info_span!("inner", action_id = "a-1"));
        std::thread::scope(|scope| {
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || inner.in_scope(|| tracing::info!("here")));
            });
        });
    });
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((&line["correlation_id"], &line["action_id"]), (&json!("c-1"), &json!("a-1")));
    assert_eq!(line["component"], "door");
    assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    assert!(line.get("plan_id").is_none());
}

#[test]
fn text_is_one_line_that_begins_with_the_timestamp() {
    let lines = logged(&config(LogFormat::Text), |_| {
        tracing::info!(target: "app_door", who = "a b", n = 1, empty = "", csi = "\u{9b}31m", action_id = "a-1", "opened\r\nwide");
    });
    assert_eq!(lines.len(), 1);
    let (timestamp, rest) = lines[0].split_once(' ').unwrap();
    assert!(timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
    assert_eq!(
        rest,
        "info  door: opened\\r\\nwide who=\"a b\" n=1 empty=\"\" csi=\"\\u009b31m\" action_id=a-1"
    );
    let json = r#"{"timestamp":"T","level":"info","component":"door","message":"m","fields":{"n":1},"action_id":"a"}"#;
    assert_eq!(line_as_text(json, false), "T info  door: m n=1 action_id=a");
    assert_eq!(line_as_text("no json", false), "no json");
    let colored = LogConfig { color: ColorChoice::Always, ..config(LogFormat::Text) };
    assert!(logged(&colored, |_| tracing::error!("red"))[0].contains("\x1b[31merror\x1b[0m"));
}

#[test]
fn nothing_in_a_line_of_anybodys_commands_a_terminal() {
    let check = |line: &str, expected: &str| {
        assert_eq!(line_as_text(line, false), expected);
        let painted = line_as_text(line, true);
        let unpainted = painted.replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert!(!unpainted.contains(|c: char| c.is_control()), "{painted:?}");
    };
    for (odd, shown) in [
        (r"\u001b]0;x\u0007", r"\u001b]0;x\u0007"),
        (r"\u009b2J", r"\u009b2J"),
        ("\u{9b}2J", r"\u009b2J"),
        ("\u{7f}", r"\u007f"),
        (r"\r\n", r"\r\n"),
    ] {
        check(&format!(r#"{{"timestamp":"{odd}","level":"error"}}"#), &format!("{shown} error : "));
        check(&format!(r#"{{"timestamp":"T","level":"{odd}"}}"#), &format!("T {shown:<5} : "));
        check(&format!(r#"{{"timestamp":"T","component":"{odd}"}}"#), &format!("T       {shown}: "));
        check(&format!(r#"{{"timestamp":"T","message":"{odd}"}}"#), &format!("T       : {shown}"));
        check(&format!(r#"{{"timestamp":"T","fields":{{"{odd}":1}}}}"#), &format!("T       :  {shown}=1"));
        check(&format!(r#"{{"timestamp":"T","odd":"{odd}"}}"#), &format!("T       :  odd=\"{shown}\""));
    }
    check("{\"timestamp\":\"T\",\"list\":[\"\u{9b}2J\",\r\n1]}", r#"T       :  list=["\u009b2J",\r\n1]"#);
    check("{\"timestamp\":\"T\",\"map\":{\"\u{85}\":1}}", r#"T       :  map={"\u0085":1}"#);
    check("no json \u{1b}[2J\r\u{9b}m", r"no json \u001b[2J\r\u009bm");
    check("{\"level\":\"cut \u{1b}[2J", r#"{"level":"cut \u001b[2J"#);
}

#[test]
fn levels_change_at_run_time_for_all_and_for_one() {
    let say = || {
        tracing::debug!(target: "app_a::x", "a debug");
        tracing::info!(target: "app_a::x", "a info");
        tracing::debug!(target: "app_b::x", "b debug");
        tracing::trace!(target: "app_b::x", "b trace");
        tracing::error!(target: "app_b::x", "b error");
        tracing::warn!(target: "app_two_words::x", "two warn");
        tracing::error!(target: "app_two_words::x", "two error");
    };
    let first = LogConfig {
        components: ["b", "two-words"].map(|name| (name.to_owned(), LogLevel::Error)).into(),
        ..config(LogFormat::Text)
    };
    let lines = logged(&first, |log| {
        say();
        log.set_level(LogLevel::Debug);
        log.set_component_level("b", None);
        log.set_component_level("a", Some(LogLevel::Warn));
        log.set_component_level("two-words", None);
        assert_eq!(log.level(), LogLevel::Debug);
        say();
    });
    let said: Vec<&str> = lines.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(
        said,
        ["a info", "b error", "two error", "b debug", "b trace", "b error", "two warn", "two error",]
    );
}

#[test]
fn words_that_are_no_level_are_refused_with_those_that_are() {
    for word in ["", "INFO", "trace", "warning", &"x".repeat(1_000)] {
        let error = word.parse::<LogLevel>().unwrap_err().to_string();
        assert!(error.contains("debug, info, warn, error") && error.len() < 200, "{error}");
    }
    assert_eq!("warn".parse(), Ok(LogLevel::Warn));
    assert_eq!("hourly".parse(), Ok(Rotation::Hourly));
    let none = "weekly".parse::<Rotation>().unwrap_err().to_string();
    assert!(none.contains("`weekly`") && none.contains("hourly, daily, never"), "{none}");
    assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("text or json"));
}

/// Its Debug logs and then fails.
struct Nasty;

impl std::fmt::Debug for Nasty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("begun")?;
        tracing::info!("logged while logging");
        Err(std::fmt::Error)
    }
}

/// Cannot be shown: not as a value and not as an error.
#[derive(Debug)]
struct Failing;

impl std::fmt::Display for Failing {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

impl std::error::Error for Failing {}

/// Panics when shown.
struct Panicking;

impl std::fmt::Debug for Panicking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("begun")?;
        panic!("a field that panics")
    }
}

#[test]
fn huge_failing_panicking_and_reentrant_fields_give_valid_lines() {
    let huge = "ü".repeat(1 << 20);
    let long_cause = Outer(io::Error::other("x".repeat(1 << 20)));
    let unshown = Outer(io::Error::other(Failing));
    let lines = logged(&config(LogFormat::Json), |_| {
        tracing::info!(huge, "large");
        tracing::info!(nasty = ?Nasty, "nasty");
        tracing::info!(panicking = ?Panicking, after = 1, "panicking");
        tracing::info!(error = &long_cause as &dyn std::error::Error, "long");
        tracing::info!(error = &unshown as &dyn std::error::Error, action_id = %Failing, "unshown");
        tracing::info_span!("span", action_id = %Failing).in_scope(|| tracing::info!("inside"));
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    // tracing passes over an event that is made while another one is taken.
    assert_eq!(lines.len(), 6);
    let kept = lines[0]["fields"]["huge"].as_str().unwrap();
    assert!(kept.len() < 20 << 10 && kept.ends_with("ü…(cut)"));
    assert_eq!(lines[1]["fields"]["nasty"], "begun…(failed)");
    assert_eq!(lines[2]["fields"], json!({"panicking": "begun…(panicked)", "after": 1}));
    let kept = lines[3]["fields"]["error"].as_str().unwrap();
    assert!(kept.starts_with("outer: xxx") && kept.len() < 20 << 10 && kept.ends_with("x…(cut)"));
    assert_eq!(lines[4]["fields"]["error"], "outer: …(failed)");
    assert_eq!(lines[4]["action_id"], "…(failed)");
    assert_eq!((&lines[5]["message"], lines[5].get("action_id")), (&json!("inside"), None));
}

#[test]
fn a_thread_logs_to_its_very_end() {
    thread_local!(static LAST: std::cell::RefCell<Option<LogsWhenDropped>> = const { std::cell::RefCell::new(None) });
    struct LogsWhenDropped(tracing::Dispatch);
    impl Drop for LogsWhenDropped {
        fn drop(&mut self) {
            tracing::dispatcher::with_default(&self.0, || tracing::info!("at the end"));
        }
    }
    let lines = Lines::default();
    let (subscriber, _) = subscriber(&config(LogFormat::Json), lines.clone());
    let dispatch = tracing::Dispatch::new(subscriber);
    let thread = std::thread::spawn(move || {
        // A thread drops last what it made first: what tracing has for it, then this, then the line's buffer.
        tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("first").in_scope(|| ()));
        LAST.set(Some(LogsWhenDropped(dispatch.clone())));
        tracing::dispatcher::with_default(&dispatch, || tracing::info!("before"));
    });
    assert!(thread.join().is_ok());
    let said: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<&Value> = said.iter().map(|line| &line["message"]).collect();
    assert_eq!(said, ["before", "at the end"]);
}

#[test]
#[should_panic(expected = "trace_id")]
fn a_context_field_may_not_take_a_name_of_the_line() {
    let twice = LogConfig { context_fields: &["action_id", "trace_id"], ..LogConfig::default() };
    drop(subscriber(&twice, Lines::default()));
}

/// Takes nothing.
struct Closed;

impl Output for Closed {
    fn write_lines(&self, _lines: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn lines_are_counted_written_or_dropped() {
    let registry = Registry::new();
    let (closed, handle) = subscriber(&config(LogFormat::Json), Closed);
    handle.register(&registry, "app_");
    tracing::subscriber::with_default(closed, || tracing::info!("lost"));
    assert_eq!((handle.written(), handle.dropped()), (0, 1));
    let mut text = Vec::new();
    registry.encode(Format::Text004, &mut text);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("app_log_lines_dropped_total 1"), "{text}");
    assert!(text.contains("app_log_lines_written_total{level=\"info\"} 0"), "{text}");
}
