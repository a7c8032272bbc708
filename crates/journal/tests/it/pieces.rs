//! How much of a journal is in memory while it is read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nkudo_journal::{
    Disk, DiskFile as _, Journal, Options, Reason, SimulatedDisk, SimulatedFile, replay_each_read_only,
};

use crate::journals::{dir, path, segment};

const PIECE_BYTES: u64 = 256 << 10;
const RECORD_HEAD_BYTES: u64 = 16;

/// A disk that remembers the longest read.
#[derive(Debug, Clone, Default)]
struct Watched {
    disk: SimulatedDisk,
    longest: Arc<AtomicU64>,
}

impl Disk for Watched {
    type File = SimulatedFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.disk.length(path)
    }

    fn read_at(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<Vec<u8>> {
        let read = self.disk.read_at(path, offset, max_bytes)?;
        self.longest.fetch_max(read.len() as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn create_new(&self, path: &Path) -> io::Result<SimulatedFile> {
        self.disk.create_new(path)
    }

    fn open_append(&self, path: &Path) -> io::Result<SimulatedFile> {
        self.disk.open_append(path)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.disk.truncate(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
}

/// A journal whose base has records of these lengths, each of one byte throughout.
fn journal(lengths: &[usize]) -> Watched {
    let watched = Watched::default();
    let options = Options { max_record_bytes: 4 << 20, ..Options::default() };
    let (mut journal, _) = Journal::open(watched.disk.clone(), dir(), options).expect("it opens");
    let records = (0_u8..=255).cycle().zip(lengths).map(|(byte, length)| vec![byte; *length]);
    journal.compact(records).expect("compacted");
    watched
}

/// Reads it all: so many records come back whole, and no read is longer than this.
fn check(watched: &Watched, lengths: &[usize], longest: u64, reason: Option<Reason>) {
    let mut given = 0;
    let mut each = |_, payload: &[u8]| {
        let byte = u8::try_from(given % 256).expect("it is below 256");
        assert_eq!((payload.len(), payload.iter().all(|each| *each == byte)), (lengths[given], true));
        given += 1;
    };
    let viewed = replay_each_read_only(watched, dir(), &mut each).expect("a view");
    assert_eq!((given, viewed.map(|told| told.reason)), (lengths.len(), reason));
    given = 0;
    let each = |_, payload: &[u8]| {
        assert_eq!(payload.len(), lengths[given]);
        given += 1;
    };
    let (_, discarded) =
        Journal::open_each(watched.clone(), dir(), Options::default(), each).expect("it opens");
    assert_eq!((given, discarded.map(|told| told.reason)), (lengths.len(), reason));
    assert_eq!(watched.longest.load(Ordering::Relaxed), longest);
}

#[test]
fn a_long_segment_is_read_in_pieces() {
    let lengths = [1_000; 5_000];
    check(&journal(&lengths), &lengths, PIECE_BYTES, None);
}

#[test]
fn records_around_the_length_of_a_piece_come_back() {
    let piece = 256 << 10;
    let lengths = [piece - 16, piece - 17, 0, piece - 15, piece, 1, 3 * piece, piece - 1, 5];
    check(&journal(&lengths), &lengths, 3 * PIECE_BYTES + RECORD_HEAD_BYTES, None);
}

#[test]
fn a_damaged_length_costs_no_memory() {
    let lengths = [1_000; 5_000];
    for (length, reason) in [(4 << 20, Reason::DamagedRecord), (u32::MAX, Reason::TornRecord)] {
        let watched = journal(&lengths);
        let base = path(&segment(1));
        let bytes = watched.disk.read_at(&base, 0, u64::MAX).expect("the base");
        let at = 24 + 7 * 1_016;
        watched.disk.remove(&base).expect("removed");
        let mut file = watched.disk.create_new(&base).expect("a file");
        file.append(&bytes[..at]).expect("written");
        file.append(&u32::to_le_bytes(length)).expect("written");
        file.append(&bytes[at + 4..]).expect("written");
        check(&watched, &lengths[..7], PIECE_BYTES, Some(reason));
    }
}

#[test]
fn a_record_that_was_cut_off_is_told_without_reading_on() {
    let lengths = [100, 3 << 20];
    let watched = journal(&lengths);
    let base = path(&segment(1));
    watched.disk.truncate(&base, 1 << 20).expect("cut");
    check(&watched, &lengths[..1], PIECE_BYTES, Some(Reason::TornRecord));
}
