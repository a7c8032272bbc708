//! A program that is killed while it writes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nkudo_logging::{FilesConfig, Rotation};
use serde_json::Value;
use tempfile::TempDir;

use crate::files::{at, config, contents, names, open};

/// Makes a directory one that the child may write in.
const MARK: &str = "for-the-writing-child";
/// Lines of a batch; so many that most of the child's time is spent in the kernel.
const BATCH: usize = 1_000;
/// Where a child ends that nobody kills, in batches.
const BATCHES_MAX: usize = 50;

fn files_config(dir: &Path) -> FilesConfig {
    FilesConfig { max_file_bytes: 6 << 20, max_total_bytes: 1 << 30, ..config(dir, Rotation::Hourly) }
}

/// What the child does: writes batches in its working directory, and says how many are written.
#[test]
#[ignore = "a process that the next test starts and kills"]
fn the_writing_child() {
    if !Path::new(MARK).exists() {
        return;
    }
    let (mut files, counts) = open(&files_config(Path::new("logs")));
    let pad = "x".repeat(4_000);
    let lines: String = (0..BATCH).map(|n| format!("{{\"n\":{n},\"pad\":\"{pad}\"}}\n")).collect();
    for batch in 1..=BATCHES_MAX {
        files.write(at(0), lines.as_bytes()).unwrap();
        println!("written {batch}");
    }
    assert_eq!(counts.lost.get(), 0);
}

/// Kills a child after so many batches. Says whether a line was cut.
fn check(batches: usize) -> bool {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(MARK), "").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "kills::the_writing_child", "--nocapture"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut written = said.filter_map(|line| line.unwrap().split_once("written ")?.1.parse::<usize>().ok());
    assert_eq!(written.nth(batches - 1), Some(batches));
    child.kill().unwrap();
    child.wait().unwrap();

    let logs = dir.path().join("logs");
    let is_cut = !contents(&logs).ends_with(b"\n");
    let (mut files, counts) = open(&files_config(&logs));
    assert_eq!(counts.cut.get(), u64::from(is_cut));
    files.write(at(1), b"{\"n\":\"after\"}\n").unwrap();
    let text = contents(&logs);
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut read: Vec<Option<Value>> = lines.map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(read.pop().unwrap().unwrap()["n"], "after");
    if is_cut {
        assert_eq!(read.pop(), Some(None));
    }
    let whole: Vec<u64> = read.into_iter().map(|line| line.unwrap()["n"].as_u64().unwrap()).collect();
    assert!(whole.len() >= batches * BATCH, "what was said to be written is there");
    assert!(whole.iter().copied().eq((0..BATCH as u64).cycle().take(whole.len())), "there is no gap");
    assert!(names(&logs).len() >= batches * 4 / 6);
    is_cut
}

#[test]
fn a_killed_writer_loses_at_most_the_end_of_its_last_line() {
    let cut = (0..10).filter(|round| check(1 + round % 5)).count();
    eprintln!("{cut} of 10 kills cut a line");
}
