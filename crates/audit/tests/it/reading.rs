//! Entries for people, and pruning by age.

use std::ops::ControlFlow;

use nkudo_audit::newest_first;
use nkudo_journal::SimulatedDisk;

use crate::logs::{append, at, dir, disk_of, disk_with_key, files, first_of, open, several_files, verified};

/// The numbers in the newest entries, at most so many.
fn newest(disk: &SimulatedDisk, limit: usize) -> Vec<u64> {
    let mut found = Vec::new();
    newest_first(disk, dir(), |record| {
        found.push(record.fields["number"].as_u64().expect("a number"));
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .expect("readable");
    found
}

#[test]
fn entries_come_newest_first_over_all_files_without_checkpoints() {
    let (disk, _) = several_files();
    assert_eq!(newest(&disk, 3), [10, 9, 8]);
    assert_eq!(newest(&disk, 100), (0..11).rev().collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_not_there_has_no_entry_and_what_is_no_line_is_left_out() {
    assert!(newest(&SimulatedDisk::new(), 1).is_empty());
    assert!(newest(&disk_with_key(), 1).is_empty());
    let (disk, _) = several_files();
    let mut tampered = files(&disk);
    let last = &mut tampered.last_mut().expect("files").1;
    last.extend_from_slice(b"no line\n\xff\xff\n{\"seq\":1");
    assert_eq!(newest(&disk_of(&tampered, &disk), 2), [10, 9]);
}

#[test]
fn a_report_tells_when_the_log_begins_and_ends() {
    let (disk, _) = several_files();
    let report = verified(&disk, None);
    assert_eq!((report.first_at, report.last_at), (Some(at(0)), Some(at(10))));
    let report = verified(&disk_with_key(), None);
    assert_eq!((report.first_at, report.last_at), (None, None));
}

#[test]
fn files_go_by_age_when_the_next_one_begins_before_that() {
    let (disk, head) = several_files();
    let (mut log, _) = open(&disk);
    let begins: Vec<u64> = files(&disk).iter().map(|(name, _)| first_of(name)).collect();
    assert_eq!(log.prune_older(at(-1), at(20)).expect("nothing is so old").files, 0);
    assert_eq!(log.first_seq(), 1);
    // The second file begins with an entry of some second: one earlier nothing goes.
    let mut second = 0;
    while log.prune_older(at(second), at(20)).expect("pruned").files == 0 {
        second += 1;
    }
    assert_eq!(log.first_seq(), begins[1]);
    assert!(second > 0 && second < 10, "{second}");
    // However old they are: the last file stays.
    log.prune_older(at(1_000), at(1_000)).expect("pruned");
    assert_eq!(log.files(), 1);
    append(&mut log, 30..32);
    log.sync().expect("durable");
    assert!(verified(&disk.crash(), Some(head)).is_untampered());
}

#[test]
fn room_is_what_entries_may_still_take() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    let empty = log.room_bytes();
    append(&mut log, 0..3);
    assert_eq!(empty - log.room_bytes(), log.bytes());
}
