use std::collections::BTreeSet;
use std::path::Path;

use nkudo_journal::{Ballast, Deed, Disk as _, DiskFile as _, JournalError, RealDisk, SimulatedDisk};

use crate::journals::{open, payloads};

const BYTES: u64 = 200_000;

fn path() -> &'static Path {
    Path::new("/state/ballast")
}

fn disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all(Path::new("/state")).expect("a directory");
    disk
}

fn ballast(disk: &SimulatedDisk) -> Ballast<SimulatedDisk> {
    Ballast::open(disk.clone(), path(), BYTES).expect("it opens")
}

fn is_full(result: Result<(), JournalError>) {
    let error = result.expect_err("no room");
    assert!(error.is_storage_full(), "{error}");
}

#[test]
fn a_journal_on_a_full_disk_goes_on_with_what_was_released() {
    let disk = disk();
    let (mut journal, _) = open(&disk);
    let mut ballast = Ballast::open(disk.clone(), path(), 600).expect("it opens");
    disk.set_capacity(disk.used_bytes());
    assert!(journal.append(b"refused").expect_err("no room").is_storage_full());

    ballast.release().expect("released");
    assert_eq!(ballast.held_bytes(), 0);
    let mut written = 0_u8;
    while written < 100 {
        match journal.append(&[written; 20]) {
            Ok(_) => written += 1,
            Err(error) => {
                assert!(error.is_storage_full(), "{error}");
                break;
            }
        }
        journal.sync().expect("durable");
    }
    // 36 bytes each, and a segment's header of 24 for each but the first.
    assert_eq!(written, 10);
    let expected: Vec<Vec<u8>> = (0..written).map(|byte| vec![byte; 20]).collect();
    for seed in 0..32 {
        assert_eq!(payloads(&open(&disk.crash_torn(seed)).1), expected);
    }

    is_full(ballast.restore());
    assert_eq!(ballast.held_bytes(), 0);
    journal.compact([]).expect_err("not even a base fits");
    disk.set_capacity(disk.used_bytes() + 30);
    journal.compact([]).expect("what was written is not needed any more");
    ballast.restore().expect("there is room");
    assert_eq!(ballast.held_bytes(), 600);
}

#[test]
fn a_restoring_without_room_takes_nothing() {
    let disk = disk();
    let mut ballast = ballast(&disk);
    ballast.release().expect("released");
    ballast.release().expect("nothing to do");
    for room in [0, 1, 1_000, 65_536, 65_537, BYTES - 1] {
        disk.set_capacity(room);
        is_full(ballast.restore());
        assert_eq!((ballast.held_bytes(), disk.used_bytes()), (0, 0), "with room for {room}");
    }
    disk.set_capacity(BYTES);
    ballast.restore().expect("there is room");
    ballast.restore().expect("nothing to do");
    assert_eq!((ballast.held_bytes(), disk.used_bytes()), (BYTES, BYTES));
    for deed in [Deed::Append, Deed::Sync] {
        ballast.release().expect("released");
        disk.fail_next(deed, 1);
        ballast.restore().expect_err("told to fail");
        assert_eq!((ballast.held_bytes(), disk.used_bytes()), (0, 0), "{deed}");
        ballast.restore().expect("there is room");
    }
}

#[test]
fn what_is_there_is_taken_as_it_is() {
    let disk = disk();
    disk.set_capacity(0);
    let mut none = ballast(&disk);
    assert_eq!(none.held_bytes(), 0, "a full disk keeps nobody from starting");
    disk.set_capacity(u64::MAX);
    none.restore().expect("there is room");
    assert_eq!(ballast(&disk.crash()).held_bytes(), BYTES);

    let before = disk.operations();
    assert_eq!((ballast(&disk).held_bytes(), disk.operations()), (BYTES, before));
    let mut shorter = Ballast::open(disk.clone(), path(), 1_000).expect("it opens");
    assert_eq!((shorter.held_bytes(), disk.used_bytes()), (1_000, 1_000));
    shorter.restore().expect("nothing to do");
    let mut longer = ballast(&disk);
    assert_eq!(longer.held_bytes(), 1_000);
    longer.restore().expect("there is room");
    disk.remove(path()).expect("somebody removed it");
    longer.release().expect_err("it cannot be cut");
    assert_eq!(ballast(&disk).held_bytes(), BYTES, "it is made again");
}

#[test]
fn a_directory_or_no_directory_is_an_error_that_names_it() {
    let disk = disk();
    disk.create_dir_all(path()).expect("a directory");
    let refused = Ballast::open(disk.clone(), path(), BYTES).expect_err("a directory");
    assert_eq!(refused.to_string(), "cannot read /state/ballast");
    let refused = Ballast::open(disk, Path::new("/absent/ballast"), BYTES).expect_err("no directory");
    assert_eq!(refused.to_string(), "cannot create /absent/ballast");
}

#[test]
fn cut_off_at_each_step_it_opens_and_can_be_restored() {
    let mut step = 0;
    loop {
        let disk = disk();
        let first = disk.operations() + step;
        disk.fail(first..u64::MAX);
        let done = Ballast::open(disk.clone(), path(), BYTES).and_then(|mut ballast| {
            ballast.release()?;
            ballast.restore()
        });
        for seed in 0..16 {
            let after = disk.crash_torn(seed);
            let mut ballast = ballast(&after);
            ballast.restore().expect("there is room");
            assert_eq!((ballast.held_bytes(), after.used_bytes()), (BYTES, BYTES), "step {step}");
        }
        if done.is_ok() {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "{step}");
}

/// A file system that compresses, or shares equal blocks, keeps as much room as one that does not.
#[test]
fn its_blocks_are_noise_and_differ() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("ballast");
    drop(Ballast::open(RealDisk, &path, BYTES).expect("it opens"));
    let bytes = std::fs::read(&path).expect("it is there");
    assert_eq!(bytes.len() as u64, BYTES);
    let blocks: BTreeSet<&[u8]> = bytes.chunks(512).collect();
    assert_eq!(blocks.len(), bytes.len().div_ceil(512));
    let kinds: BTreeSet<u8> = bytes[..4_096].iter().copied().collect();
    assert_eq!(kinds.len(), 256);
    let taken = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).expect("it is there")) * 512;
    assert!(taken >= BYTES, "{taken} bytes are allocated");
    let mut ballast = Ballast::open(RealDisk, &path, BYTES).expect("it opens");
    ballast.release().expect("released");
    assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 0);
    ballast.restore().expect("there is room");
    assert_eq!(std::fs::metadata(&path).expect("it is there").len(), BYTES);
}

#[test]
fn part_of_it_may_be_there() {
    let disk = disk();
    let mut file = disk.create_new(path()).expect("a file");
    file.append(&[1; 300]).expect("written");
    let mut ballast = ballast(&disk);
    assert_eq!(ballast.held_bytes(), 300);
    disk.set_capacity(301);
    is_full(ballast.restore());
    assert_eq!((ballast.held_bytes(), disk.used_bytes()), (300, 300));
    ballast.release().expect("released");
    assert_eq!(disk.used_bytes(), 0);
}
