//! What is on disk was cut off, changed or removed: the rest is read, and the loss is counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nkudo_spans::{AttributeValue, FinishedSpan};
use nkudo_traces::{Config, Query, Recent, Trace};

use crate::spans::{failed, of_trace, span, text, trace, trace_id, with};
use crate::world::pair;

const TRACES: u64 = 3;

/// Spans with every kind of part.
fn rich(number: u64) -> Vec<FinishedSpan> {
    let mut spans = pair(number);
    spans[0] = with(spans[0].clone(), "load", AttributeValue::Float(0.5));
    spans[0] = with(spans[0].clone(), "tries", AttributeValue::Integer(-3));
    spans[0] = with(spans[0].clone(), "hot", AttributeValue::Bool(true));
    spans[1] = failed(with(spans[1].clone(), "host", text("h\u{f6}st")), "no room");
    spans
}

/// A directory of traces and the same as traces.
struct Written {
    dir: tempfile::TempDir,
    traces: Vec<Trace>,
}

impl Written {
    fn new() -> Written {
        let dir = tempfile::tempdir().expect("there is a place for it");
        let mut recent = open(dir.path());
        for number in 1..=TRACES {
            recent.offer(Instant::now(), rich(number));
            recent.flush(Instant::now());
        }
        assert!(recent.failure().is_none());
        Written { dir, traces: (1..=TRACES).map(|number| trace(rich(number))).collect() }
    }

    fn segment(&self) -> PathBuf {
        self.dir.path().join("0000000001.seg")
    }

    /// Puts these bytes in place of the segment. How many traces are still there, each as it was, and how much damage
    /// was counted.
    #[track_caller]
    fn left(&self, bytes: &[u8]) -> (usize, u64) {
        fs::write(self.segment(), bytes).expect("it is written");
        let mut recent = open(self.dir.path());
        let damaged = recent.stats().damaged;
        let mut left = 0;
        for (at, expected) in self.traces.iter().enumerate() {
            let found = recent.trace(expected.id());
            assert!(found.is_none() || found.as_ref() == Some(expected), "trace {at} is another");
            left += usize::from(found.is_some());
        }
        let found = recent.search(&Query::default()).expect("it can be answered");
        assert_eq!(found.summaries.len(), left, "nothing else is found");
        // Whatever is there, more can be added.
        recent.offer(Instant::now(), vec![of_trace(9, span("a", "", 0, 1))]);
        recent.flush(Instant::now());
        assert!(recent.failure().is_none());
        let again = open(self.dir.path());
        assert!(again.recent_has(9));
        assert_eq!(again.stats().damaged, damaged, "the damage is as it was");
        drop(fs::remove_file(self.dir.path().join("0000000002.seg")));
        (left, damaged)
    }
}

trait Has {
    fn recent_has(&self, number: u64) -> bool;
}

impl Has for Recent {
    fn recent_has(&self, number: u64) -> bool {
        self.trace(trace_id(number)).is_some()
    }
}

fn open(dir: &Path) -> Recent {
    Recent::open(dir, Config::default()).expect("the bounds make sense")
}

#[test]
fn traces_come_back_as_they_were() {
    let written = Written::new();
    let bytes = fs::read(written.segment()).expect("it is there");
    assert_eq!(written.left(&bytes), (3, 0));
}

#[test]
fn a_file_cut_off_anywhere_costs_the_last_records_only() {
    let written = Written::new();
    let bytes = fs::read(written.segment()).expect("it is there");
    let mut at_most = 0;
    for length in 0..=bytes.len() {
        let (left, damaged) = written.left(&bytes[..length]);
        assert!(left >= at_most, "at {length}");
        at_most = left;
        // A cut between two records is no damage.
        assert!(damaged <= 1, "at {length}");
        let is_counted = damaged == 1 || length * 3 % bytes.len() == 0;
        assert!(is_counted, "at {length}");
    }
    assert_eq!(at_most, 3);
}

#[test]
fn a_changed_byte_costs_its_record_only() {
    let written = Written::new();
    let bytes = fs::read(written.segment()).expect("it is there");
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert_eq!(written.left(&changed), (2, 1), "byte {at} ^ {flip:#x}");
        }
    }
}

#[test]
fn bytes_that_are_missing_or_too_many_cost_their_record_only() {
    let written = Written::new();
    let bytes = fs::read(written.segment()).expect("it is there");
    let record = bytes.len() / 3;
    let noise: Vec<u8> = (0..5_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    // Noise at the end and in the middle; all zeros, as after a loss of power.
    assert_eq!(written.left(&[&bytes[..], &noise].concat()), (3, 1));
    assert_eq!(written.left(&[&bytes[..record], &noise, &bytes[record..]].concat()).1, 1);
    assert_eq!(written.left(&[&bytes[..record], &vec![0; record], &bytes[2 * record..]].concat()), (2, 1));
    assert_eq!(written.left(&vec![0; 10_000]), (0, 1));
    assert_eq!(written.left(&noise), (0, 1));
}

#[test]
fn a_record_in_another_place_is_not_read() {
    let written = Written::new();
    let bytes = fs::read(written.segment()).expect("it is there");
    fs::write(written.dir.path().join("0000000007.seg"), &bytes).expect("it is written");
    fs::remove_file(written.segment()).expect("it is there");
    let recent = open(written.dir.path());
    assert_eq!((recent.recent_has(1), recent.stats().damaged), (false, 1));
}

#[test]
fn a_record_of_a_newer_version_is_passed_over() {
    let written = Written::new();
    let bytes = fs::read(written.segment()).expect("it is there");
    let length = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
    let mut newer = bytes.clone();
    newer[3] = 2;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&1_u32.to_le_bytes());
    hasher.update(&0_u32.to_le_bytes());
    hasher.update(&[2]);
    hasher.update(&length.to_le_bytes());
    hasher.update(&bytes[12..12 + length as usize]);
    newer[8..12].copy_from_slice(&hasher.finalize().to_le_bytes());
    assert_eq!(written.left(&newer), (2, 1));
}

#[test]
fn files_of_others_are_left_alone() {
    let written = Written::new();
    let others = ["notes.txt", "1.seg", "00000000001.seg", "x.seg", "-000000001.seg", "4294967296.seg"];
    for name in others {
        fs::write(written.dir.path().join(name), "mine").expect("it is written");
    }
    let config = Config { traces: 16, ..Config::default() };
    let mut recent = Recent::open(written.dir.path(), config).expect("the bounds make sense");
    for number in 10..100 {
        recent.offer(Instant::now(), pair(number));
        recent.flush(Instant::now());
    }
    assert!(!written.segment().exists(), "ours went");
    for name in others {
        assert_eq!(fs::read(written.dir.path().join(name)).expect("it is there"), b"mine");
    }
    assert_eq!(recent.stats().damaged, 0);
}

#[test]
fn a_directory_in_place_of_a_segment_is_told_and_passed_over() {
    let written = Written::new();
    fs::create_dir(written.dir.path().join("0000000002.seg")).expect("it is made");
    let mut recent = open(written.dir.path());
    assert!(recent.recent_has(3));
    assert_eq!(recent.stats().damaged, 1);
    let told = recent.failure().expect("it cannot be read").to_string();
    assert!(told.starts_with("cannot read ") && told.ends_with("0000000002.seg"), "{told}");
    recent.offer(Instant::now(), pair(9));
    recent.flush(Instant::now());
    assert!(recent.failure().is_none());
    assert!(open(written.dir.path()).recent_has(9));
}

#[test]
fn a_damaged_record_is_told_by_the_search_that_meets_it() {
    let written = Written::new();
    let recent = open(written.dir.path());
    let mut bytes = fs::read(written.segment()).expect("it is there");
    let record = bytes.len() / 3;
    bytes[record + 40] ^= 1;
    fs::write(written.segment(), bytes).expect("it is written");
    let found = recent.search(&Query::default()).expect("it can be answered");
    assert_eq!((found.summaries.len(), found.damaged), (2, 1));
    assert_eq!(recent.stats().damaged, 1);
}
