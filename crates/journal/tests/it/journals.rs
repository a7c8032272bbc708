//! Small journals for the tests.

use std::path::{Path, PathBuf};

use nkudo_journal::{Disk, DiskFile as _, Journal, JournalError, Options, Replay, SimulatedDisk};

/// Segments of two or three records, so that small journals have several.
pub(crate) const OPTIONS: Options = Options { segment_bytes: 80, max_record_bytes: 64 };

pub(crate) fn dir() -> &'static Path {
    Path::new("/state/journal")
}

pub(crate) fn try_open(disk: &SimulatedDisk) -> Result<(Journal<SimulatedDisk>, Replay), JournalError> {
    Journal::open(disk.clone(), dir(), OPTIONS)
}

pub(crate) fn open(disk: &SimulatedDisk) -> (Journal<SimulatedDisk>, Replay) {
    try_open(disk).expect("it opens")
}

pub(crate) fn payloads(replay: &Replay) -> Vec<Vec<u8>> {
    replay.records.iter().map(|(_, payload)| payload.clone()).collect()
}

/// All files by name, with their content.
pub(crate) fn files(disk: &SimulatedDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list(dir()).expect("a listing");
    let content = |name: String| {
        let bytes = disk.read_at(&path(&name), 0, u64::MAX).expect("a file");
        (name, bytes)
    };
    names.into_iter().map(content).collect()
}

/// A disk on which these files are, durably.
pub(crate) fn disk_of(files: &[(String, Vec<u8>)]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all(dir()).expect("a directory");
    for (name, bytes) in files {
        let mut file = disk.create_new(&path(name)).expect("a file");
        file.append(bytes).expect("written");
        file.sync().expect("durable");
    }
    disk.sync_dir(dir()).expect("durable");
    disk.kill()
}

pub(crate) fn path(name: &str) -> PathBuf {
    dir().join(name)
}

/// A compacted journal of several segments, with the records that it holds.
pub(crate) fn several_segments() -> (SimulatedDisk, Vec<Vec<u8>>) {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk);
    journal.append(b"forgotten").expect("appended");
    let mut records = vec![b"a".to_vec(), b"".to_vec(), vec![0; 30]];
    journal.compact(records.clone()).expect("compacted");
    for record in [&b"0123456789abcdef"[..], b"the second", b"\xff\xff\xff\xff", b"", b"the last of them"] {
        journal.append(record).expect("appended");
        records.push(record.to_vec());
    }
    journal.sync().expect("durable");
    assert!(journal.segments() >= 3, "{}", journal.segments());
    (disk, records)
}

/// CRC-32 (IEEE) bit by bit, apart from the crate that the journal uses.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 },
        )
    })
}

/// The name of a segment.
pub(crate) fn segment(first: u64) -> String {
    format!("{first:020}.seg")
}

/// A segment's header as the crate's documentation has it.
pub(crate) fn header(version: u16, flags: u16, first: u64) -> Vec<u8> {
    let mut bytes = b"\x89JRNL\r\n\x1a".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    bytes.extend(crc32(&bytes).to_le_bytes());
    bytes
}

/// A record as the crate's documentation has it.
pub(crate) fn record(seq: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_le_bytes();
    let summed = [&length[..], &seq.to_le_bytes(), payload].concat();
    [&length[..], &crc32(&summed).to_le_bytes(), &seq.to_le_bytes(), payload].concat()
}
