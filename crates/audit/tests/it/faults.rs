//! Disks that stop, fail and lose power.

use std::path::Path;

use nkudo_audit::{AuditError, Head, Opened};
use nkudo_journal::{Deed, Disk as _, DiskFile as _, SimulatedDisk};

use crate::logs::{
    Files, append, at, disk_of, disk_with_key, entry, files, lines, numbers, open, path, several_files,
    try_open, verified,
};
use crate::model::{Step, check};

fn script() -> Vec<Step> {
    vec![
        Step::Append,
        Step::Sync,
        Step::Append,
        Step::Append,
        Step::Append,
        Step::Sync,
        Step::Append,
        Step::Checkpoint,
        Step::Append,
        Step::Append,
        Step::Append,
        Step::Sync,
        Step::Prune(6),
        Step::Append,
        Step::Append,
        Step::Prune(100),
        Step::Append,
    ]
}

#[test]
fn the_disk_stops_at_each_operation() {
    let operations = check(&disk_with_key(), &script(), "without faults");
    assert!(operations > 20, "{operations}");
    for operation in 0..operations {
        let disk = disk_with_key();
        disk.fail(operation..u64::MAX);
        check(&disk, &script(), &format!("stopped at {operation}"));
    }
}

#[test]
fn each_operation_fails_once() {
    let operations = check(&disk_with_key(), &script(), "without faults");
    for operation in 0..operations {
        let disk = disk_with_key();
        disk.fail(operation..operation + 1);
        check(&disk, &script(), &format!("{operation} fails"));
    }
}

#[test]
fn power_is_lost_after_each_step() {
    let script = script();
    for length in 0..=script.len() {
        let (steps, _) = script.split_at(length);
        check(&disk_with_key(), steps, &format!("{length} steps"));
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_the_log_goes_on_when_opened_anew() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    append(&mut log, 0..1);
    let durable = log.sync().expect("durable");
    append(&mut log, 1..2);
    disk.fail(disk.operations()..disk.operations() + 1);
    let failed = log.sync().expect_err("told to fail");
    assert_eq!(failed.to_string(), "cannot sync /state/audit/00000000000000000001.jsonl");
    assert_eq!(log.head(), durable, "nobody hears of the second");
    let before = disk.operations();
    let poisoned = [
        log.sync().map(drop).expect_err("poisoned"),
        log.append(&entry(9)).map(drop).expect_err("poisoned"),
        log.checkpoint(at(9)).expect_err("poisoned"),
        log.tick(at(999)).expect_err("poisoned"),
        log.prune(1, at(9)).map(drop).expect_err("poisoned"),
    ];
    for error in poisoned {
        assert!(matches!(error, AuditError::Poisoned(_)) && !error.is_storage_full(), "{error}");
    }
    assert_eq!(disk.operations(), before, "the disk is left alone");
    drop(log);

    // The file itself never becomes durable any more, whatever its syncs say: what it holds is written anew.
    let (mut log, opened) = open(&disk);
    assert_eq!(opened.cut, None);
    append(&mut log, 2..3);
    let head = log.sync().expect("durable");
    let after = disk.crash();
    assert_eq!(numbers(&after), [0, 1, 2]);
    assert!(verified(&after, Some(head)).is_untampered());
    assert!(verified(&after, Some(durable)).is_untampered());
}

/// A log whose file is not the one it wrote says so before anybody is told that an entry is durable.
#[test]
fn a_file_that_others_removed_cut_or_wrote_is_told_by_the_next_sync() {
    let check_told = |change: fn(&SimulatedDisk, &Path), expected: &str| {
        let disk = disk_with_key();
        let (mut log, _) = open(&disk);
        append(&mut log, 0..1);
        let durable = log.sync().expect("durable");
        change(&disk, &path("00000000000000000001.jsonl"));
        append(&mut log, 1..2);
        let error = log.sync().expect_err(expected);
        assert!(matches!(error, AuditError::Disturbed { .. }) && !error.is_storage_full(), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(log.head(), durable, "nobody hears of the second");
        assert!(matches!(log.append(&entry(2)), Err(AuditError::Poisoned(_))));
        assert!(!verified(&disk, Some(durable)).is_untampered());
    };
    check_told(
        |disk, path| disk.remove(path).expect("removed"),
        "and has 0: somebody else wrote, cut or removed it",
    );
    check_told(|disk, path| disk.truncate(path, 100).expect("cut"), "Verify the log");
    let write = |disk: &SimulatedDisk, path: &Path| {
        disk.open_append(path).and_then(|mut file| file.append(b"{}\n")).expect("written");
    };
    check_told(write, "Verify the log");
}

#[test]
fn a_failed_append_leaves_a_log_that_goes_on() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    append(&mut log, 0..1);
    disk.fail(disk.operations()..disk.operations() + 1);
    let bytes = log.bytes();
    let failed = log.append(&entry(1)).expect_err("told to fail");
    assert!(matches!(failed, AuditError::Disk { deed: Deed::Append, .. }) && !failed.is_storage_full());
    assert_eq!(log.bytes(), bytes);
    append(&mut log, 2..4);
    let head = log.sync().expect("durable");
    assert_eq!(numbers(&disk.crash()), [0, 2, 3]);
    assert!(verified(&disk.crash(), Some(head)).is_untampered());
}

/// Cut anywhere, the last file of a log is opened, what was cut is kept, and the log goes on.
#[test]
fn a_log_cut_at_every_byte_of_its_last_file_goes_on() {
    let (disk, _) = several_files();
    let whole = files(&disk);
    let last = whole.len() - 1;
    for length in 0..whole[last].1.len() {
        let mut cut = whole.clone();
        let bytes = &mut cut[last].1;
        bytes.truncate(length);
        let torn = bytes.iter().rposition(|byte| *byte == b'\n').map_or(length, |end| length - end - 1);
        let whole_lines = lines(&cut).len() - usize::from(torn > 0);
        let after = disk_of(&cut, &disk);
        let what = format!("cut to {length}");
        let (mut log, Opened { head, cut, .. }) = open(&after);
        assert_eq!(head.seq, whole_lines as u64, "{what}");
        assert_eq!(cut.is_some(), torn > 0, "{what}");
        if let Some(cut) = &cut {
            let kept = files(&after).into_iter().find(|(name, _)| cut.kept.ends_with(name)).expect("kept");
            assert_eq!((kept.1.len() as u64, kept.1.len()), (cut.bytes, torn), "{what}");
            assert!(whole[last].1[..length].ends_with(&kept.1), "{what}");
        }
        append(&mut log, 50..51);
        let head = log.sync().expect("durable");
        let report = verified(&after.crash(), Some(head));
        assert!(report.is_untampered() && report.cut.is_none(), "{what}: {report:#?}");
        assert_eq!(report.kept_aside, usize::from(torn > 0), "{what}");
    }
}

/// Opening a torn log, cut off anywhere: the next opening finds the same lines, and nothing of the torn one is lost.
#[test]
fn an_opening_cut_off_at_each_step_is_done_by_the_next_one() {
    let (disk, head) = several_files();
    let mut torn = files(&disk);
    torn.last_mut().expect("a file").1.extend(b"{\"seq\":");
    let mut step = 0;
    loop {
        let disk = disk_of(&torn, &disk);
        disk.fail(step..u64::MAX);
        let finished = try_open(&disk).is_ok();
        for (what, after) in [("power lost", disk.crash()), ("killed", disk.kill())] {
            let (_, opened) = open(&after);
            assert_eq!(opened.head, head, "{what} at step {step}");
            let kept: Vec<_> = files(&after).into_iter().filter(|(name, _)| name.contains(".cut-")).collect();
            assert!(!kept.is_empty() && kept.iter().all(|(_, bytes)| bytes == b"{\"seq\":"), "{kept:?}");
            assert!(files(&after).iter().all(|(name, _)| !name.ends_with(".new")), "{what} at step {step}");
            let report = verified(&after.crash(), Some(head));
            assert!(report.is_untampered() && report.cut.is_none(), "{what} at step {step}: {report:#?}");
        }
        if finished {
            break;
        }
        step += 1;
    }
    assert!(step > 6, "{step} steps");
}

#[test]
fn two_crashes_keep_two_cut_lines() {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    for number in 1..=3 {
        append(&mut log, 0..1);
        // Half of it is written, and cannot be taken back.
        disk.fail(disk.operations()..disk.operations() + 2);
        log.append(&entry(1)).expect_err("told to fail");
        let (again, opened) = open(&disk);
        let cut = opened.cut.expect("a cut line");
        assert!(cut.kept.to_string_lossy().ends_with(&format!(".cut-{number}")), "{cut:?}");
        log = again;
    }
    assert_eq!(verified(&disk, None).kept_aside, 3);
}

/// What is wrong with a log that is to be continued is an error, not a new beginning.
#[test]
fn a_damaged_end_is_not_continued() {
    let (disk, _) = several_files();
    let whole = files(&disk);
    let last = whole.len() - 1;
    let check_refused = |change: &dyn Fn(&mut Files), expected: &str| {
        let mut damaged = whole.clone();
        change(&mut damaged);
        let disk = disk_of(&damaged, &disk);
        let error = try_open(&disk).expect_err(expected);
        assert!(matches!(error, AuditError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(expected) && error.to_string().contains("Verify it"), "{error}");
        assert_eq!(files(&disk), damaged, "nothing was touched");
    };
    check_refused(&|files| files[last].1[30] ^= 1, "it was changed after it was written");
    check_refused(&|files| files[last].1.splice(0..0, *b"x\n").for_each(drop), "no line of an audit log");
    check_refused(
        &|files| files[last].1.extend(vec![b'x'; 70_000].into_iter().chain([b'\n'])),
        "longer than",
    );
    check_refused(&|files| files[last].0 = format!("{:020}.jsonl", 99), "named for another line");
    check_refused(&|files| files.push((format!("{:020}.jsonl", 99), Vec::new())), "named for another line");
    check_refused(
        &|files| {
            files.drain(..last);
            files[0].1.clear();
        },
        "missing at the beginning",
    );
    check_refused(
        &|files| {
            files[last].1.clear();
            files[last - 1].1.pop();
        },
        "which no crash leaves",
    );
}

#[test]
fn an_empty_directory_is_an_empty_log() {
    let disk = disk_with_key();
    let (mut log, opened) = open(&disk);
    let expected = Opened { first_seq: 1, head: Head::START, signed: None, cut: None, pruned_files: 0 };
    assert_eq!(opened, expected);
    assert_eq!((log.head(), log.files(), log.bytes()), (Head::START, 0, 0));
    log.checkpoint(at(0)).expect("nothing to sign");
    log.tick(at(9999)).expect("nothing to sign");
    assert_eq!(log.sync().expect("nothing to do"), Head::START);
    assert_eq!(files(&disk), []);
    let read_only: SimulatedDisk = disk.kill();
    assert_eq!(verified(&read_only, Some(Head::START)).findings, []);
}

/// The entry that makes a checkpoint due is written together with it, and a crash can leave the entry alone.
#[test]
fn a_checkpoint_that_was_cut_off_behind_its_entry_is_made_up_for() {
    let (disk, _) = several_files();
    let whole = files(&disk);
    let (name, bytes) = &whole[0];
    // C e e e C: cut within the second checkpoint.
    let ends: Vec<_> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let cut = vec![(name.clone(), bytes[..ends[3] + 40].to_vec())];
    let disk = disk_of(&cut, &disk);
    let (mut log, opened) = open(&disk);
    assert!(opened.cut.is_some() && opened.head.seq == 4);
    append(&mut log, 20..22);
    let head = log.sync().expect("durable");
    let report = verified(&disk, Some(head));
    assert!(report.is_untampered(), "{report:#?}");
    assert_eq!((report.lines, report.checkpoints, report.unsigned), (7, 2, 2));
}
