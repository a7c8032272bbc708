//! Following a log: every new line that matches once, whatever becomes of the files.

use std::fs;
use std::path::Path;
use std::thread;

use nkudo_logging::{FilesConfig, Follow, LogFiles, Query, Rotation, Skipped};
use tempfile::TempDir;

use crate::files::{at, config, line, open};
use crate::search::{all, messages, said};

/// The messages of the new lines.
fn poll(follow: &mut Follow) -> Vec<String> {
    let message = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["message"].as_str().unwrap().to_owned()
    };
    follow.poll().unwrap().iter().map(|hit| message(&hit.line)).collect()
}

fn follow(dir: &Path) -> Follow {
    Follow::new(dir, "app", &Query::default()).unwrap()
}

fn write(files: &mut LogFiles, second: i64, message: &str) {
    let message = format!("\"message\":\"{message}\"");
    files.write(at(second), said(0, &message).as_bytes()).unwrap();
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn new_lines_are_given_once_over_rotation_by_time_and_size() {
    let dir = TempDir::new().unwrap();
    let config = FilesConfig { max_total_bytes: 1 << 20, ..config(dir.path(), Rotation::Minutely) };
    let (mut files, _) = open(&config);
    write(&mut files, 0, "before");
    let mut follow = follow(dir.path());
    assert_eq!(poll(&mut follow), [""; 0]);
    let mut next = 0;
    for step in [1, 0, 3, 40, 1, 0, 17] {
        let first = next;
        for _ in 0..step {
            // A new minute with each line, and some files that are ended by their size.
            files.write(at(60 * i64::try_from(next / 20).unwrap()), &line(next, 1_000)).unwrap();
            next += 1;
        }
        assert_eq!(poll(&mut follow), numbers(first..next));
    }
    assert_eq!(follow.skipped(), Skipped::default());
}

#[test]
fn more_than_8_mib_of_new_lines_come_in_several_looks() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("app.00000001.2026-11-21.jsonl");
    fs::write(&path, "").unwrap();
    let mut follow = follow(dir.path());
    let lines: Vec<u8> = (0..20).flat_map(|number| line(number, 1_000_000)).collect();
    fs::write(&path, lines).unwrap();
    for looked in [0..8, 8..16, 16..20, 20..20] {
        assert_eq!(poll(&mut follow), numbers(looked));
    }
}

#[test]
fn only_lines_that_match_are_given_and_no_half_ones() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("app.00000001.2026-11-21.jsonl");
    let query = Query { text: Some("it".to_owned()), limit: 1, ..Query::default() };
    let mut follow = Follow::new(dir.path(), "app", &query).unwrap();
    let lines = messages(&["it is", "is not", "it was", "a bit"]);
    let mut given = Vec::new();
    for length in 0..=lines.len() {
        fs::write(&path, &lines.as_bytes()[..length]).unwrap();
        let whole = lines.as_bytes()[..length].iter().filter(|byte| **byte == b'\n').count();
        given.extend(poll(&mut follow));
        assert_eq!(given.len(), [0, 1, 1, 2, 3][whole]);
    }
    assert_eq!(given, ["it is", "it was", "a bit"]);
}

#[test]
fn it_goes_on_from_the_end_of_an_answer_and_from_its_own_cursor() {
    let dir = TempDir::new().unwrap();
    let (mut files, _) = open(&config(dir.path(), Rotation::Hourly));
    write(&mut files, 0, "old");
    let end = all(dir.path(), &Query::default()).end;
    write(&mut files, 0, "first");
    write(&mut files, 60, "second");
    let from = |cursor| {
        let query =
            Query { order: nkudo_logging::Order::OldestFirst, cursor: Some(cursor), ..Query::default() };
        Follow::new(dir.path(), "app", &query).unwrap()
    };
    let mut first = from(end);
    assert_eq!(poll(&mut first), ["first", "second"]);
    write(&mut files, 60, "third");
    let mut second = from(first.cursor().to_string().parse().unwrap());
    assert_eq!(poll(&mut second), ["third"]);
    assert_eq!(poll(&mut first), ["third"]);
    // The log was thrown away, and a new run begins it anew.
    drop(files);
    fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(poll(&mut first), [""; 0]);
    let (mut files, _) = open(&config(dir.path(), Rotation::Hourly));
    write(&mut files, 0, "anew");
    assert_eq!(poll(&mut first), ["anew"]);
    let mut third = from(second.cursor());
    assert_eq!(poll(&mut second), ["anew"]);
    assert_eq!(poll(&mut third), ["anew"]);
    write(&mut files, 0, "again");
    for follow in [&mut first, &mut second, &mut third] {
        assert_eq!(poll(follow), ["again"]);
    }
}

#[test]
fn there_may_be_no_log_yet() {
    let dir = TempDir::new().unwrap();
    let logs = dir.path().join("logs");
    let mut follow = follow(&logs);
    assert_eq!(poll(&mut follow), [""; 0]);
    let (mut files, _) = open(&config(&logs, Rotation::Daily));
    assert_eq!(poll(&mut follow), [""; 0]);
    write(&mut files, 0, "first");
    assert_eq!(poll(&mut follow), ["first"]);
}

#[test]
fn whoever_is_slower_than_pruning_loses_only_what_is_gone() {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), Rotation::Daily));
    let mut follow = follow(dir.path());
    files.write(at(0), &line(0, 1_000)).unwrap();
    assert_eq!(poll(&mut follow), ["0"]);
    for number in 1..100 {
        files.write(at(0), &line(number, 1_000)).unwrap();
    }
    assert!(counts.pruned.get() > 10);
    // The file it had open is deleted, but can be read to its end.
    let read = poll(&mut follow);
    assert_eq!(read[..3], ["1", "2", "3"]);
    assert_eq!(read[3..], numbers(100 - (read.len() - 3)..100));
    assert!(read.len() > 25);
}

#[test]
fn a_file_that_is_truncated_or_deleted_is_read_anew() {
    let dir = TempDir::new().unwrap();
    let logs = dir.path().join("logs");
    let (mut files, _) = open(&config(&logs, Rotation::Daily));
    let mut follow = follow(&logs);
    write(&mut files, 0, "long enough to be seen");
    assert_eq!(poll(&mut follow), ["long enough to be seen"]);
    fs::File::options().write(true).open(files.path().unwrap()).unwrap().set_len(0).unwrap();
    write(&mut files, 0, "short");
    assert_eq!(poll(&mut follow), ["short"]);
    fs::remove_dir_all(&logs).unwrap();
    assert_eq!(poll(&mut follow), [""; 0]);
    write(&mut files, 5, "anew");
    assert_eq!(poll(&mut follow), ["anew"]);
    // Deleted and made anew between two looks.
    fs::remove_dir_all(&logs).unwrap();
    write(&mut files, 10, "once more");
    assert_eq!(poll(&mut follow), ["once more"]);
}

#[test]
fn what_cannot_be_read_is_counted() {
    let dir = TempDir::new().unwrap();
    let mut follow = follow(dir.path());
    let too_long = "x".repeat((1 << 20) + 1);
    let lines = format!("\0\0\n\n{too_long}\n{{}}\n{}cut", messages(&["x"]));
    fs::write(dir.path().join("app.00000001.jsonl"), lines).unwrap();
    assert_eq!(poll(&mut follow), ["x"]);
    assert_eq!(follow.skipped(), Skipped { unreadable: 3, too_long: 1 });
    fs::write(dir.path().join("app.00000002.jsonl"), messages(&["y"])).unwrap();
    assert_eq!(poll(&mut follow), ["y"]);
    assert_eq!(follow.skipped(), Skipped { unreadable: 4, too_long: 1 });
}

#[test]
fn a_writer_beside_it_loses_no_line() {
    const LINES: usize = 20_000;
    let dir = TempDir::new().unwrap();
    let config = FilesConfig {
        max_file_bytes: 64 << 10,
        max_total_bytes: 1 << 30,
        max_files: 10_000,
        ..config(dir.path(), Rotation::Minutely)
    };
    let mut follow = follow(dir.path());
    let (mut files, counts) = open(&config);
    let writer = thread::spawn(move || {
        for batch in 0..LINES / 50 {
            let lines: Vec<u8> = (0..50).flat_map(|number| line(batch * 50 + number, 120)).collect();
            files.write(at(i64::try_from(batch).unwrap()), &lines).unwrap();
        }
    });
    let mut next = 0;
    while next < LINES {
        let lines = poll(&mut follow);
        assert!(lines.len() <= 1_000);
        assert_eq!(lines, numbers(next..next + lines.len()));
        next += lines.len();
    }
    writer.join().unwrap();
    assert!(counts.rotations.get() > 30);
    assert_eq!((poll(&mut follow), follow.skipped()), (vec![], Skipped::default()));
}
