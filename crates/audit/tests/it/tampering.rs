//! Whatever is done to the files of a log is found.

use std::sync::OnceLock;

use nkudo_audit::{Fault, Head, Report, verify};
use nkudo_journal::SimulatedDisk;

use crate::logs::{
    Files, append, dir, disk_of, disk_of_log, disk_with_key, files, open, public, several_files, verified,
};

/// What a report says of a log that was tampered with: something is wrong, and every sentence names a file.
fn check_found(tampered: &Files, head: Option<Head>, what: &str) -> Report {
    let (untouched, _) = several_files_once();
    let report = verified(&disk_of(tampered, untouched), head);
    assert!(!report.is_untampered() || report.cut.is_some(), "{what}: {report:#?}");
    for finding in &report.findings {
        assert!(finding.to_string().contains(".jsonl"), "{what}: {finding}");
    }
    report
}

/// One log for all tests: making keys takes its time.
fn several_files_once() -> &'static (SimulatedDisk, Head) {
    static ONCE: OnceLock<(SimulatedDisk, Head)> = OnceLock::new();
    ONCE.get_or_init(several_files)
}

/// The lines of each file, by its name.
type Split = Vec<(String, Vec<Vec<u8>>)>;

/// The log with its head.
fn whole() -> (Split, Head) {
    let (disk, head) = several_files_once();
    let split = |bytes: Vec<u8>| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    (files(disk).into_iter().map(|(name, bytes)| (name, split(bytes))).collect(), *head)
}

fn joined(split: &Split) -> Files {
    split.iter().map(|(name, lines)| (name.clone(), lines.concat())).collect()
}

/// Where each line stands.
fn places(split: &Split) -> Vec<(usize, usize)> {
    let in_file = |(file, (_, lines)): (usize, &(String, Vec<Vec<u8>>))| {
        (0..lines.len()).map(move |line| (file, line)).collect::<Vec<_>>()
    };
    split.iter().enumerate().flat_map(in_file).collect()
}

/// A log of two files and few bytes.
fn two_files() -> (SimulatedDisk, Head) {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    append(&mut log, 0..6);
    let head = log.sync().expect("durable");
    assert_eq!(log.files(), 2);
    (disk, head)
}

#[test]
fn each_byte_flipped_in_turn() {
    let (disk, _) = two_files();
    let (whole, key) = (files(&disk), public(&disk));
    let mut tampered = whole.clone();
    for file in 0..whole.len() {
        for offset in 0..whole[file].1.len() {
            let byte = whole[file].1[offset];
            // One bit of each, and of letters also the one that tells upper from lower case.
            let case = byte.is_ascii_alphabetic().then_some(0x20);
            for mask in [Some(1 << (offset % 8)), case].into_iter().flatten() {
                tampered[file].1[offset] = byte ^ mask;
                let what = format!("byte {offset} of {} xor {mask:#x}", whole[file].0);
                let report = verify(&disk_of_log(&tampered), dir(), &key, None).expect("it can be read");
                let is_last = file + 1 == whole.len() && offset + 1 == whole[file].1.len();
                assert_eq!(!report.is_untampered(), !is_last, "{what}: {report:#?}");
                assert_eq!(report.cut.is_some(), is_last, "{what}: only the last end looks cut");
            }
            tampered[file].1[offset] = byte;
        }
    }
}

#[test]
fn cut_at_every_byte_is_found_with_a_head_and_inside_of_a_line_also_without() {
    let (disk, head) = two_files();
    let (whole, key) = (files(&disk), public(&disk));
    for file in 0..whole.len() {
        for length in 0..whole[file].1.len() {
            let mut tampered = whole.clone();
            tampered[file].1.truncate(length);
            let tampered = disk_of_log(&tampered);
            let what = format!("{} cut to {length} bytes", whole[file].0);
            let report = verify(&tampered, dir(), &key, Some(head)).expect("it can be read");
            assert!(!report.is_untampered(), "{what}");

            let is_last = file + 1 == whole.len();
            let between_lines = length == 0 || whole[file].1[length - 1] == b'\n';
            let without = verify(&tampered, dir(), &key, None).expect("it can be read");
            assert_eq!(without.is_untampered(), is_last, "{what}: {without:#?}");
            assert_eq!(without.cut.is_some(), is_last && !between_lines, "{what}");
            if is_last && between_lines {
                // A log that is younger looks the same.
                assert!(without.head.seq < head.seq, "{what}");
            }
        }
    }
}

#[test]
fn each_line_removed() {
    let (whole, head) = whole();
    let places = places(&whole);
    for (index, (file, line)) in places.iter().copied().enumerate() {
        let mut tampered = whole.clone();
        tampered[file].1.remove(line);
        let what = format!("without line {line} of {}", whole[file].0);
        let is_last = index + 1 == places.len();
        let report = if is_last {
            check_found(&joined(&tampered), Some(head), &what)
        } else {
            check_found(&joined(&tampered), None, &what)
        };
        let seq = index as u64 + 1;
        let names_it = |fault: &Fault| match *fault {
            Fault::Missing { from, to } | Fault::StartMissing { from, to } => from <= seq && seq <= to,
            Fault::HeadMissing { expected } => expected.seq == seq,
            _ => false,
        };
        assert!(report.findings.iter().any(|finding| names_it(&finding.fault)), "{what}: {report:#?}");
    }
}

#[test]
fn each_pair_of_lines_swapped() {
    let (whole, _) = whole();
    let places = places(&whole);
    for (index, (file, line)) in places.iter().copied().enumerate() {
        for (other_file, other_line) in places.iter().copied().skip(index + 1) {
            let mut tampered = whole.clone();
            let first = tampered[file].1[line].clone();
            let second = std::mem::replace(&mut tampered[other_file].1[other_line], first);
            tampered[file].1[line] = second;
            let what = format!("{file}:{line} and {other_file}:{other_line} swapped");
            let report = check_found(&joined(&tampered), None, &what);
            let is_moved = |fault: &Fault| matches!(fault, Fault::OutOfPlace { .. } | Fault::Missing { .. });
            assert!(report.findings.iter().any(|finding| is_moved(&finding.fault)), "{what}: {report:#?}");
        }
    }
}

#[test]
fn each_line_repeated_anywhere() {
    let (whole, _) = whole();
    let places = places(&whole);
    for (file, line) in places.iter().copied() {
        for (to_file, to_line) in places.iter().copied() {
            let mut tampered = whole.clone();
            let copy = tampered[file].1[line].clone();
            tampered[to_file].1.insert(to_line + 1, copy);
            let what = format!("{file}:{line} again after {to_file}:{to_line}");
            let report = check_found(&joined(&tampered), None, &what);
            let is_moved = |fault: &Fault| matches!(fault, Fault::OutOfPlace { .. });
            assert!(report.findings.iter().any(|finding| is_moved(&finding.fault)), "{what}: {report:#?}");
        }
    }
}

#[test]
fn each_file_missing() {
    let (whole, head) = whole();
    for missing in 0..whole.len() {
        let mut tampered = whole.clone();
        tampered.remove(missing);
        let is_last = missing + 1 == whole.len();
        let report = check_found(&joined(&tampered), is_last.then_some(head), &whole[missing].0);
        let is_told = |fault: &Fault| {
            matches!(fault, Fault::StartMissing { .. } | Fault::Missing { .. } | Fault::HeadMissing { .. })
        };
        assert!(report.findings.iter().any(|finding| is_told(&finding.fault)), "{report:#?}");
    }
}

#[test]
fn each_file_emptied_renamed_or_put_in_place_of_another() {
    let (disk, head) = several_files_once();
    let whole = files(disk);
    for file in 0..whole.len() {
        let mut tampered = whole.clone();
        tampered[file].1.clear();
        check_found(&tampered, Some(*head), &format!("{} emptied", whole[file].0));
        let mut tampered = whole.clone();
        tampered[file].0 = format!("{:020}.jsonl", 100 + file);
        check_found(&tampered, None, &format!("{} renamed", whole[file].0));
        for other in (0..whole.len()).filter(|other| *other != file) {
            let mut tampered = whole.clone();
            tampered[file].1 = whole[other].1.clone();
            check_found(&tampered, None, &format!("{} in place of {}", whole[other].0, whole[file].0));
        }
    }
}

#[test]
fn what_is_no_line_is_found_in_any_place() {
    let (whole, _) = whole();
    let too_long = [vec![b'x'; 70_000], b"\n".to_vec()].concat();
    let intruders: [&[u8]; 5] = [b"\n", b"{}\n", b"\xff\0\n", b"{\"seq\":1}\n", &too_long];
    for (file, line) in places(&whole) {
        for intruder in intruders {
            let mut tampered = whole.clone();
            tampered[file].1.insert(line, intruder.to_vec());
            let report = check_found(&joined(&tampered), None, "a line that is none");
            let expected = if intruder.len() > 65_536 { Fault::TooLong } else { Fault::Unreadable };
            assert!(report.findings.iter().any(|found| found.fault == expected), "{report:#?}");
        }
    }
}

#[test]
fn files_that_only_look_like_ones_of_the_log_are_told() {
    let (disk, _) = several_files_once();
    for name in ["1.jsonl", "000000000000000000001.jsonl", "99999999999999999999.jsonl", "notes.jsonl"] {
        let mut tampered = files(disk);
        tampered.push((name.to_owned(), b"{}\n".to_vec()));
        let report = check_found(&tampered, None, name);
        assert_eq!(report.findings.len(), 1, "{report:#?}");
        assert_eq!(report.findings[0].fault, Fault::StrangeFile);
    }
}

#[test]
fn the_number_of_findings_is_bounded_and_the_rest_is_counted() {
    let (disk, _) = several_files_once();
    let mut tampered = files(disk);
    tampered[0].1.extend(b"none\n".repeat(150));
    let report = check_found(&tampered, None, "150 lines that are none");
    assert_eq!(report.findings.len(), nkudo_audit::FINDINGS_MAX);
    assert!(report.findings_left_out >= 50, "{}", report.findings_left_out);
}
