//! Logs and disks that are full.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nkudo_audit::{AuditError, AuditLog, HostKey, Opened, Options, verify};
use nkudo_journal::{Disk, DiskFile, SimulatedDisk, SimulatedFile};

use crate::logs::{OPTIONS, append, at, dir, disk_with_key, entry, files, key, key_path, numbers, verified};

/// A disk that takes so many bytes and no more; what does not fit is written in part.
#[derive(Debug, Clone)]
struct SmallDisk {
    disk: SimulatedDisk,
    room: Arc<Mutex<usize>>,
}

#[derive(Debug)]
struct SmallFile {
    file: SimulatedFile,
    room: Arc<Mutex<usize>>,
}

impl SmallDisk {
    fn new(disk: SimulatedDisk, room: usize) -> SmallDisk {
        SmallDisk { disk, room: Arc::new(Mutex::new(room)) }
    }

    fn file(&self, file: SimulatedFile) -> SmallFile {
        SmallFile { file, room: Arc::clone(&self.room) }
    }
}

impl Disk for SmallDisk {
    type File = SmallFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn read_at(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<Vec<u8>> {
        self.disk.read_at(path, offset, max_bytes)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.disk.length(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<SmallFile> {
        self.disk.create_new(path).map(|file| self.file(file))
    }

    fn open_append(&self, path: &Path) -> io::Result<SmallFile> {
        self.disk.open_append(path).map(|file| self.file(file))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let freed = self.disk.length(path)?.saturating_sub(bytes);
        *self.room.lock().expect("alive") += usize::try_from(freed).expect("small");
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

impl DiskFile for SmallFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut room = self.room.lock().expect("alive");
        let fits = bytes.len().min(*room);
        *room -= fits;
        self.file.append(&bytes[..fits])?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

fn open_small(disk: &SmallDisk) -> (AuditLog<SmallDisk>, Opened) {
    AuditLog::open(disk.clone(), dir(), OPTIONS, key(disk)).expect("it opens")
}

#[test]
fn a_disk_that_fills_up_at_any_byte_of_any_write_tears_nothing() {
    let written = {
        let disk = disk_with_key();
        let (mut log, _) = crate::logs::open(&disk);
        append(&mut log, 0..9);
        usize::try_from(log.bytes()).expect("small")
    };
    let with_key = disk_with_key();
    for room in (0..written).step_by(7).chain(written - 80..written) {
        let what = format!("room for {room} of {written}");
        let disk = SmallDisk::new(with_key.kill(), room);
        // What other tests did to it is not shared.
        let disk = SmallDisk { disk: crate::logs::disk_of(&Vec::new(), &disk.disk), ..disk };
        let (mut log, _) = open_small(&disk);
        let mut taken = Vec::new();
        for number in 0..9 {
            match log.append(&entry(number)) {
                Ok(_) => taken.push(number),
                Err(error) => {
                    assert!(error.is_storage_full() && matches!(error, AuditError::Disk { .. }), "{error}");
                }
            }
        }
        let head = log.sync().expect("what was taken has its room");
        drop(log);
        for after in [disk.disk.crash(), disk.disk.kill()] {
            let report = verified(&after, Some(head));
            assert!(report.is_untampered() && report.cut.is_none(), "{what}: {report:#?}");
            let (_, opened) = crate::logs::open(&after);
            assert_eq!((opened.head, opened.cut), (head, None), "{what}");
            assert_eq!(numbers(&after), taken, "{what}");
        }
        // With room again, the same log goes on.
        *disk.room.lock().expect("alive") = 1 << 20;
        let (mut log, _) = open_small(&disk);
        log.append(&entry(99)).expect("there is room");
        let head = log.sync().expect("durable");
        assert!(verified(&disk.disk.crash(), Some(head)).is_untampered(), "{what}");
    }
}

#[test]
fn a_log_that_cannot_be_opened_for_want_of_room_says_so_and_loses_nothing() {
    let disk = disk_with_key();
    let (mut log, _) = crate::logs::open(&disk);
    append(&mut log, 0..2);
    let head = log.sync().expect("durable");
    let before = files(&disk);
    for room in [0, 1, 300] {
        let small = SmallDisk::new(disk.clone(), room);
        let error = AuditLog::open(small, dir(), OPTIONS, key(&disk)).expect_err("no room");
        assert!(error.is_storage_full(), "{error}");
        assert_eq!(files(&disk), before, "nothing is left of the attempt");
    }
    assert_eq!(crate::logs::open(&disk).1.head, head);
}

#[test]
fn at_its_limit_a_log_refuses_entries_until_it_is_pruned() {
    let disk = disk_with_key();
    let options = Options { log_bytes: 12_000, ..OPTIONS };
    let (mut log, _) = AuditLog::open(disk.clone(), dir(), options, key(&disk)).expect("it opens");
    let mut taken = 0;
    let error = loop {
        match log.append(&entry(taken)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "it has a limit");
    };
    assert!(matches!(error, AuditError::Full { limit_bytes: 12_000, .. }) && error.is_storage_full());
    assert!(error.to_string().contains("prune what is kept elsewhere, or raise the limit"), "{error}");
    let files_then = log.files();
    log.checkpoint(at(500)).expect("there is room to sign the last of them");
    let head = log.sync().expect("durable");
    assert!(log.bytes() <= 12_000, "{}", log.bytes());
    log.append(&entry(taken)).expect_err("still full");
    assert_eq!(log.files(), files_then, "nothing is removed of itself");
    let report = verified(&disk, Some(head));
    assert!(report.is_untampered() && report.unsigned == 0, "{report:#?}");

    let pruned = log.prune(head.seq, at(501)).expect("there is room to say so");
    assert!(pruned.files >= 2, "{pruned:?}");
    log.append(&entry(taken)).expect("there is room again");
    let head = log.sync().expect("durable");
    assert!(verified(&disk.crash(), Some(head)).is_untampered());
}

#[test]
fn a_limit_under_the_smallest_log_refuses_the_first_entry() {
    let disk = disk_with_key();
    let options = Options { log_bytes: 0, file_bytes: 0, checkpoint_entries: 0, ..OPTIONS };
    let (mut log, _) = AuditLog::open(disk.clone(), dir(), options, key(&disk)).expect("it opens");
    assert!(matches!(log.append(&entry(0)), Err(AuditError::Full { bytes: 0, .. })));
    assert_eq!(files(&disk), []);
    // A file holds an entry however small it should be, and is signed then.
    let options = Options { log_bytes: 1 << 20, ..options };
    let (mut log, _) = AuditLog::open(disk.clone(), dir(), options, key(&disk)).expect("it opens");
    append(&mut log, 0..3);
    log.sync().expect("durable");
    assert_eq!(log.files(), 3);
    let report = verified(&disk, None);
    assert_eq!((report.lines, report.checkpoints, report.unsigned), (9, 6, 0), "{report:#?}");
    let public = HostKey::load_or_create(&disk, key_path()).expect("a key").public();
    assert!(verify(&disk, dir(), &public, None).expect("it can be read").is_untampered());
}
