use nkudo_journal::{Journal, JournalError, Seq, SimulatedDisk, replay_read_only};

use crate::journals::{
    OPTIONS, crc32, dir, disk_of, files, open, path, payloads, several_segments, try_open,
};

#[test]
fn records_come_back_in_order_with_their_numbers() {
    let disk = SimulatedDisk::new();
    let (mut journal, replay) = open(&disk);
    assert!(replay.records.is_empty() && replay.discarded.is_none());
    assert_eq!(journal.sync().expect("durable"), Seq::default(), "nothing yet");
    let records: Vec<_> = (1..=20_u8).map(|n| (Seq::new(n.into()), vec![n; n.into()])).collect();
    for (seq, payload) in &records {
        assert_eq!(journal.append(payload).expect("appended"), *seq);
    }
    assert_eq!(journal.sync().expect("durable"), Seq::new(20));
    assert_eq!(journal.durable(), Seq::new(20));
    assert!(journal.segments() > 5);
    let on_disk: usize = files(&disk).iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(journal.bytes(), on_disk as u64);

    let (mut journal, replay) = open(&disk.crash());
    assert_eq!(replay.records, records);
    assert_eq!(journal.append(b"more").expect("appended"), Seq::new(21));
}

#[test]
fn a_sync_without_new_records_costs_nothing() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"one").expect("appended");
    let before = disk.syncs();
    journal.sync().expect("durable");
    assert_eq!(disk.syncs(), before + 1);
    journal.sync().expect("durable");
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn what_a_killed_program_wrote_is_durable_once_it_was_given_back() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"not synced").expect("appended");
    assert!(open(&disk.crash()).1.records.is_empty());
    let killed = disk.kill();
    assert_eq!(payloads(&open(&killed).1), [b"not synced"]);
    assert_eq!(payloads(&open(&killed.crash()).1), [b"not synced"]);
}

#[test]
fn compaction_replaces_everything_and_numbers_go_on() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    for _ in 0..9 {
        journal.append(b"old").expect("appended");
    }
    assert_eq!(journal.compact([b"x".to_vec(), b"y".to_vec()]).expect("compacted"), Seq::new(11));
    assert_eq!((journal.segments(), journal.durable()), (1, Seq::new(11)));
    assert_eq!(files(&disk).len(), 1, "older segments are removed");
    journal.append(b"new").expect("appended");
    journal.sync().expect("durable");
    let (mut journal, replay) = open(&disk.crash());
    let expected = [(10, &b"x"[..]), (11, b"y"), (12, b"new")];
    assert_eq!(replay.records, expected.map(|(seq, payload)| (Seq::new(seq), payload.to_vec())));

    // To nothing, twice: the base without records is replaced by one of the same name.
    journal.compact([]).expect("compacted");
    journal.compact([]).expect("compacted");
    assert_eq!(journal.append(b"z").expect("appended"), Seq::new(13));
    journal.sync().expect("durable");
}

#[test]
fn what_is_too_long_is_refused_and_nothing_changes() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    let limit = usize::try_from(OPTIONS.max_record_bytes).expect("small");
    journal.append(&vec![1; limit]).expect("just short enough");
    let refused = journal.append(&vec![1; limit + 1]).expect_err("too long");
    assert!(matches!(refused, JournalError::TooLong { bytes, .. } if bytes == limit + 1));
    journal.compact([vec![1; limit + 1]]).expect_err("too long");
    journal.sync().expect("durable");
    assert_eq!(payloads(&open(&disk.crash()).1), [vec![1; limit]]);
}

#[test]
fn a_longer_record_from_before_is_given_back() {
    let (disk, records) = several_segments();
    let options = nkudo_journal::Options { max_record_bytes: 1, ..OPTIONS };
    let (_, replay) = Journal::open(disk, dir(), options).expect("it opens");
    assert_eq!(payloads(&replay), records);
}

#[test]
fn a_view_sees_the_same_and_changes_nothing() {
    let (disk, records) = several_segments();
    let before = disk.operations();
    let replay = replay_read_only(&disk, dir()).expect("a view");
    assert_eq!((payloads(&replay), replay.discarded), (records, None));
    assert_eq!(disk.operations(), before);
    let nowhere = replay_read_only(&SimulatedDisk::new(), dir()).expect("a view");
    assert!(nowhere.records.is_empty() && nowhere.discarded.is_none());
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let (disk, _) = several_segments();
    let mut changed = files(&disk);
    let header = &mut changed.last_mut().expect("a segment").1;
    header[8] = 2;
    let sum = crc32(&header[..20]).to_le_bytes();
    header[20..24].copy_from_slice(&sum);
    let disk = disk_of(&changed);
    let refused = try_open(&disk).expect_err("too new");
    let name = &changed.last().expect("a segment").0;
    assert_eq!(
        refused.to_string(),
        format!(
            "{} has journal format 2, this program reads up to format 1: run the newer program that wrote it, or \
             start with another directory",
            path(name).display()
        )
    );
    assert_eq!(files(&disk), changed);
}

#[test]
fn the_layout_is_the_one_that_is_written_down() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"hi").expect("appended");
    let mut expected = b"\x89JRNL\r\n\x1a\x01\0\x01\0\x01\0\0\0\0\0\0\0".to_vec();
    expected.extend(crc32(&expected).to_le_bytes());
    let summed = b"\x02\0\0\0\x01\0\0\0\0\0\0\0hi";
    expected.extend(2_u32.to_le_bytes());
    expected.extend(crc32(summed).to_le_bytes());
    expected.extend(b"\x01\0\0\0\0\0\0\0hi");
    assert_eq!(files(&disk), [("00000000000000000001.seg".to_owned(), expected)]);
}
