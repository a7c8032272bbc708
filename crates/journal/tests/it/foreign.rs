//! Directories that no journal of ours left: made by hand, byte by byte.

use nkudo_journal::{Deed, Disk as _, JournalError, Reason, SimulatedDisk, replay_read_only};

use crate::damage;
use crate::journals::{
    dir, disk_of, files, header, open, path, payloads, record, segment, several_segments, try_open,
};

const BASE: u16 = 1;

/// Opens these files. Which payloads are given back, and why no more; and that a journal goes on after them.
fn check(segments: &[(u64, Vec<u8>)], expected: &[&[u8]], reason: Option<Reason>) {
    let files: Vec<_> = segments.iter().map(|(first, bytes)| (segment(*first), bytes.clone())).collect();
    let expected: Vec<Vec<u8>> = expected.iter().map(|payload| payload.to_vec()).collect();
    let replay = damage::check(&files, &expected, &format!("{segments:?}"));
    assert_eq!(payloads(&replay), expected);
    assert_eq!(replay.discarded.map(|told| told.reason), reason);
}

/// A base with these records.
fn base(first: u64, payloads: &[&[u8]]) -> Vec<u8> {
    let records = (first..).zip(payloads).flat_map(|(seq, payload)| record(seq, payload));
    header(1, BASE, first).into_iter().chain(records).collect()
}

/// A segment after a base, with these records.
fn next(first: u64, payloads: &[&[u8]]) -> Vec<u8> {
    [header(1, 0, first), base(first, payloads).split_off(24)].concat()
}

#[test]
fn what_is_made_by_hand_is_read() {
    check(&[(1, base(1, &[b"a", b"b"])), (3, next(3, &[b"c"]))], &[b"a", b"b", b"c"], None);
}

#[test]
fn the_newest_of_several_bases_counts() {
    let old = (1, base(1, &[b"a", b"b"]));
    check(&[old.clone(), (3, base(3, &[b"c"]))], &[b"c"], None);
    check(&[old.clone(), (3, base(3, &[]))], &[], None);
    check(
        &[old.clone(), (3, next(3, &[b"c"])), (4, base(4, &[b"d"])), (5, next(5, &[b"e"]))],
        &[b"d", b"e"],
        None,
    );
    // Numbers between bases may be missing.
    check(&[old.clone(), (9, base(9, &[b"c"]))], &[b"c"], None);
    // One that cannot be told from nothing leaves the one before.
    let mut damaged = base(3, &[b"c"]);
    damaged[10] ^= 1;
    check(&[old, (3, damaged)], &[b"a", b"b"], Some(Reason::DamagedHeader));
}

#[test]
fn numbers_that_do_not_follow_are_a_gap() {
    let gap = Some(Reason::Gap);
    check(&[(1, [base(1, &[b"a"]), record(3, b"c")].concat())], &[b"a"], gap);
    check(&[(1, [base(1, &[b"a"]), record(1, b"a")].concat())], &[b"a"], gap);
    check(&[(1, [base(1, &[b"a"]), record(0, b"z")].concat())], &[b"a"], gap);
    check(&[(1, [base(1, &[b"a"]), record(u64::MAX, b"z")].concat())], &[b"a"], gap);
    check(&[(1, base(1, &[b"a"])), (3, next(3, &[b"c"]))], &[b"a"], gap);
    check(&[(1, base(1, &[b"a", b"b"])), (2, next(2, &[b"b"]))], &[b"a", b"b"], gap);
    check(&[(1, next(1, &[b"a"]))], &[], gap);
    check(&[(5, next(5, &[b"e"]))], &[], gap);
}

#[test]
fn headers_that_are_not_ours_are_damage() {
    let damaged = Some(Reason::DamagedHeader);
    let a = base(1, &[b"a"]);
    check(&[(1, b"SQLite format 3\0 and so on, as another program has it".to_vec())], &[], damaged);
    check(&[(1, a.clone()), (2, b"\x7fELF".to_vec())], &[b"a"], damaged);
    // Checksums are right in these.
    check(&[(1, header(0, BASE, 1))], &[], damaged);
    check(&[(1, header(1, 0x8001, 1))], &[], damaged);
    check(&[(1, header(1, 8, 1))], &[], damaged);
    check(&[(1, a.clone()), (2, header(1, 0, 3))], &[b"a"], damaged);
    check(&[(1 << 62, base(1 << 62, &[b"a"]))], &[b"a"], None);
}

/// Nothing counts from zero, and counting on from the others would overflow.
#[test]
fn numbers_that_no_record_has_are_not_believed() {
    for first in [0, u64::MAX, u64::MAX - 1, (1 << 62) + 1] {
        for bytes in [Vec::new(), base(first.min(1 << 62), &[b"a"]), header(1, BASE, first)] {
            let disk = disk_of(&[(segment(first), bytes.clone()), (segment(1), base(1, &[b"a"]))]);
            let (mut journal, replay) = open(&disk);
            assert_eq!(payloads(&replay), [b"a"], "{first}: it is no segment of ours");
            journal.append(b"b").expect("appended");
            assert!(files(&disk).contains(&(segment(first), bytes)), "{first}: and left alone");
        }
    }
}

#[test]
fn lengths_that_cannot_be_are_a_cut_off_record() {
    for length in [u32::MAX, u32::MAX - 16, 1 << 31, 1 << 20, 2] {
        let mut bytes = base(1, &[b"a", b"b"]);
        let at = bytes.len() - 17;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        check(&[(1, bytes)], &[b"a"], Some(Reason::TornRecord));
    }
}

#[test]
fn a_newer_version_anywhere_is_refused_and_nothing_is_touched() {
    for place in 0..3 {
        for version in [2, u16::MAX] {
            let mut segments = [base(1, &[b"a"]), next(2, &[b"b"]), next(3, &[b"c"])];
            segments[place].splice(..24, header(version, 0x4000, place as u64 + 1));
            let numbered = (1..).zip(segments);
            let written: Vec<_> = numbered.map(|(first, bytes)| (segment(first), bytes)).collect();
            let disk = disk_of(&written);
            let refused = try_open(&disk).expect_err("too new");
            assert!(
                matches!(refused, JournalError::NewerFormat { found, .. } if found == version),
                "{refused}"
            );
            replay_read_only(&disk, dir()).expect_err("too new");
            assert_eq!(files(&disk), written);
        }
    }
}

#[test]
fn empty_files_hold_nothing() {
    check(&[(1, Vec::new())], &[], None);
    check(&[(7, Vec::new())], &[], None);
    let damaged = Some(Reason::DamagedHeader);
    check(&[(1, base(1, &[b"a"])), (2, Vec::new())], &[b"a"], None);
    check(&[(1, base(1, &[b"a"])), (2, Vec::new()), (3, next(3, &[b"c"]))], &[b"a"], damaged);
    check(&[(1, Vec::new()), (2, Vec::new()), (3, Vec::new())], &[], damaged);
}

#[test]
fn names_that_are_not_those_of_segments_are_left_alone() {
    let names = [
        "1.seg",
        "notes.txt",
        "0000000000000000001x.seg",
        "+0000000000000000001.seg",
        "00000000000000000002.seg~",
    ];
    let mut written: Vec<_> = names.iter().map(|name| ((*name).to_owned(), b"whatever".to_vec())).collect();
    written.push((segment(1), base(1, &[b"a"])));
    let disk = disk_of(&written);
    let (_, replay) = open(&disk);
    assert_eq!((payloads(&replay), replay.discarded), (vec![b"a".to_vec()], None));
    assert_eq!(files(&disk), files(&disk_of(&written)));
}

#[test]
fn a_directory_in_place_of_a_file_is_named() {
    let check = |name: &str, expected: Deed| {
        let (disk, _) = several_segments();
        disk.create_dir_all(&path(name)).expect("a directory");
        match try_open(&disk).expect_err("a directory") {
            JournalError::Disk { deed, path: named, .. } => assert_eq!((deed, named), (expected, path(name))),
            error => panic!("{error}"),
        }
    };
    check(&segment(99), Deed::Read);
    check(&format!("{}.new", segment(99)), Deed::Remove);

    let disk = SimulatedDisk::new();
    disk.create_dir_all(dir().parent().expect("it has one")).expect("a directory");
    drop(disk.create_new(dir()).expect("a file in place of the directory"));
    let refused = try_open(&disk).expect_err("a file");
    assert!(matches!(refused, JournalError::Disk { deed: Deed::MakeDirectory, .. }), "{refused}");
    replay_read_only(&disk, dir()).expect_err("a file");
}

/// A repair that finds no room for what it keeps leaves no more on the disk at each try.
#[test]
fn a_repair_on_a_full_disk_fails_until_there_is_room() {
    let (whole, records) = several_segments();
    let mut damaged = files(&whole);
    *damaged.last_mut().expect("a segment").1.last_mut().expect("a byte") ^= 1;
    let disk = disk_of(&damaged);
    let used = disk.used_bytes();
    disk.set_capacity(used + 3);
    for _ in 0..3 {
        let refused = try_open(&disk).expect_err("no room");
        assert!(refused.is_storage_full(), "{refused}");
        assert_eq!((disk.used_bytes(), files(&disk)), (used, damaged.clone()));
    }
    // Also where there is room for the copy alone.
    disk.set_capacity(used + 40);
    assert!(try_open(&disk).expect_err("no room").is_storage_full());
    assert_eq!((disk.used_bytes(), files(&disk)), (used, damaged));
    disk.set_capacity(used + 400);
    let replay = open(&disk).1;
    assert_eq!(payloads(&replay), records[..records.len() - 1]);
    assert_eq!(replay.discarded.expect("told").kept.len(), 1);
}
