use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nkudo_journal::{Deed, Disk as _, Journal, JournalError, RealDisk, atomic_replace, replay_read_only};

use crate::journals::{OPTIONS, payloads};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn the_same_on_the_host() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("deep/er/journal");
    let open = || Journal::open(RealDisk, &dir, OPTIONS).expect("it opens");
    let records: Vec<Vec<u8>> = (1..=12_u8).map(|n| vec![n; n.into()]).collect();
    let (mut journal, _) = open();
    for record in &records {
        journal.append(record).expect("appended");
    }
    journal.sync().expect("durable");
    let segments = journal.segments();
    drop(journal);
    assert_eq!(fs::read_dir(&dir).expect("a listing").count(), segments);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("00000000000000000001.seg")), 0o600);

    let view = replay_read_only(&RealDisk, &dir).expect("a view");
    assert_eq!(payloads(&view), records);
    let (mut journal, replay) = open();
    assert_eq!(payloads(&replay), records);
    journal.compact(records.iter().take(3).cloned()).expect("compacted");
    assert_eq!(fs::read_dir(&dir).expect("a listing").count(), 1);

    let base = fs::read_dir(&dir).expect("a listing").next().expect("one").expect("one").path();
    let whole = fs::read(&base).expect("the base");
    fs::write(&base, &whole[..whole.len() - 1]).expect("cut");
    assert_eq!(RealDisk.length(&base).expect("it is there"), whole.len() as u64 - 1);
    RealDisk.length(&dir.join("none")).expect_err("no such file");
    let (_, replay) = open();
    assert_eq!(payloads(&replay), records[..2]);
    let told = replay.discarded.expect("damage");
    assert_eq!(fs::read(&told.kept[0]).expect("kept").len() as u64, told.bytes);
}

#[test]
fn replacing_a_file_of_the_host() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("state.json");
    for content in ["{}", "{\"longer\": true}", "[]"] {
        atomic_replace(&RealDisk, &path, content.as_bytes()).expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), content);
    }
    assert_eq!(fs::read_dir(root.path()).expect("a listing").count(), 1);
}

#[test]
fn what_cannot_be_done_is_named() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("file");
    fs::write(&file, "").expect("a file");
    let failed = Journal::open(RealDisk, &file.join("journal"), OPTIONS).expect_err("under a file");
    assert!(matches!(&failed, JournalError::Disk { deed: Deed::MakeDirectory, .. }), "{failed}");
    let path = root.path().join("absent/state.json");
    let failed = atomic_replace(&RealDisk, &path, b"").expect_err("no directory");
    assert_eq!(failed.to_string(), format!("cannot create {}.new", path.display()));
    assert!(std::error::Error::source(&failed).is_some());
}
