//! The host's own history of metrics: asked of a daemon, and of its files.

use serde_json::Value;

use crate::harness::{Host, until};

const EVERY_SECOND: &str = "[history]\ninterval = \"1s\"\n";

fn ask(host: &Host, rest: &[&str]) -> Value {
    let command = ["metrics", "query", "nkudo_history_samples_total", "--from", "1h", "--output", "json"];
    let ran = host.run(&[&command[..], rest].concat());
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    ran.json()
}

/// The points of the one series of an answer.
fn points(answer: &Value) -> Vec<(f64, f64)> {
    let series = answer["series"].as_array().unwrap();
    let points =
        series.first().map(|series| series["points"].as_array().unwrap().clone()).unwrap_or_default();
    points.iter().map(|point| (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())).collect()
}

#[test]
fn what_was_recorded_is_there_while_it_runs_after_a_crash_and_without_a_daemon() {
    let mut host = Host::running(EVERY_SECOND);
    let before = until("three rows", || Some(points(&ask(&host, &[]))).filter(|points| points.len() >= 3));
    assert!(before.windows(2).all(|pair| pair[0].0 < pair[1].0), "{before:?}");
    host.kill_9();
    let offline = points(&ask(&host, &[]));
    assert_eq!(offline[..before.len()], before[..], "without a daemon, after a crash");
    host.start();
    let after = until("a row of the second run", || {
        Some(points(&ask(&host, &[]))).filter(|points| points.len() > offline.len())
    });
    assert_eq!(after[..offline.len()], offline[..], "nothing is lost and nothing is there twice");
    // The counter began anew, which is no fall.
    let increase = points(&ask(&host, &["--function", "increase", "--step", "1h"]));
    let total: f64 = increase.iter().map(|(_, value)| value).sum();
    assert!(total >= offline.last().unwrap().1 - offline[0].1, "{increase:?} of {after:?}");
}

#[test]
fn a_history_deleted_while_the_daemon_runs_begins_anew_and_is_told() {
    let host = Host::running(EVERY_SECOND);
    until("two rows", || (points(&ask(&host, &[])).len() >= 2).then_some(()));
    std::fs::remove_dir_all(host.state_dir().join("samples")).unwrap();
    until("it is noticed", || host.sample("nkudo_history_gone_total").filter(|gone| *gone == 1.0));
    host.until_logged("was deleted or replaced while it was in use");
    let database = host.state_dir().join("samples/samples.db");
    assert!(database.exists(), "{}", database.display());
    until("it is well again", || {
        let health = host.sample("nkudo_agent_health_status{health=\"healthy\"}");
        health.filter(|healthy| *healthy == 1.0)
    });
    assert!(points(&ask(&host, &[])).len() >= 2, "what was in memory is kept");
}

#[test]
fn without_a_daemon_many_may_ask_and_nothing_is_changed() {
    let mut host = Host::running(EVERY_SECOND);
    until("two rows", || (points(&ask(&host, &[])).len() >= 2).then_some(()));
    host.kill_9();
    let samples = host.state_dir().join("samples");
    let files = || {
        let entries = std::fs::read_dir(&samples).unwrap().flatten();
        let mut files: Vec<_> =
            entries.map(|entry| (entry.path(), std::fs::read(entry.path()).ok())).collect();
        files.sort();
        files
    };
    let before = files();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| points(&ask(&host, &[])).len())).collect();
        asking.into_iter().for_each(|one| assert!(one.join().unwrap() >= 2));
    });
    assert_eq!(files(), before);
    std::fs::write(samples.join("samples.db"), [&b"SQLite format 3\0"[..], &[0x55; 8_000]].concat()).unwrap();
    let before = files();
    let ran = host.run(&["metrics", "query", "nkudo_vms_total"]);
    assert_eq!((ran.code(), files()), (1, before), "damage is told and left as it is");
    assert!(ran.stderr().contains("was left as it is"), "{}", ran.stderr());
}

#[test]
fn a_history_that_is_off_keeps_nothing_and_says_how_to_have_one() {
    let mut host = Host::running("[history]\nenabled = false\n");
    let check = |host: &Host| {
        let ran = host.run(&["metrics", "query", "nkudo_vms_total"]);
        assert_eq!(ran.code(), 1, "{}", ran.stdout());
        assert!(ran.stderr().contains("[history] enabled is false"), "{}", ran.stderr());
    };
    check(&host);
    let health = host.get("/v1/health");
    let components = health["components"].as_array().unwrap();
    assert!(components.len() > 3 && components.iter().all(|one| one["component"] != "history"), "{health}");
    host.kill_9();
    check(&host);
    assert!(!host.state_dir().join("samples").exists());
}

#[test]
fn what_is_asked_wrongly_is_told_and_what_is_not_there_too() {
    let host = Host::running(EVERY_SECOND);
    until("a row", || (!points(&ask(&host, &[])).is_empty()).then_some(()));
    let refused = |args: &[&str], words: &str| {
        let ran = host.run(args);
        assert_eq!(ran.code(), 2, "{args:?}");
        assert!(ran.stderr().contains(words), "{args:?}: {}", ran.stderr());
    };
    let query = ["metrics", "query", "nkudo_history_samples_total"];
    refused(&[&query[..], &["--from", "yesterday"]].concat(), "30m, 6h or 7d");
    refused(&[&query[..], &["--function", "median"]].concat(), "p99.9");
    refused(&[&query[..], &["--label", "running"]].concat(), "state=running");
    refused(&[&query[..], &["--from", "1h", "--to", "2h"]].concat(), "is not before");
    let text = host.run(&[
        "metrics",
        "query",
        "nkudo_vms_total",
        "--label",
        r#"state=~"run.*|failed",state!="failed""#,
    ]);
    assert!(
        text.stdout().contains("state=running") && !text.stdout().contains("state=failed"),
        "{}",
        text.stdout()
    );
    let text = host.run(&["metrics", "query", "no_such_metric"]).stdout();
    assert!(text.contains("no samples of that metric"), "{text}");
    let chart = host.run(&[&query[..], &["--chart", "--from", "1m"]].concat()).stdout();
    assert!(chart.contains('█') && chart.contains("+---"), "{chart}");
}

#[test]
fn a_database_that_is_none_stops_nothing_but_the_history() {
    let mut host = Host::new();
    host.configure(EVERY_SECOND);
    let samples = host.state_dir().join("samples");
    std::fs::create_dir_all(&samples).unwrap();
    std::fs::write(samples.join("samples.db"), "this is somebody's diary".repeat(200)).unwrap();
    host.start();
    let health = until("the history to tell", || {
        let health = host.get("/v1/health");
        let parts = health["components"].as_array()?.clone();
        parts.into_iter().find(|part| part["component"] == "history" && part["health"] == "degraded")
    });
    assert!(health["reason"].as_str().unwrap().contains("no database of samples"), "{health}");
    let ran = host.run(&["metrics", "query", "nkudo_vms_total"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr().contains("there is no history of metrics"), "{}", ran.stderr());
    assert_eq!(host.get("/v1/vms")["items"], serde_json::json!([]), "the agent works");
    let diary = std::fs::read_to_string(samples.join("samples.db")).unwrap();
    assert!(diary.starts_with("this is somebody's diary"), "what is not ours stays");
}

#[test]
fn a_damaged_journal_is_told_and_what_came_before_is_there() {
    let mut host = Host::running(EVERY_SECOND);
    until("three rows", || (points(&ask(&host, &[])).len() >= 3).then_some(()));
    host.kill_9();
    let rows = host.state_dir().join("samples/rows");
    let segment = std::fs::read_dir(rows).unwrap().flatten().map(|entry| entry.path()).max().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 0xFF;
    std::fs::write(&segment, bytes).unwrap();
    host.start();
    until("the damage to be counted", || {
        host.sample("nkudo_history_corrupt_total").filter(|count| *count == 1.0)
    });
    host.until_logged("bytes of its journal were damaged");
    assert!(points(&ask(&host, &[])).len() >= 2, "what came before is there");
}
