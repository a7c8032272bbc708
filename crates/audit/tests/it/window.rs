//! Lines that are written anew with the right hashes, by somebody who has no key.

use nkudo_audit::{AuditLog, Expected, Fault, Head, HostKey, Options, Report, verify};
use nkudo_journal::{Disk as _, SimulatedDisk};
use std::path::Path;

use crate::logs::{
    OPTIONS, append, dir, disk_of, disk_with_key, files, lines, open, public, several_files, sha256, verified,
};

/// A line in the writer's format, with a right hash.
fn forged(seq: u64, prev: &str) -> (String, String) {
    let body = format!(
        r#"{{"seq":{seq},"timestamp":"2026-01-31T10:00:00.000Z","component":"orders","operation":"order.cancel","actor":"mallory","outcome":"succeeded","fields":{{}},"prev":"{prev}""#
    );
    let hash = sha256(body.as_bytes());
    (format!("{body},\"hash\":\"{hash}\"}}\n"), hash)
}

fn hash_of(line: &[u8]) -> String {
    String::from_utf8(line[line.len() - 67..line.len() - 3].to_vec()).expect("digits")
}

fn is_checkpoint(line: &[u8]) -> bool {
    line.windows(13).any(|bytes| bytes == b",\"signature\":")
}

/// The log in one file, of which everything after `kept` lines is replaced by this many forged ones.
fn check_rewritten(kept: usize, forgeries: u64, head: Option<Head>) -> Report {
    let disk = disk_with_key();
    let options = Options { file_bytes: 1 << 20, ..OPTIONS };
    let (mut log, _) =
        AuditLog::open(disk.clone(), dir(), options, crate::logs::key(&disk)).expect("it opens");
    append(&mut log, 0..8);
    log.sync().expect("durable");
    let mut whole = files(&disk);
    let mut prev = "0".repeat(64);
    let mut bytes = Vec::new();
    for line in lines(&whole).into_iter().take(kept) {
        prev = hash_of(&line);
        bytes.extend(line);
    }
    for number in 0..forgeries {
        let (line, hash) = forged(kept as u64 + number + 1, &prev);
        prev = hash;
        bytes.extend(line.into_bytes());
    }
    whole[0].1 = bytes;
    verified(&disk_of(&whole, &disk), head)
}

/// The real log: C e e e C e e e C e e, three entries to a checkpoint.
#[test]
fn a_tail_without_the_key_is_found_by_the_checkpoint_that_is_due() {
    for kept in 1..11 {
        for forgeries in 1..12 {
            let report = check_rewritten(kept, forgeries, None);
            let after_checkpoint = (kept as u64 - 1) % 4 + forgeries;
            let is_open = after_checkpoint <= 3;
            assert_eq!(report.is_untampered(), is_open, "{kept} kept, {forgeries} forged: {report:#?}");
            if is_open {
                // This is the window: as many lines as the report says are signed by nobody.
                assert_eq!(report.unsigned, after_checkpoint);
            } else {
                assert_eq!(report.findings[0].fault, Fault::Unsigned { every: 3 });
            }
        }
    }
}

#[test]
fn a_tail_without_the_key_is_found_by_a_head_however_short_it_is() {
    let disk = disk_with_key();
    let options = Options { file_bytes: 1 << 20, ..OPTIONS };
    let (mut log, _) =
        AuditLog::open(disk.clone(), dir(), options, crate::logs::key(&disk)).expect("it opens");
    append(&mut log, 0..2);
    let early = log.sync().expect("durable");
    append(&mut log, 2..5);
    let head = log.sync().expect("durable");
    let whole = files(&disk);
    let all = lines(&whole);
    let kept: Vec<_> = all.iter().take(all.len() - 1).cloned().collect();
    let (line, _) = forged(head.seq, &hash_of(kept.last().expect("a line")));
    let tampered = vec![(whole[0].0.clone(), [kept.concat(), line.into_bytes()].concat())];
    let disk = disk_of(&tampered, &disk);
    assert!(verified(&disk, None).is_untampered(), "nothing else can tell");
    let report = verified(&disk, Some(head));
    assert_eq!(
        report.findings.iter().map(|found| found.fault).collect::<Vec<_>>(),
        [Fault::OtherHead { expected: head }]
    );
    assert_eq!(report.expected, Expected::Failed);
    // The head of a line before the forgery says nothing of it.
    let report = verified(&disk, Some(early));
    assert!(report.is_untampered() && report.expected == Expected::Met);
}

/// Every line from some line on changed, and the chain made right again: what cannot be made again are signatures.
#[test]
fn a_chain_written_anew_from_any_line_on_is_found_at_the_next_checkpoint() {
    let (disk, _) = several_files();
    let whole = files(&disk);
    let all = lines(&whole);
    let last_checkpoint = all.iter().rposition(|line| is_checkpoint(line)).expect("there is one");
    for from in 0..all.len() {
        let (mut tampered, mut index) = (Vec::new(), 0);
        let mut prev: Option<String> = None;
        for (name, bytes) in &whole {
            let mut rewritten = Vec::new();
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let mut body = String::from_utf8(line[..line.len() - 76].to_vec()).expect("text");
                if index == from {
                    body = body.replacen("\"outcome\":\"s", "\"outcome\":\"S", 1);
                }
                if let Some(prev) = &prev {
                    let at = body.rfind(",\"prev\":\"").expect("there is one") + 9;
                    body.replace_range(at..at + 64, prev);
                }
                let hash = sha256(body.as_bytes());
                rewritten.extend(format!("{body},\"hash\":\"{hash}\"}}\n").into_bytes());
                prev = (index >= from).then_some(hash);
                index += 1;
            }
            tampered.push((name.clone(), rewritten));
        }
        assert_ne!(tampered, whole, "line {from}");
        let report = verified(&disk_of(&tampered, &disk), None);
        let faults: Vec<_> = report.findings.iter().map(|found| found.fault).collect();
        let expected = all.iter().skip(from).filter(|line| is_checkpoint(line)).count();
        let false_ones = faults.iter().filter(|fault| **fault == Fault::BadSignature).count();
        assert_eq!(false_ones, expected, "line {from}: {faults:?}");
        assert_eq!(
            faults.is_empty(),
            from > last_checkpoint,
            "only after the last checkpoint it stays unseen"
        );
    }
}

#[test]
fn a_log_forged_from_its_beginning_has_no_checkpoint() {
    let report = check_rewritten(0, 2, None);
    assert_eq!(report.findings[0].fault, Fault::NoCheckpoint, "{report:#?}");
}

#[test]
fn a_checkpoint_of_another_key_or_with_a_false_signature_is_told() {
    let (disk, _) = several_files();
    let whole = files(&disk);
    for (file, (_, bytes)) in whole.iter().enumerate() {
        let mut start = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if is_checkpoint(line) {
                // A digit of the signature, with the hash made right again.
                let mut body = line[..line.len() - 76].to_vec();
                let digit = body.len() - 5;
                body[digit] = if body[digit] == b'0' { b'1' } else { b'0' };
                let end = format!(",\"hash\":\"{}\"}}\n", sha256(&body));
                let forged = [body, end.into_bytes()].concat();
                let mut tampered = whole.clone();
                tampered[file].1.splice(start..start + line.len(), forged);
                let report = verified(&disk_of(&tampered, &disk), None);
                assert!(
                    report.findings.iter().any(|found| found.fault == Fault::BadSignature),
                    "{report:#?}"
                );
            }
            start += line.len();
        }
    }
    let other = HostKey::load_or_create(&SimulatedDisk::new(), Path::new("/state/other.key")).expect("a key");
    let report = verify(&disk, dir(), &other.public(), None).expect("it can be read");
    let found = public(&disk);
    assert!(report.findings.iter().all(|finding| finding.fault == Fault::OtherKey { found }), "{report:#?}");
    assert_eq!(report.findings.len() as u64, report.checkpoints);
    assert_eq!(report.signed, None);
}

#[test]
fn an_old_copy_of_the_log_is_found_by_a_head_only() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    append(&mut log, 0..5);
    log.sync().expect("durable");
    let old = files(&disk);
    append(&mut log, 5..9);
    let head = log.sync().expect("durable");
    let rolled_back = disk_of(&old, &disk);
    assert!(verified(&rolled_back, None).is_untampered());
    let report = verified(&rolled_back, Some(head));
    assert_eq!(report.findings[0].fault, Fault::HeadMissing { expected: head });
    // It goes on from there, with the key and all: the head still tells.
    let (mut log, _) = open(&rolled_back);
    append(&mut log, 20..30);
    log.sync().expect("durable");
    assert!(verified(&rolled_back, None).is_untampered());
    assert_eq!(verified(&rolled_back, Some(head)).findings[0].fault, Fault::OtherHead { expected: head });
}

#[test]
fn a_head_is_found_anywhere_in_the_log() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    let mut heads = vec![Head::START];
    for number in 0..12 {
        append(&mut log, number..number + 1);
        heads.push(log.sync().expect("durable"));
    }
    for head in heads {
        let report = verified(&disk, Some(head));
        assert_eq!(report.expected, Expected::Met, "{head}");
        let text = head.to_string();
        assert_eq!(text.parse(), Ok(head));
        let other = Head { seq: head.seq, hash: "ab".repeat(32).parse().expect("a hash") };
        let report = verified(&disk, Some(other));
        assert_eq!(report.findings[0].fault, Fault::OtherHead { expected: other });
    }
    for wrong in ["", "1", "1:", ":", "x:00", "1:zz", &format!("1:{}", "AB".repeat(32))] {
        wrong.parse::<Head>().expect_err(wrong);
    }
}

#[test]
fn an_emptied_log_is_found_by_a_head_only() {
    let (disk, head) = several_files();
    let removed = disk_of(&Vec::new(), &disk);
    let report = verified(&removed, None);
    assert!(report.is_untampered() && report.lines == 0 && report.head == Head::START);
    assert_eq!(verified(&removed, Some(head)).findings[0].fault, Fault::HeadMissing { expected: head });
    assert!(removed.list(dir()).expect("a listing").is_empty());
}
