//! What is pruned is said so by a signature, and nothing else may be missing.

use nkudo_audit::{Expected, Fault, Pruned};

use crate::logs::{append, at, disk_of, disk_with_key, files, first_of, open, several_files, verified};

#[test]
fn pruning_removes_whole_files_before_a_line_and_says_so() {
    let (disk, head) = several_files();
    let (mut log, _) = open(&disk);
    let before = files(&disk);
    let seconds_first = first_of(&before[1].0);
    for unchanged in [0, 1, seconds_first - 1] {
        assert_eq!(log.prune(unchanged, at(20)).expect("nothing to do"), Pruned::default());
        assert_eq!(files(&disk), before);
    }
    let pruned = log.prune(seconds_first, at(20)).expect("pruned");
    assert_eq!(pruned, Pruned { files: 1, bytes: before[0].1.len() as u64 });
    assert_eq!(log.first_seq(), seconds_first);
    let after = disk.crash();
    let report = verified(&after, Some(head));
    assert!(report.is_untampered() && report.expected == Expected::Met, "{report:#?}");
    assert_eq!(report.first_seq, Some(seconds_first));
    let early = nkudo_audit::Head { seq: 1, ..head };
    assert_eq!(verified(&after, Some(early)).expected, Expected::Pruned);

    // Of the last file nothing goes, however late the line.
    let pruned = log.prune(u64::MAX, at(21)).expect("pruned");
    assert_eq!((pruned.files, log.files()), (before.len() - 2, 1));
    append(&mut log, 30..34);
    let head = log.sync().expect("durable");
    assert!(verified(&disk.crash(), Some(head)).is_untampered());
    let (log, opened) = open(&disk.crash());
    assert_eq!((opened.head, opened.first_seq), (head, log.first_seq()));
}

#[test]
fn files_that_others_removed_are_missing() {
    let (disk, _) = several_files();
    let (mut log, _) = open(&disk);
    log.prune(first_of(&files(&disk)[1].0), at(20)).expect("pruned");
    append(&mut log, 30..34);
    log.sync().expect("durable");
    let mut tampered = files(&disk);
    let removed = tampered.remove(0);
    let report = verified(&disk_of(&tampered, &disk), None);
    let first = first_of(&removed.0);
    let next = first_of(&tampered[0].0);
    let faults: Vec<_> = report.findings.iter().map(|found| found.fault).collect();
    assert_eq!(faults, [Fault::StartMissing { from: first, to: next - 1 }]);
    let sentence = report.findings[0].to_string();
    assert!(sentence.contains("no checkpoint says that anything was pruned"), "{sentence}");
}

#[test]
fn a_pruning_cut_off_at_each_step_is_finished_by_the_next_opening() {
    let mut step = 0;
    let mut finished_by_opening = 0;
    loop {
        let (disk, head) = several_files();
        let (mut log, _) = open(&disk);
        disk.fail(disk.operations() + step..u64::MAX);
        let done = log.prune(u64::MAX, at(20)).is_ok();
        for (what, after) in [("power lost", disk.crash()), ("killed", disk.kill())] {
            let report = verified(&after, Some(head));
            assert!(report.is_untampered(), "{what} at step {step}: {report:#?}");
            let (log, opened) = open(&after);
            finished_by_opening += opened.pruned_files;
            assert!(log.files() == 1 || log.first_seq() == 1, "{what} at step {step}");
            let report = verified(&after.crash(), Some(head));
            assert!(report.is_untampered(), "{what} at step {step}: {report:#?}");
            assert_eq!(report.first_seq, Some(log.first_seq()), "{what} at step {step}");
        }
        if done {
            break;
        }
        step += 1;
    }
    assert!(step > 4 && finished_by_opening > 0, "{step} steps");
}

#[test]
fn cut_lines_go_with_their_file() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    append(&mut log, 0..1);
    disk.fail(disk.operations()..disk.operations() + 2);
    log.append(&crate::logs::entry(1)).expect_err("told to fail");
    let (mut log, opened) = open(&disk);
    assert!(opened.cut.is_some());
    append(&mut log, 2..12);
    let bytes = log.bytes();
    let pruned = log.prune(u64::MAX, at(20)).expect("pruned");
    assert!(files(&disk).iter().all(|(name, _)| !name.contains(".cut-")));
    let held: usize = files(&disk).iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(log.bytes(), held as u64);
    assert!(pruned.bytes < bytes);
}
