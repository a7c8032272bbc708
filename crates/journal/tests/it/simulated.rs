//! What the simulated disk does to files: without it, none of the other tests mean anything.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use nkudo_journal::{Deed, Disk, DiskFile as _, Flipped, SimulatedDisk, SimulatedFile};

/// Every seed is another loss of power.
const SEEDS: u64 = 400;

/// The length of a sector, and so of what is written whole or not at all.
const SECTOR_BYTES: usize = 512;

fn dir() -> &'static Path {
    Path::new("/state")
}

fn a() -> &'static Path {
    Path::new("/state/a")
}

fn b() -> &'static Path {
    Path::new("/state/b")
}

fn disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all(dir()).expect("a directory");
    disk
}

/// A file whose name and content are durable.
fn durable(disk: &SimulatedDisk, path: &Path, bytes: &[u8]) -> SimulatedFile {
    let mut file = disk.create_new(path).expect("a file");
    file.append(bytes).expect("written");
    file.sync().expect("durable");
    disk.sync_dir(dir()).expect("durable");
    file
}

fn read(disk: &SimulatedDisk, path: &Path) -> Option<Vec<u8>> {
    disk.read_at(path, 0, u64::MAX).ok()
}

/// All that a loss of power may leave of some files.
fn outcomes(disk: &SimulatedDisk, paths: &[&Path]) -> BTreeSet<Vec<Option<Vec<u8>>>> {
    let outcome = |seed| {
        let found = disk.crash_torn(seed);
        let again = disk.crash_torn(seed);
        let seen: Vec<_> = paths.iter().map(|path| read(&found, path)).collect();
        assert_eq!(seen, paths.iter().map(|path| read(&again, path)).collect::<Vec<_>>(), "seed {seed}");
        // What was found is durable.
        assert_eq!(seen, paths.iter().map(|path| read(&found.crash(), path)).collect::<Vec<_>>());
        seen
    };
    (0..SEEDS).map(outcome).collect()
}

/// Exactly these are what may be found of a file.
fn check_outcomes(disk: &SimulatedDisk, path: &Path, expected: &[Option<&[u8]>]) {
    let found: BTreeSet<_> = outcomes(disk, &[path]).into_iter().flatten().collect();
    assert_eq!(found, expected.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect());
}

#[test]
fn what_is_durable_stays_whatever_is_torn() {
    let disk = disk();
    let mut file = durable(&disk, a(), &[1; 700]);
    file.append(&[2; 3 * SECTOR_BYTES]).expect("written");
    let (mut beginnings, mut sectors, mut lengths) = (0, 0, BTreeSet::new());
    for found in outcomes(&disk, &[a()]) {
        let bytes = found[0].clone().expect("its name is durable");
        let (kept, tail) = bytes.split_at(700);
        assert_eq!(kept, [1; 700]);
        lengths.insert(tail.len());
        // To the end of the sector that is begun, and then whole ones.
        let (first, rest) = tail.split_at(tail.len().min(2 * SECTOR_BYTES - 700));
        let torn: Vec<&[u8]> = [first].into_iter().chain(rest.chunks(SECTOR_BYTES)).collect();
        assert!(torn.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])), "{bytes:?}");
        assert!(tail.iter().all(|byte| [0, 2].contains(byte)));
        if tail.contains(&0) { sectors += 1 } else { beginnings += 1 }
    }
    assert!(lengths.contains(&0) && lengths.contains(&(3 * SECTOR_BYTES)) && lengths.len() > 50);
    assert!(beginnings > 20 && sectors > 20, "{beginnings} beginnings, {sectors} with holes");
}

#[test]
fn a_cut_that_was_not_synced_may_be_undone() {
    let disk = disk();
    drop(durable(&disk, a(), b"0123456789"));
    disk.truncate(a(), 4).expect("cut");
    let found: BTreeSet<_> = outcomes(&disk, &[a()]).into_iter().flatten().flatten().collect();
    assert!(found.iter().all(|bytes| bytes.starts_with(b"0123")), "{found:?}");
    assert!(found.contains(&b"0123"[..]) && found.contains(&b"0123456789"[..]), "{found:?}");
    assert_eq!(read(&disk.crash(), a()).as_deref(), Some(&b"0123456789"[..]));
}

#[test]
fn what_was_cut_away_may_be_found_under_what_came_after() {
    let disk = disk();
    let mut file = durable(&disk, a(), b"kept");
    file.append(b"half of it").expect("written");
    disk.truncate(a(), 4).expect("cut");
    check_all(&disk, |bytes| bytes.starts_with(b"kept") && b"kepthalf of it".starts_with(bytes));
    let found: BTreeSet<_> = outcomes(&disk, &[a()]).into_iter().flatten().flatten().collect();
    assert!(found.len() > 5, "{found:?}");
    file.sync().expect("durable");
    check_outcomes(&disk, a(), &[Some(b"kept")]);
}

/// Zeros apart, which a sector may have.
fn check_all(disk: &SimulatedDisk, allowed: fn(&[u8]) -> bool) {
    for bytes in outcomes(disk, &[a()]).into_iter().flatten().flatten() {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        assert!(allowed(&bytes[..end]), "{bytes:?}");
    }
}

#[test]
fn a_name_may_be_seen_before_what_it_names() {
    let disk = disk();
    drop(durable(&disk, a(), b"old"));
    let mut file = disk.create_new(b()).expect("a file");
    file.append(b"new").expect("written");
    disk.rename(b(), a()).expect("renamed");
    let found = outcomes(&disk, &[a()]);
    for expected in [&b"old"[..], b"new", b""] {
        assert!(found.contains(&vec![Some(expected.to_vec())]), "{expected:?} of {found:?}");
    }
    file.sync().expect("durable");
    check_outcomes(&disk, a(), &[Some(b"old"), Some(b"new")]);
    disk.sync_dir(dir()).expect("durable");
    check_outcomes(&disk, a(), &[Some(b"new")]);
}

#[test]
fn a_removal_may_have_happened_or_not() {
    let disk = disk();
    drop(durable(&disk, a(), b"old"));
    disk.remove(a()).expect("removed");
    check_outcomes(&disk, a(), &[Some(b"old"), None]);
    disk.sync_dir(dir()).expect("durable");
    check_outcomes(&disk, a(), &[None]);
}

#[test]
fn names_are_independent_and_a_renaming_happens_whole() {
    let disk = disk();
    drop(durable(&disk, a(), b"x"));
    disk.rename(a(), b()).expect("renamed");
    let mut other = disk.create_new(Path::new("/state/c")).expect("a file");
    other.append(b"y").expect("written");
    other.sync().expect("durable");
    let (x, y) = (Some(b"x".to_vec()), Some(b"y".to_vec()));
    let before = vec![x.clone(), None];
    let after = vec![None, x];
    let with = |names: &[Option<Vec<u8>>], c: Option<Vec<u8>>| [names, &[c]].concat();
    let expected =
        [&before, &after].into_iter().flat_map(|names| [with(names, None), with(names, y.clone())]);
    assert_eq!(outcomes(&disk, &[a(), b(), Path::new("/state/c")]), expected.collect());
}

#[test]
fn the_changes_of_one_name_keep_their_order() {
    let disk = disk();
    drop(durable(&disk, a(), b"first"));
    disk.rename(a(), b()).expect("renamed");
    let mut file = disk.create_new(a()).expect("the name is free");
    file.append(b"second").expect("written");
    file.sync().expect("durable");
    // The first is never lost under the second.
    let (first, second) = (Some(b"first".to_vec()), Some(b"second".to_vec()));
    let expected = [vec![first.clone(), None], vec![None, first.clone()], vec![second, first]];
    assert_eq!(outcomes(&disk, &[a(), b()]), expected.into_iter().collect());
}

#[test]
fn after_a_failed_sync_content_is_in_doubt_for_good() {
    let disk = disk();
    let mut file = durable(&disk, a(), b"1");
    file.append(b"2").expect("written");
    disk.fail_next(Deed::Sync, 1);
    file.sync().expect_err("told to fail");
    file.sync().expect("it says so");
    check_outcomes(&disk, a(), &[Some(b"1"), Some(b"12"), Some(b"1\0")]);
}

#[test]
fn a_flip_changes_one_durable_bit() {
    let disk = disk();
    assert_eq!(disk.flip(1), None, "nothing is there");
    let mut file = durable(&disk, a(), &[0; 10]);
    drop(durable(&disk, b(), &[0; 30]));
    file.append(&[0; 10]).expect("written");
    let mut places = BTreeSet::new();
    for seed in 0..SEEDS {
        let sick = disk.kill();
        let flipped = sick.flip(seed).expect("there are bits");
        let Flipped { path, offset, bit } = &flipped;
        let (at, both) = (usize::try_from(*offset).expect("small"), [a(), b()]);
        for found in [sick.clone(), sick.crash()] {
            let bytes = read(&found, path).expect("it is there");
            assert_eq!(bytes[at], 1 << bit);
            let other: Vec<u8> = both.iter().filter_map(|path| read(&found, path)).flatten().collect();
            assert_eq!(other.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
        assert!(*offset < if path == a() { 10 } else { 30 });
        sick.flip_at(&flipped).expect("there is such a byte");
        assert_eq!(read(&sick, path), read(&disk, path), "twice is never");
        places.insert((path.clone(), *offset, *bit));
    }
    assert!(places.len() > 200, "{} places", places.len());
    let not_durable = Flipped { path: a().to_owned(), offset: 10, bit: 0 };
    assert_eq!(disk.flip_at(&not_durable).expect_err("not durable").kind(), io::ErrorKind::NotFound);
    let absent = Flipped { path: dir().join("c"), offset: 0, bit: 0 };
    assert_eq!(disk.flip_at(&absent).expect_err("no such file").kind(), io::ErrorKind::NotFound);
}

fn is_full<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.expect_err("the disk is full").kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = disk();
    disk.set_capacity(10);
    let mut file = disk.create_new(a()).expect("a file");
    file.append(b"123456").expect("it fits");
    is_full(file.append(b"7890AB"));
    assert_eq!(read(&disk, a()).as_deref(), Some(&b"1234567890"[..]));
    is_full(disk.create_new(b()));
    is_full(file.append(b"C"));
    file.append(b"").expect("nothing always fits");
    file.sync().expect("durable");
    disk.sync_dir(dir()).expect("durable");

    disk.truncate(a(), 8).expect("cut");
    let mut other = disk.create_new(b()).expect("there is room");
    is_full(other.append(b"abc"));
    assert_eq!((disk.used_bytes(), read(&disk, b()).as_deref()), (10, Some(&b"ab"[..])));
    disk.remove(b()).expect("removed");
    is_full(file.append(b"9"));
    drop(other);
    assert_eq!(disk.used_bytes(), 8, "it was removed and is closed");
    file.append(b"9").expect("there is room");

    disk.set_capacity(3);
    is_full(file.append(b"A"));
    is_full(disk.crash().open_append(a()).expect("it is there").append(b"A"));
    disk.set_capacity(u64::MAX);
    file.append(b"A").expect("there is room");
    assert_eq!(read(&disk, a()).as_deref(), Some(&b"123456789A"[..]));
}

#[test]
fn kinds_of_deeds_fail_as_often_as_they_were_told_to() {
    let disk = disk();
    let mut file = durable(&disk, a(), b"12");
    let check = |deed: Deed, deed_again: &mut dyn FnMut() -> io::Result<()>| {
        disk.fail_next(deed, 2);
        for _ in 0..2 {
            assert_eq!(deed_again().expect_err("told to fail").kind(), io::ErrorKind::Other, "{deed}");
        }
        if deed != Deed::Rename {
            deed_again().expect("told no more");
        }
    };
    check(Deed::Read, &mut || disk.read_at(a(), 0, 1).map(drop));
    check(Deed::List, &mut || disk.list(dir()).map(drop));
    check(Deed::Append, &mut || file.append(b"3"));
    check(Deed::Sync, &mut || disk.sync_dir(dir()));
    check(Deed::Sync, &mut || file.sync());
    check(Deed::Truncate, &mut || disk.truncate(a(), 1));
    check(Deed::Create, &mut || disk.create_new(b()).map(drop));
    check(Deed::Remove, &mut || disk.remove(b()));
    check(Deed::MakeDirectory, &mut || disk.create_dir_all(b()));
    // It is done all the same.
    let (from, to) = (a().to_owned(), dir().join("c"));
    let mut names = [from, to];
    check(Deed::Rename, &mut || {
        let renamed = disk.rename(&names[0], &names[1]);
        names.reverse();
        renamed
    });
    disk.fail_next(Deed::Read, u64::MAX);
    (0..10).for_each(|_| drop(disk.read_at(a(), 0, 1).expect_err("told to fail")));
    disk.fail_next(Deed::Read, 0);
    disk.read_at(a(), 0, 1).expect("healed");
}

#[test]
fn files_and_directories_are_not_each_other() {
    let disk = disk();
    drop(durable(&disk, a(), b""));
    disk.create_dir_all(b()).expect("a directory");
    let mut names = disk.list(dir()).expect("a listing");
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let check = |result: io::Result<()>, expected: io::ErrorKind| {
        assert_eq!(result.expect_err("it is the other").kind(), expected);
    };
    check(disk.read_at(b(), 0, 1).map(drop), io::ErrorKind::IsADirectory);
    check(disk.open_append(b()).map(drop), io::ErrorKind::IsADirectory);
    check(disk.truncate(b(), 0), io::ErrorKind::IsADirectory);
    check(disk.remove(b()), io::ErrorKind::IsADirectory);
    check(disk.rename(a(), b()), io::ErrorKind::IsADirectory);
    check(disk.create_new(b()).map(drop), io::ErrorKind::AlreadyExists);
    check(disk.create_new(&a().join("in")).map(drop), io::ErrorKind::NotADirectory);
    check(disk.list(a()).map(drop), io::ErrorKind::NotADirectory);
    check(disk.create_dir_all(a()), io::ErrorKind::AlreadyExists);
    check(disk.create_dir_all(&a().join("in")), io::ErrorKind::NotADirectory);
    check(disk.read_at(&dir().join("c"), 0, 1).map(drop), io::ErrorKind::NotFound);
    check(disk.create_new(&dir().join("c/d")).map(drop), io::ErrorKind::NotFound);
}
