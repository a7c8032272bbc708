//! The bytes of lines.

use std::time::Duration;

use nkudo_audit::{AuditLog, Entry, FIELDS_MAX, LINE_MAX_BYTES, Options};
use serde_json::{Value, json};

use crate::logs::{OPTIONS, at, dir, disk_with_key, files, key, lines, open, public, sha256, verified};

/// Appends an entry, and gives its line as it is and as JSON. The log verifies.
fn check_line(entry: &Entry<'_>) -> (String, Value) {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    log.append(entry).expect("appended");
    let head = log.sync().expect("durable");
    let report = verified(&disk, Some(head));
    assert!(report.is_untampered(), "{report:#?}");
    let line = lines(&files(&disk)).into_iter().nth(1).expect("the line after the checkpoint");
    assert!(line.len() <= LINE_MAX_BYTES + 1, "{}", line.len());
    let text = String::from_utf8(line).expect("text");
    assert_eq!(text.matches('\n').count(), 1);
    let json = serde_json::from_str(&text).expect("JSON");
    (text, json)
}

fn plain(outcome: &str) -> Entry<'_> {
    Entry::new(at(0), "orders", "order.cancel", "alice", outcome)
}

#[test]
fn an_entry_is_a_line_with_its_members_in_order() {
    let entry = plain("succeeded").field("order", 17_u64).field("delta", -3_i64).field("paid", true);
    let entry = entry.field("note", "late").field("order", 18_u64).field("who", "bob".to_owned());
    let (text, json) = check_line(&entry);
    let expected = concat!(
        r#"{"seq":2,"timestamp":"2023-11-14T22:13:20.000Z","component":"orders","operation":"order.cancel","#,
        r#""actor":"alice","outcome":"succeeded","#,
        r#""fields":{"order":18,"delta":-3,"paid":true,"note":"late","who":"bob"},"prev":""#
    );
    assert!(text.starts_with(expected), "{text}");
    let (body, end) = text.split_at(text.len() - 76);
    assert!(end.starts_with(",\"hash\":\""), "{text}");
    assert_eq!(json["hash"], sha256(body.as_bytes()));
}

#[test]
fn a_checkpoint_signs_the_line_up_to_its_signature() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    log.append(&plain("succeeded")).expect("appended");
    let line = lines(&files(&disk)).remove(0);
    let json: Value = serde_json::from_slice(&line).expect("JSON");
    let key = public(&disk).to_string();
    assert_eq!(json["fields"], json!({"first": 1, "every": 3, "key": key}));
    assert_eq!(json["prev"], "0".repeat(64));
    assert!(line.len() < 1024, "{}", line.len());
    let unhex = |text: &str| -> Vec<u8> {
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("text"), 16).expect("hex");
        text.as_bytes().chunks(2).map(pair).collect()
    };
    let signature = unhex(json["signature"].as_str().expect("a text"));
    let signed = &line[..line.len() - 1 - 218];
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, unhex(&key))
        .verify(signed, &signature)
        .expect("a good signature");
}

#[test]
fn nothing_in_a_text_ends_the_line_or_commands_a_terminal() {
    let odd: String = (0..=0x2030).filter_map(char::from_u32).chain(['\u{ffff}', '\u{1f600}']).collect();
    let (text, json) = check_line(
        &Entry::new(at(0), odd.split_at(90).0, "\n", "\"}{\\", "\u{9b}2J").field("odd", odd.clone()),
    );
    assert_eq!(json["fields"]["odd"], odd.as_str());
    assert_eq!((&json["operation"], &json["actor"]), (&json!("\n"), &json!("\"}{\\")));
    assert_eq!(json["outcome"], "\u{9b}2J");
    assert!(!text.trim_end().chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')));
}

#[test]
fn what_imitates_the_end_of_a_line_or_a_checkpoint_is_only_text() {
    let zeros = "0".repeat(64);
    let imitation =
        format!("\",\"prev\":\"{zeros}\",\"signature\":\"{zeros}{zeros}\",\"hash\":\"{zeros}\"}}\n");
    let (_, json) = check_line(&plain(imitation.split_at(200).0).field("imitation", imitation.clone()));
    assert_eq!(json["fields"]["imitation"], imitation);
    assert_eq!(json["signature"], Value::Null);
}

#[test]
fn what_is_too_long_is_cut_with_a_mark() {
    let long = "x".repeat(100_000);
    let check_cut = |value: &Value, bytes: usize| {
        let text = value.as_str().expect("a text");
        assert!(text.ends_with(&format!("… [cut from {bytes} bytes]")), "{}", text.len());
        text.len()
    };
    let (_, json) = check_line(&plain("ok").field("long", long.as_str()).field("short", "whole"));
    assert!(check_cut(&json["fields"]["long"], 100_000) > 32_000);
    assert_eq!(json["fields"]["short"], "whole");

    let (_, json) = check_line(&Entry::new(at(0), &long, &long, &long, &long));
    for member in ["component", "operation", "actor", "outcome"] {
        assert!(check_cut(&json[member], 100_000) > 200);
    }

    // Control characters take six bytes each, and are cut between them.
    let controls = "\u{1}".repeat(60_000);
    let (_, json) = check_line(
        &plain("ok").field("controls", controls.as_str()).field("wide", "\u{1f600}".repeat(30_000)),
    );
    check_cut(&json["fields"]["controls"], 60_000);
    check_cut(&json["fields"]["wide"], 120_000);
}

#[test]
fn the_longest_entry_there_can_be_is_within_the_limit() {
    let worst = "\u{1}".repeat(20_000);
    let mut entry = Entry::new(at(0), &worst, &worst, &worst, &worst);
    for number in 0..FIELDS_MAX + 5 {
        let name: &'static str = format!("{number}{worst}").leak();
        entry = entry.field(name, worst.as_str());
    }
    let (_, json) = check_line(&entry);
    let fields = json["fields"].as_object().expect("an object");
    assert_eq!((fields.len(), &fields["fields_left_out"]), (FIELDS_MAX + 1, &json!(5)));
}

#[test]
fn a_line_of_any_length_near_the_limit_is_whole_or_cut() {
    for length in LINE_MAX_BYTES - 500..LINE_MAX_BYTES {
        let value = "y".repeat(length);
        let mut bytes = Vec::new();
        let disk = disk_with_key_once();
        let (mut log, _) = AuditLog::open(disk.clone(), dir(), OPTIONS, key(&disk)).expect("it opens");
        log.append(&plain("ok").field("value", value.as_str())).expect("appended");
        for line in lines(&files(&disk)) {
            bytes = line;
        }
        assert!(bytes.len() <= LINE_MAX_BYTES + 1, "{length}");
        let json: Value = serde_json::from_slice(&bytes).expect("JSON");
        let is_whole = json["fields"]["value"] == value.as_str();
        assert!(is_whole == (length + 380 < LINE_MAX_BYTES) || length + 450 > LINE_MAX_BYTES, "{length}");
    }
}

fn disk_with_key_once() -> nkudo_journal::SimulatedDisk {
    static ONCE: std::sync::OnceLock<nkudo_journal::SimulatedDisk> = std::sync::OnceLock::new();
    crate::logs::disk_of(&Vec::new(), ONCE.get_or_init(disk_with_key))
}

/// Checkpoints by time: at the entry that finds one due, or at a tick when nothing happens; a clock set back is due too.
#[test]
fn checkpoints_come_by_number_and_by_time() {
    let options = Options { checkpoint_entries: 100, checkpoint_every: Duration::from_secs(60), ..OPTIONS };
    let check_lines = |steps: &[(&str, i64)], expected: &str| {
        let disk = disk_with_key_once();
        let (mut log, _) = AuditLog::open(disk.clone(), dir(), options, key(&disk)).expect("it opens");
        for (step, second) in steps {
            match *step {
                "tick" => log.tick(at(*second)).expect("ticked"),
                "checkpoint" => log.checkpoint(at(*second)).expect("signed"),
                _ => drop(log.append(&Entry::new(at(*second), "a", "b", "c", "d")).expect("appended")),
            }
        }
        let kind = |line: Vec<u8>| {
            let json: Value = serde_json::from_slice(&line).expect("JSON");
            if json["signature"].is_string() { 'C' } else { 'e' }
        };
        let found: String = lines(&files(&disk)).into_iter().map(kind).collect();
        assert_eq!(found, expected, "{steps:?}");
    };
    check_lines(&[("e", 0), ("e", 59)], "Cee");
    check_lines(&[("e", 0), ("e", 60), ("e", 61)], "CeeCe");
    check_lines(&[("e", 0), ("tick", 59), ("tick", 60), ("tick", 900)], "CeC");
    check_lines(&[("e", 100), ("e", 41), ("e", 40)], "CeeeC");
    check_lines(&[("e", 0), ("checkpoint", 1), ("checkpoint", 2)], "CeC");
    check_lines(&[("tick", 0), ("checkpoint", 1)], "");
}

/// What the last checkpoint promised holds when the log is opened with wider bounds.
#[test]
fn a_promise_outlives_the_options() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    log.append(&plain("ok")).expect("appended");
    drop(log);
    let wider = Options { checkpoint_entries: 5, file_bytes: 1 << 20, ..OPTIONS };
    let (mut log, _) = AuditLog::open(disk.clone(), dir(), wider, key(&disk)).expect("it opens");
    for _ in 0..12 {
        log.append(&plain("ok")).expect("appended");
    }
    let head = log.sync().expect("durable");
    let report = verified(&disk, Some(head));
    assert!(report.is_untampered(), "{report:#?}");
    assert_eq!((report.checkpoints, report.lines), (4, 17), "C eee C eeeee C eeeee C");
}
