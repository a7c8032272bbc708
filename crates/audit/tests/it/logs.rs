//! Small logs for the tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nkudo_audit::{AuditError, AuditLog, Entry, Head, HostKey, Opened, Options, PublicKey, Report, verify};
use nkudo_journal::{Disk, DiskFile as _, SimulatedDisk};

/// Files of a few entries, a checkpoint every three, so that small logs have several of both.
pub(crate) const OPTIONS: Options = Options {
    file_bytes: 2_700,
    log_bytes: 1 << 20,
    checkpoint_entries: 3,
    checkpoint_every: Duration::from_secs(300),
};

pub(crate) type Log = AuditLog<SimulatedDisk>;

pub(crate) fn dir() -> &'static Path {
    Path::new("/state/audit")
}

pub(crate) fn key_path() -> &'static Path {
    Path::new("/state/audit.key")
}

pub(crate) fn path(name: &str) -> PathBuf {
    dir().join(name)
}

pub(crate) fn key<D: Disk>(disk: &D) -> HostKey {
    HostKey::load_or_create(disk, key_path()).expect("a key")
}

/// A disk with a key, and how many operations that took.
pub(crate) fn disk_with_key() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    key(&disk);
    disk.create_dir_all(dir()).expect("a directory");
    disk.kill()
}

pub(crate) fn public(disk: &SimulatedDisk) -> PublicKey {
    key(&disk.kill()).public()
}

pub(crate) fn try_open(disk: &SimulatedDisk) -> Result<(Log, Opened), AuditError> {
    // The key comes from a disk without faults: they are for the log.
    AuditLog::open(disk.clone(), dir(), OPTIONS, key(&disk.kill()))
}

pub(crate) fn open(disk: &SimulatedDisk) -> (Log, Opened) {
    try_open(disk).expect("it opens")
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time")
}

/// Entries differ in length, so that no two lines have the same bytes.
pub(crate) fn entry(number: u64) -> Entry<'static> {
    let second = i64::try_from(number).expect("small");
    Entry::new(at(second), "orders", "order.cancel", "alice", "succeeded").field("number", number)
}

pub(crate) fn append(log: &mut Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log.append(&entry(number)).expect("appended");
    }
}

pub(crate) fn verified(disk: &SimulatedDisk, head: Option<Head>) -> Report {
    verify(disk, dir(), &public(disk), head).expect("it can be read")
}

/// A log of several files, synced, with its head.
pub(crate) fn several_files() -> (SimulatedDisk, Head) {
    let disk = disk_with_key();
    let (mut log, _) = open(&disk);
    append(&mut log, 0..11);
    let head = log.sync().expect("durable");
    assert!(log.files() >= 3, "{}", log.files());
    let report = verified(&disk, Some(head));
    assert!(report.is_untampered() && report.unsigned > 0, "{report:#?}");
    (disk, head)
}

/// The files of the log by name, with their content.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

pub(crate) fn files(disk: &SimulatedDisk) -> Files {
    let names = disk.list(dir()).expect("a listing");
    let content = |name: String| {
        let bytes = disk.read_at(&path(&name), 0, u64::MAX).expect("a file");
        (name, bytes)
    };
    names.into_iter().map(content).collect()
}

/// A disk with these files of a log and no key.
pub(crate) fn disk_of_log(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all(dir()).expect("a directory");
    for (name, bytes) in files {
        write(&disk, &path(name), bytes);
    }
    disk.sync_dir(dir()).expect("durable");
    disk.kill()
}

/// A disk with these files of a log, and with the key of another disk.
pub(crate) fn disk_of(files: &Files, with_key_of: &SimulatedDisk) -> SimulatedDisk {
    let disk = disk_of_log(files);
    for path in [key_path(), Path::new("/state/audit.key.pub")] {
        write(&disk, path, &with_key_of.read_at(path, 0, u64::MAX).expect("a key"));
    }
    disk.sync_dir(Path::new("/state")).expect("durable");
    disk.kill()
}

fn write(disk: &SimulatedDisk, path: &Path, bytes: &[u8]) {
    let mut file = disk.create_new(path).expect("a file");
    file.append(bytes).expect("written");
    file.sync().expect("durable");
}

/// All lines of all files with their ends.
pub(crate) fn lines(files: &Files) -> Vec<Vec<u8>> {
    files
        .iter()
        .flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n'))
        .map(<[u8]>::to_vec)
        .collect()
}

/// The number of the first line of a file, as it is named.
pub(crate) fn first_of(name: &str) -> u64 {
    name.trim_end_matches(".jsonl").parse().expect("a number")
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The numbers of the entries in these files, in the order of their lines; checkpoints are left out.
pub(crate) fn numbers(disk: &SimulatedDisk) -> Vec<u64> {
    let mut files = files(disk);
    files.retain(|(name, _)| name.ends_with(".jsonl"));
    let number = |line: Vec<u8>| {
        let json: serde_json::Value = serde_json::from_slice(&line).expect("whole lines");
        json["fields"]["number"].as_u64()
    };
    lines(&files).into_iter().filter_map(number).collect()
}
