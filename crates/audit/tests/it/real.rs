//! The same on the host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nkudo_audit::{AuditError, AuditLog, Fault, HostKey, verify};
use nkudo_journal::{Deed, RealDisk};

use crate::logs::{OPTIONS, at, entry};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_log_on_the_host_is_for_its_user_alone_goes_on_and_is_verified() {
    let root = tempfile::tempdir().expect("a directory");
    let (dir, key_path) = (root.path().join("deep/audit"), root.path().join("keys/audit.key"));
    let key = || HostKey::load_or_create(&RealDisk, &key_path).expect("a key");
    let open = || AuditLog::open(RealDisk, &dir, OPTIONS, key()).expect("it opens");
    let (mut log, _) = open();
    let mut head = log.head();
    for number in 0..9 {
        log.append(&entry(number)).expect("appended");
        head = log.sync().expect("durable");
    }
    drop(log);
    assert_eq!((mode(&dir), mode(&key_path)), (0o700, 0o600));
    let first = dir.join("00000000000000000001.jsonl");
    assert_eq!(mode(&first), 0o600);

    // Killed in the midst of a line.
    let last = fs::read_dir(&dir).expect("a listing").map(|entry| entry.expect("an entry").path()).max();
    let last = last.expect("a file");
    let whole = fs::read(&last).expect("lines");
    fs::write(&last, [&whole[..], b"{\"seq\":"].concat()).expect("written");
    let report = verify(&RealDisk, &dir, &key().public(), Some(head)).expect("it can be read");
    assert!(report.is_untampered(), "{report:#?}");
    let cut = report.cut.expect("it is cut");
    assert!(cut.bytes == 7 && cut.to_string().contains("as a crash leaves a line"), "{cut}");

    let (mut log, opened) = open();
    assert_eq!(opened.head, head);
    assert_eq!(fs::read(opened.cut.expect("told").kept).expect("kept"), b"{\"seq\":");
    log.append(&entry(9)).expect("appended");
    let head = log.sync().expect("durable");
    let pruned = log.prune(head.seq, at(20)).expect("pruned");
    assert!(pruned.files > 0 && !first.exists());
    let report = verify(&RealDisk, &dir, &key().public(), Some(head)).expect("it can be read");
    assert!(report.is_untampered() && report.cut.is_none(), "{report:#?}");
    assert_eq!(
        report.bytes,
        fs::read_dir(&dir)
            .expect("a listing")
            .map(|entry| {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|extension| extension == "jsonl") {
                    fs::metadata(path).expect("a file").len()
                } else {
                    0
                }
            })
            .sum::<u64>()
    );
}

#[test]
fn a_file_longer_than_what_is_read_at_once_is_verified_and_opened() {
    let root = tempfile::tempdir().expect("a directory");
    let key_path = root.path().join("audit.key");
    let dir = root.path().join("audit");
    let key = || HostKey::load_or_create(&RealDisk, &key_path).expect("a key");
    let open = || AuditLog::open(RealDisk, &dir, nkudo_audit::Options::default(), key()).expect("it opens");
    let (mut log, _) = open();
    let filler = "z".repeat(700);
    for number in 0..2_000_u64 {
        log.append(&entry(number).field("filler", filler.as_str())).expect("appended");
    }
    let head = log.sync().expect("durable");
    let (log, opened) = open();
    assert_eq!((opened.head, log.files()), (head, 1));
    let report = verify(&RealDisk, &dir, &key().public(), Some(head)).expect("it can be read");
    assert!(report.is_untampered() && report.bytes > 2_000_000 && report.lines == 2_007, "{report:#?}");

    let file = dir.join("00000000000000000001.jsonl");
    let mut bytes = fs::read(&file).expect("lines");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("written");
    let report = verify(&RealDisk, &dir, &key().public(), Some(head)).expect("it can be read");
    let faults: Vec<_> = report.findings.iter().map(|found| found.fault).collect();
    assert_eq!(faults, [Fault::Changed]);
}

#[test]
fn what_cannot_be_done_is_named() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("file");
    fs::write(&file, "").expect("a file");
    let key = HostKey::load_or_create(&RealDisk, &root.path().join("key")).expect("a key");
    let public = key.public();
    let error = AuditLog::open(RealDisk, &file.join("audit"), OPTIONS, key).expect_err("under a file");
    assert!(matches!(error, AuditError::Disk { deed: Deed::MakeDirectory, .. }), "{error}");
    let error = verify(&RealDisk, &root.path().join("none"), &public, None).expect_err("no directory");
    assert!(matches!(error, AuditError::Disk { deed: Deed::List, .. }), "{error}");
    HostKey::load_or_create(&RealDisk, &file.join("key")).expect_err("under a file");
}
