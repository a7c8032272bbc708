use std::path::{Path, PathBuf};

use nkudo_journal::spool::{Class, Entry, Recovered, Spool, SpoolError, SpoolOptions};
use nkudo_journal::{Deed, Disk as _, DiskFile as _, JournalError, RealDisk, Reason, Seq, SimulatedDisk};

use crate::journals::{header, record};

/// Segments of three records of 20 bytes, and room for seven of them.
const OPTIONS: SpoolOptions = SpoolOptions { max_bytes: 900, segment_bytes: 132, max_record_bytes: 64 };

const AUDIT: u16 = 2;
const TELEMETRY: u16 = 4;

fn dir() -> &'static Path {
    Path::new("/state/spool")
}

fn try_open(disk: &SimulatedDisk) -> Result<(Spool<SimulatedDisk>, Recovered), SpoolError> {
    Spool::open(disk.clone(), dir(), OPTIONS)
}

fn open(disk: &SimulatedDisk) -> Spool<SimulatedDisk> {
    let (spool, recovered) = try_open(disk).expect("it opens");
    assert_eq!(recovered, Recovered::default());
    spool
}

fn read(spool: &Spool<SimulatedDisk>) -> Vec<Entry> {
    spool.read(spool.acknowledged(), usize::MAX).expect("it is read")
}

/// In a word: `A1` is audit under number 1, `-2..4` a gap.
fn shown(spool: &Spool<SimulatedDisk>) -> String {
    let shown = read(spool).into_iter().map(|entry| match entry {
        Entry::Record { seq, class: Class::Audit, .. } => format!("A{seq}"),
        Entry::Record { seq, class: Class::Telemetry, .. } => format!("T{seq}"),
        Entry::Gap { first, last } => format!("-{first}..{last}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn push(spool: &mut Spool<SimulatedDisk>, classes: &str) {
    for class in classes.chars() {
        let class = if class == 'A' { Class::Audit } else { Class::Telemetry };
        spool.push(class, &[7; 20]).expect("pushed");
    }
    spool.sync().expect("durable");
}

fn is_full(result: Result<Seq, SpoolError>) {
    let error = result.expect_err("no room");
    assert!(matches!(error, SpoolError::Full { .. }), "{error}");
}

#[test]
fn both_classes_come_back_in_one_order_until_they_are_acknowledged() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    assert_eq!((shown(&spool).as_str(), spool.durable()), ("", Seq::default()));
    for (number, class) in (1_u8..).zip([Class::Audit, Class::Telemetry, Class::Telemetry, Class::Audit]) {
        assert_eq!(spool.push(class, &[number]).expect("pushed"), Seq::new(number.into()));
    }
    assert_eq!(shown(&spool), "", "nothing is given out before it is durable");
    assert_eq!(spool.sync().expect("durable"), Seq::new(4));
    let mut spool = open(&disk.crash());
    assert_eq!(shown(&spool), "A1 T2 T3 A4");
    let expected = Entry::Record { seq: Seq::new(3), class: Class::Telemetry, payload: vec![3] };
    assert_eq!(spool.read(Seq::new(2), 1).expect("it is read"), [expected]);
    spool.acknowledge(Seq::new(3)).expect("acknowledged");
    spool.acknowledge(Seq::new(2)).expect("it was before");
    assert_eq!((shown(&spool).as_str(), spool.acknowledged()), ("A4", Seq::new(3)));
    spool.acknowledge(Seq::new(99)).expect("all that is durable");
    assert_eq!((shown(&spool).as_str(), spool.acknowledged()), ("", Seq::new(4)));
}

#[test]
fn a_sync_without_new_records_costs_nothing() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, "AT");
    let before = disk.operations();
    spool.sync().expect("durable");
    spool.save().expect("nothing was acknowledged");
    assert_eq!(disk.operations(), before);
}

#[test]
fn the_oldest_telemetry_is_dropped_and_told_and_audit_stays() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, "TATTTTTATTTTTTTTTTT");
    assert_eq!(shown(&spool), "T1 A2 T3 T4 T5 T6 T7 A8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19");
    assert_eq!(spool.dropped(), 0);
    push(&mut spool, "TTTTT");
    let after = "-1..1 A2 -3..7 A8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19 T20 T21 T22 T23 T24";
    assert_eq!((shown(&spool).as_str(), spool.dropped()), (after, 6));
    assert!(spool.bytes() <= OPTIONS.max_bytes && spool.bytes() == disk.used_bytes());
    push(&mut spool, "AAAAAAAAAAAAA");
    let after =
        "-1..1 A2 -3..7 A8 -9..20 T21 T22 T23 T24 A25 A26 A27 A28 A29 A30 A31 A32 A33 A34 A35 A36 A37";
    assert_eq!(shown(&spool), after);
    assert_eq!(spool.dropped(), 18);
    assert_eq!(shown(&open(&disk.crash())), after, "a gap survives");
}

#[test]
fn audit_is_never_dropped_and_a_full_spool_says_so() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, &"A".repeat(18));
    spool.push(Class::Audit, b"").expect("pushed");
    spool.push(Class::Telemetry, b"").expect("pushed");
    spool.sync().expect("durable");
    let before = (shown(&spool), spool.bytes(), spool.dropped());
    let refused = spool.push(Class::Audit, &[7; 64]).expect_err("no room");
    assert_eq!(
        refused.to_string(),
        "the spool in /state/spool has no room for a record of 64 bytes beside what may not be dropped, within its \
         limit of 900 bytes: deliver what waits, or raise the limit"
    );
    assert_eq!((shown(&spool), spool.bytes(), spool.dropped()), before, "nothing is dropped in vain");

    let number = spool.push(Class::Telemetry, &[7; 64]).expect("it is dropped itself");
    assert_eq!((number, spool.dropped()), (Seq::new(21), 1));
    spool.sync().expect("durable");
    assert!(shown(&spool).ends_with("A19 T20 -21..21"), "{}", shown(&spool));
    for seed in 0..16 {
        let mut spool = open(&disk.crash_torn(seed));
        assert!(shown(&spool).ends_with("A19 T20 -21..21"), "its number is not given again");
        is_full(spool.push(Class::Audit, &[7; 64]));
    }
    let audit = shown(&spool).split(' ').filter(|entry| entry.starts_with('A')).count();
    assert_eq!(audit, 19);
    spool.acknowledge(Seq::new(12)).expect("acknowledged");
    assert_eq!(spool.push(Class::Audit, &[7; 64]).expect("there is room again"), Seq::new(22));
}

#[test]
fn numbers_are_never_given_again() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, "ATATATATATATAT");
    spool.acknowledge(spool.durable()).expect("acknowledged");
    spool.save().expect("saved");
    for seed in 0..16 {
        let mut after = open(&disk.crash_torn(seed));
        assert_eq!((shown(&after).as_str(), after.acknowledged()), ("", Seq::new(14)));
        assert_eq!(after.push(Class::Audit, b"").expect("pushed"), Seq::new(15));
    }
    // Room is made of what was acknowledged, though it is in files that are written.
    for _ in 0..20 {
        push(&mut spool, "AAATTT");
        spool.acknowledge(spool.durable()).expect("acknowledged");
        assert!(spool.segments() <= 4, "{}", spool.segments());
    }
    assert_eq!((spool.dropped(), spool.durable()), (0, Seq::new(134)));
}

/// The records that displaced them may be lost with the power, and their file be gone.
#[test]
fn numbers_of_what_was_dropped_are_not_given_again() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, "TTT");
    disk.set_capacity(disk.used_bytes());
    assert_eq!(spool.push(Class::Audit, &[7; 20]).expect("telemetry gives way"), Seq::new(4));
    let mut gaps = 0;
    for seed in 0..64 {
        let found = disk.crash_torn(seed);
        found.set_capacity(u64::MAX);
        let (mut after, _) = try_open(&found).expect("it opens");
        assert!(after.durable() >= Seq::new(3), "seed {seed}");
        gaps += usize::from(shown(&after).starts_with("-1..3"));
        assert!(after.push(Class::Telemetry, &[]).is_ok_and(|seq| seq > Seq::new(3)), "seed {seed}");
    }
    assert!(gaps > 10, "{gaps}");
}

#[test]
fn on_a_full_disk_telemetry_gives_way_to_audit() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, "ATTTTTT");
    disk.set_capacity(disk.used_bytes());
    let refused = spool.push(Class::Telemetry, &[7; 20]).expect_err("others took the room");
    assert!(matches!(&refused, SpoolError::Journal(error) if error.is_storage_full()), "{refused}");
    push(&mut spool, "AAA");
    assert_eq!((shown(&spool).as_str(), spool.dropped()), ("A1 -2..4 T5 T6 T7 A8 A9 A10", 3));
    push(&mut spool, "AAA");
    let refused = spool.push(Class::Audit, &[7; 20]).expect_err("nothing is left to drop");
    assert!(matches!(&refused, SpoolError::Journal(error) if error.is_storage_full()), "{refused}");
    let expected = "A1 -2..7 A8 A9 A10 A11 A12 A13";
    assert_eq!(shown(&spool), expected);
    assert_eq!(shown(&open(&disk.crash())), expected);
    spool.acknowledge(Seq::new(13)).expect("acknowledged");
    disk.set_capacity(disk.used_bytes());
    assert_eq!(spool.push(Class::Telemetry, &[7; 20]).expect("what is done gives way"), Seq::new(14));
}

/// The segment that was begun for a record that then found no room is not taken for room that can be had.
#[test]
fn a_full_disk_refuses_when_all_was_acknowledged() {
    for room in 0..60 {
        let disk = SimulatedDisk::new();
        let mut spool = open(&disk);
        push(&mut spool, "AT");
        spool.acknowledge(Seq::new(2)).expect("acknowledged");
        disk.set_capacity(room);
        for class in [Class::Audit, Class::Telemetry] {
            let refused = spool.push(class, &[7; 20]).expect_err("others have the room");
            assert!(matches!(&refused, SpoolError::Journal(error) if error.is_storage_full()), "{refused}");
        }
        disk.set_capacity(60);
        assert_eq!(spool.push(Class::Audit, &[7; 20]).expect("it fits"), Seq::new(3), "{room}");
    }
}

#[test]
fn what_is_too_long_is_refused_and_nothing_changes() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    for class in [Class::Audit, Class::Telemetry] {
        let refused = spool.push(class, &[1; 65]).expect_err("too long");
        assert_eq!(refused.to_string(), "a record of 65 bytes is over the limit of 64");
    }
    assert_eq!(spool.push(Class::Audit, &[1; 64]).expect("just short enough"), Seq::new(1));
}

#[test]
fn after_a_failed_sync_nothing_is_promised() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    push(&mut spool, "AT");
    spool.push(Class::Audit, b"in doubt").expect("pushed");
    disk.fail_next(Deed::Sync, 1);
    spool.sync().expect_err("told to fail");
    let poisoned = [
        spool.sync().map(drop),
        spool.push(Class::Audit, b"").map(drop),
        spool.acknowledge(Seq::new(1)),
        spool.save(),
        spool.read(Seq::new(0), 1).map(drop),
    ];
    for result in poisoned {
        let error = result.expect_err("poisoned");
        assert!(matches!(error, SpoolError::Journal(JournalError::Poisoned(_))), "{error}");
    }
    assert_eq!(shown(&open(&disk.crash())), "A1 T2");
}

#[test]
fn the_layout_is_the_one_that_is_written_down() {
    let disk = SimulatedDisk::new();
    let mut spool = open(&disk);
    spool.push(Class::Audit, b"a").expect("pushed");
    spool.push(Class::Telemetry, b"t").expect("pushed");
    spool.push(Class::Audit, b"b").expect("pushed");
    spool.sync().expect("durable");
    spool.acknowledge(Seq::new(2)).expect("acknowledged");
    spool.save().expect("saved");
    let audit = [header(1, AUDIT, 1), record(1, b"a"), record(3, b"b")].concat();
    let telemetry = [header(1, TELEMETRY, 2), record(2, b"t")].concat();
    let expected = [
        ("audit-00000000000000000001.seg", audit),
        ("position-00000000000000000002-00000000000000000003", Vec::new()),
        ("telemetry-00000000000000000002.seg", telemetry),
    ];
    assert_eq!(files(&disk), expected.map(|(name, bytes)| (name.to_owned(), bytes)));
    assert_eq!(shown(&open(&disk_of(&files(&disk)))), "A3");
}

fn files(disk: &SimulatedDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list(dir()).expect("a listing");
    let content = |name: String| {
        let bytes = disk.read_at(&dir().join(&name), 0, u64::MAX).expect("a file");
        (name, bytes)
    };
    names.into_iter().map(content).collect()
}

fn disk_of(files: &[(String, Vec<u8>)]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all(dir()).expect("a directory");
    for (name, bytes) in files {
        let mut file = disk.create_new(&dir().join(name)).expect("a file");
        file.append(bytes).expect("written");
        file.sync().expect("durable");
    }
    disk.sync_dir(dir()).expect("durable");
    disk
}

/// Opens a damaged spool: records come back exactly or as a gap, the loss is told, and the second time all is well.
fn check_damaged(damaged: &[(String, Vec<u8>)], what: &str) -> Recovered {
    let (whole, disk) = (read(&several()), disk_of(damaged));
    let (mut spool, recovered) = try_open(&disk).expect(what);
    let found = read(&spool);
    let mut expected = spool.acknowledged().get() + 1;
    for entry in &found {
        match entry {
            Entry::Record { seq, .. } => {
                assert_eq!(seq.get(), expected, "{what}");
                assert!(whole.contains(entry), "{what}: {entry:?}");
                expected += 1;
            }
            Entry::Gap { first, last } => {
                assert_eq!(first.get(), expected, "{what}");
                expected = last.get() + 1;
            }
        }
    }
    spool.push(Class::Audit, b"after").expect(what);
    spool.sync().expect(what);
    let again = open(&disk.crash());
    assert_eq!(read(&again)[..found.len()], found, "{what}");
    assert_eq!(read(&again).len(), found.len() + 1, "{what}");
    recovered
}

fn several() -> Spool<SimulatedDisk> {
    let mut spool = open(&SimulatedDisk::new());
    push(&mut spool, "ATTATATTAAT");
    spool
}

fn files_of_several() -> Vec<(String, Vec<u8>)> {
    let disk = SimulatedDisk::new();
    push(&mut open(&disk), "ATTATATTAAT");
    files(&disk)
}

#[test]
fn each_bit_of_a_spool_flipped_in_turn() {
    let whole = files_of_several();
    assert!(whole.len() > 4, "{whole:?}");
    for file in 0..whole.len() {
        for offset in 0..whole[file].1.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[file].1[offset] ^= 1 << bit;
                let what = format!("bit {bit} of byte {offset} of {}", whole[file].0);
                let recovered = check_damaged(&damaged, &what);
                assert_eq!(recovered.discarded.len(), 1, "{what}");
                assert_eq!(recovered.discarded[0].segment, whole[file].0, "{what}");
                assert!(recovered.discarded[0].offset <= offset as u64, "{what}");
            }
        }
    }
}

#[test]
fn a_spool_cut_at_every_byte() {
    let whole = files_of_several();
    for file in 0..whole.len() {
        for length in 0..whole[file].1.len() {
            let mut damaged = whole.clone();
            damaged[file].1.truncate(length);
            let what = format!("{} cut to {length} bytes", whole[file].0);
            let recovered = check_damaged(&damaged, &what);
            // Between two records nobody can see that there was more, and an empty file holds nothing.
            let between = length == 0 || (length >= 24 && (length - 24) % 36 == 0);
            assert_eq!(recovered.discarded.is_empty(), between, "{what}: {recovered:?}");
        }
    }
}

#[test]
fn what_a_spool_did_not_write_is_told_or_left_alone() {
    let audit = |first: u64| format!("audit-{first:020}.seg");
    let check = |name: &str, bytes: Vec<u8>, reason: Option<Reason>| {
        let mut files = files_of_several();
        files.push((name.to_owned(), bytes));
        files.sort();
        let found = check_damaged(&files, name).discarded;
        assert_eq!(found.first().map(|told| told.reason), reason, "{name}");
    };
    check(&audit(90), b"SQLite format 3\0 and so on, as it is".to_vec(), Some(Reason::DamagedHeader));
    check(&audit(90), header(1, TELEMETRY, 90), Some(Reason::DamagedHeader));
    check(&audit(90), header(1, 1, 90), Some(Reason::DamagedHeader));
    check(&audit(90), header(1, AUDIT, 91), Some(Reason::DamagedHeader));
    check(&audit(90), Vec::new(), None);
    check(&audit(90), [header(1, AUDIT, 90), record(89, b"")].concat(), Some(Reason::Gap));
    check(&audit(90), [header(1, AUDIT, 90), record(u64::MAX, b"")].concat(), Some(Reason::Gap));
    check(&audit(90), [header(1, AUDIT, 90), vec![0xff; 40]].concat(), Some(Reason::TornRecord));
    for name in ["audit-1.seg", &audit(0), &audit(u64::MAX), "position-1-2", "position-x", "notes.txt"] {
        check(name, b"whatever".to_vec(), None);
    }
}

#[test]
fn a_newer_version_is_refused_and_left_as_it_is() {
    let mut files_there = files_of_several();
    let first = &mut files_there[0].1;
    first.splice(..24, header(2, AUDIT, 1));
    let disk = disk_of(&files_there);
    let refused = try_open(&disk).expect_err("too new");
    assert!(refused.to_string().contains("has journal format 2"), "{refused}");
    assert_eq!(files(&disk), files_there);
}

#[test]
fn a_directory_in_place_of_a_file_is_named() {
    let disk = SimulatedDisk::new();
    push(&mut open(&disk), "A");
    let path: PathBuf = dir().join("telemetry-00000000000000000009.seg");
    disk.create_dir_all(&path).expect("a directory");
    match try_open(&disk).expect_err("a directory") {
        SpoolError::Journal(JournalError::Disk { deed, path: named, .. }) => {
            assert_eq!((deed, named), (Deed::Read, path));
        }
        error => panic!("{error}"),
    }
}

#[test]
fn a_lost_position_is_told_and_records_come_again() {
    let mut files = files_of_several();
    files.retain(|(name, _)| !name.starts_with("position-"));
    let disk = disk_of(&files);
    let (spool, recovered) = try_open(&disk).expect("it opens");
    assert_eq!(recovered, Recovered { discarded: Vec::new(), position_lost: true });
    assert_eq!(shown(&spool), shown(&several()));
    assert_eq!(shown(&open(&disk.crash())), shown(&several()), "it is there again");
}

#[test]
fn a_spool_of_the_host() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("deep/er/spool");
    let open = || Spool::open(RealDisk, &dir, OPTIONS).expect("it opens");
    let (mut spool, _) = open();
    for number in 0..60_u8 {
        let class = if number % 4 == 0 { Class::Audit } else { Class::Telemetry };
        spool.push(class, &[number; 20]).expect("pushed");
    }
    spool.sync().expect("durable");
    let before = spool.read(Seq::default(), usize::MAX).expect("it is read");
    assert!(spool.dropped() > 20 && spool.bytes() <= OPTIONS.max_bytes);
    drop(spool);
    let (mut spool, recovered) = open();
    assert_eq!(recovered, Recovered::default());
    assert_eq!(spool.read(Seq::default(), usize::MAX).expect("it is read"), before);
    spool.acknowledge(Seq::new(60)).expect("acknowledged");
    spool.save().expect("saved");
    let (spool, _) = open();
    assert_eq!((spool.acknowledged(), spool.durable()), (Seq::new(60), Seq::new(60)));
    assert!(spool.segments() <= 2, "{}", spool.segments());
}
