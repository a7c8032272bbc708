use nkudo_journal::{Deed, JournalError, SimulatedDisk};

use crate::journals::{open, payloads, try_open};
use crate::model::{Step, check};

fn script() -> Vec<Step> {
    let append = |payload: &[u8]| Step::Append(payload.to_vec());
    vec![
        append(b"first"),
        Step::Sync,
        append(b"second, which is longer"),
        append(b"third, which begins a segment"),
        Step::Sync,
        append(b""),
        append(b"fifth, which begins another segment"),
        Step::Compact(2),
        append(b"after the base"),
        Step::Sync,
        Step::Compact(0),
        Step::Compact(0),
        append(b"the last, not synced"),
    ]
}

#[test]
fn the_disk_stops_at_each_operation() {
    let operations = check(&SimulatedDisk::new(), &script(), "without faults");
    assert!(operations > 25, "{operations}");
    for operation in 0..operations {
        let disk = SimulatedDisk::new();
        disk.fail(operation..u64::MAX);
        check(&disk, &script(), &format!("stopped at {operation}"));
    }
}

#[test]
fn each_operation_fails_once() {
    let operations = check(&SimulatedDisk::new(), &script(), "without faults");
    for operation in 0..operations {
        let disk = SimulatedDisk::new();
        disk.fail(operation..operation + 1);
        check(&disk, &script(), &format!("{operation} fails"));
    }
}

#[test]
fn power_is_lost_after_each_step() {
    let script = script();
    for length in 0..=script.len() {
        let (steps, _) = script.split_at(length);
        check(&SimulatedDisk::new(), steps, &format!("{length} steps"));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_written_or_promised() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"durable").expect("appended");
    let durable = journal.sync().expect("durable");
    journal.append(b"in doubt").expect("appended");
    disk.fail(disk.operations()..disk.operations() + 1);
    let failed = journal.sync().expect_err("told to fail");
    assert_eq!(failed.to_string(), "cannot sync /state/journal/00000000000000000001.seg");
    let before = disk.operations();
    let poisoned = [
        journal.sync().expect_err("poisoned"),
        journal.append(b"more").expect_err("poisoned"),
        journal.compact([]).expect_err("poisoned"),
    ];
    for error in poisoned {
        assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
    }
    assert_eq!(disk.operations(), before, "the disk is left alone");
    assert_eq!(journal.durable(), durable);
    assert_eq!(payloads(&open(&disk.crash()).1), [b"durable"]);
}

#[test]
fn a_failed_append_leaves_a_journal_that_goes_on() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"one").expect("appended");
    disk.fail(disk.operations()..disk.operations() + 1);
    let bytes = journal.bytes();
    let failed = journal.append(b"half of it is written").expect_err("told to fail");
    assert!(!failed.is_storage_full());
    assert_eq!(journal.bytes(), bytes);
    journal.append(b"two").expect("appended");
    journal.sync().expect("durable");
    assert_eq!(payloads(&open(&disk.crash()).1), [b"one", b"two"]);
}

#[test]
fn a_failed_append_that_cannot_be_undone_poisons() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"one").expect("appended");
    journal.sync().expect("durable");
    disk.fail(disk.operations()..disk.operations() + 2);
    journal.append(b"half of it is written").expect_err("told to fail");
    assert!(matches!(journal.append(b"two"), Err(JournalError::Poisoned(_))));
    let replay = open(&disk.kill()).1;
    assert_eq!(payloads(&replay), [b"one"]);
    assert!(replay.discarded.is_some(), "the half is told");
}

#[test]
fn what_is_given_back_after_a_failed_sync_stays() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"one").expect("appended");
    disk.fail(disk.operations()..disk.operations() + 1);
    journal.sync().expect_err("told to fail");
    drop(journal);
    // The next program reads what the kernel still has, and a sync of that file would say that all is well.
    let disk = disk.kill();
    let (mut journal, replay) = open(&disk);
    assert_eq!(payloads(&replay), [b"one"]);
    journal.append(b"two").expect("appended");
    journal.sync().expect("durable");
    assert_eq!(payloads(&open(&disk.crash()).1), [b"one", b"two"]);
}

/// What was cut off after a failed append must not come back between two segments.
#[test]
fn a_cut_is_durable_before_the_next_segment_begins() {
    for seed in 0..64 {
        let disk = SimulatedDisk::new();
        let (mut journal, _) = open(&disk);
        journal.append(b"one").expect("appended");
        journal.sync().expect("durable");
        disk.fail_next(Deed::Append, 1);
        journal.append(b"half of it is written").expect_err("told to fail");
        journal.append(&[2; 60]).expect("appended");
        assert_eq!(journal.segments(), 2);
        journal.sync().expect("durable");
        let replay = open(&disk.crash_torn(seed)).1;
        assert_eq!(payloads(&replay), [b"one".to_vec(), vec![2; 60]], "seed {seed}");
        assert_eq!(replay.discarded, None, "seed {seed}");
    }
}

/// What a base has superseded goes only when the base's name is sure to stay.
#[test]
fn a_compaction_and_the_opening_after_it_cut_off_at_each_operation() {
    let old: Vec<Vec<u8>> = (0..4_u8).map(|byte| vec![byte; 30]).collect();
    let mut found_both = [0, 0];
    for first in 0.. {
        let disk = SimulatedDisk::new();
        let (mut journal, _) = open(&disk);
        for record in &old {
            journal.append(record).expect("appended");
        }
        journal.sync().expect("durable");
        disk.fail(disk.operations() + first..u64::MAX);
        let compacted = journal.compact([b"new".to_vec()]).is_ok();
        for second in 0.. {
            let killed = disk.kill();
            killed.fail(second..u64::MAX);
            let opened = try_open(&killed).is_ok();
            for seed in 0..8 {
                let found = payloads(&open(&killed.crash_torn(seed)).1);
                let is_new = found == [b"new"];
                assert!(is_new || (found == old && !compacted), "{first}, {second}, {seed}: {found:?}");
                found_both[usize::from(is_new)] += 1;
            }
            if opened {
                break;
            }
        }
        if compacted {
            break;
        }
    }
    assert!(found_both.iter().all(|count| *count > 50), "{found_both:?}");
}
