//! Entries for people, and pruning by age.

use std::ops::ControlFlow;

use nkudo_audit::{Entry, newest_first};
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

/// A log of several files for each of these times, in their order.
fn files_of(times: &[i64]) -> (SimulatedDisk, Vec<(i64, usize)>) {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    for second in times {
        for number in 0..8_u64 {
            let entry = Entry::new(at(*second), "orders", "order.cancel", "alice", "succeeded");
            log.append(&entry.field("number", number)).expect("appended");
        }
    }
    log.sync().expect("durable");
    (disk.crash(), count(&disk))
}

/// How many entries there are of each time, in the order of the times.
fn count(disk: &SimulatedDisk) -> Vec<(i64, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    newest_first(disk, dir(), |record| {
        *counts.entry(record.timestamp.as_second() - at(0).as_second()).or_insert(0) += 1;
        ControlFlow::Continue(())
    })
    .expect("readable");
    counts.into_iter().collect()
}

#[test]
fn a_clock_that_was_set_back_for_a_while_makes_nothing_young_go() {
    let check = |times: &[i64], (than, now): (i64, i64), went: &[i64]| {
        let (disk, before) = files_of(times);
        let (mut log, _) = open(&disk);
        let pruned = log.prune_older(at(than), at(now)).expect("pruned");
        let after = count(&disk);
        for (second, had) in before {
            let has = after.iter().find(|(of, _)| *of == second).map_or(0, |(_, has)| *has);
            let name = format!("{second} of {times:?}, older than {than}: {has} of {had}");
            assert_eq!(has < had, went.contains(&second), "{name}");
        }
        assert_eq!(pruned.files > 0, !went.is_empty());
    };
    check(&[100, 200, 300], (250, 400), &[100, 200]);
    // Set back and right again: it is not what it says.
    check(&[100, -900, -890, 300], (50, 400), &[]);
    check(&[100, -900, -890, 300], (250, 400), &[100]);
    check(&[100, -900, -890, 300, 310], (305, 400), &[100, -900, -890, 300]);
    // Still set back: what was written before it is younger than it says.
    check(&[100, 200, -900], (-1_000, -900), &[]);
    check(&[100, 200, -900, -500], (-600, -500), &[100, 200, -900]);
    // Set ahead and right again: that does not keep the log for ever.
    check(&[100, 9_000, 200, 300], (250, 400), &[100, 9_000, 200]);
    check(&[100, 9_000, 200, 300], (150, 400), &[100]);
}

#[test]
fn room_is_what_entries_may_still_take() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    let empty = log.room_bytes();
    append(&mut log, 0..3);
    assert_eq!(empty - log.room_bytes(), log.bytes());
}
