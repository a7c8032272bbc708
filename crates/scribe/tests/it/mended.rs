//! Logs that cannot be written, and can again once they are mended, without a restart.

use std::fs;

use nkudo_audit::Fault;
use nkudo_scribe::{Kept, Options, Place, Room};

use crate::world::{entry, numbers, own, start, until, verified};

/// The files of the log, in their order.
fn files(place: &Place) -> Vec<std::path::PathBuf> {
    let read = fs::read_dir(&place.log).expect("a directory");
    let mut files: Vec<_> = read.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_log_that_was_removed_under_the_writer_is_told_and_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), Options::default());
    scribe.write(vec![entry(1), entry(2)]).await;
    let head = scribe.head().unwrap();
    assert_eq!(scribe.head_to_tell(), Some(nkudo_audit::Head::START), "as it was opened");
    scribe.head_told(nkudo_audit::Head::START);
    assert_eq!(scribe.head_to_tell(), Some(head));
    for file in files(scribe.place()) {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(scribe.write(vec![entry(3)]).await, Kept::Not);
    let trouble = scribe.trouble().unwrap();
    assert!(trouble.contains("somebody else wrote, cut or removed it"), "{trouble}");
    assert_eq!(scribe.room(), Room::Broken);
    until("another log", || scribe.room() == Room::Free).await;
    assert_eq!(
        scribe.head_to_tell(),
        Some(nkudo_audit::Head::START),
        "opened anew, and before its new lines"
    );
    // What waited is written, and that the log went back is on record and found by whoever kept the head.
    assert_eq!(numbers(dir.path()), [3]);
    assert!(own(dir.path()).contains(&("open".to_owned(), "went_back".to_owned())));
    let report = verified(dir.path(), Some(head));
    let faults: Vec<Fault> = report.findings.iter().map(|finding| finding.fault).collect();
    assert!(matches!(faults[..], [Fault::OtherHead { .. }]), "{faults:?}");
}

#[tokio::test]
async fn a_lost_key_is_told_and_taken_again_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), Options::default());
    scribe.write(vec![entry(1)]).await;
    scribe.close().await;
    let (key, away) = (Place::within(dir.path()).key, dir.path().join("away"));
    fs::rename(&key, &away).unwrap();
    let scribe = start(dir.path(), Options::default());
    assert_eq!(scribe.write(vec![entry(2)]).await, Kept::Not);
    let trouble = scribe.trouble().unwrap();
    assert!(trouble.starts_with("no audit storage, so nothing new is begun: "), "{trouble}");
    assert!(trouble.contains("restore the key"), "{trouble}");
    fs::rename(&away, &key).unwrap();
    until("the key", || scribe.room() == Room::Free).await;
    assert_eq!(numbers(dir.path()), [1, 2]);
    assert!(verified(dir.path(), scribe.head()).is_untampered());
}

#[tokio::test]
async fn a_damaged_log_is_not_continued_until_it_is_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), Options::default());
    scribe.write((0..5).map(entry).collect()).await;
    scribe.close().await;
    let place = Place::within(dir.path());
    let file = files(&place).remove(0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("alice", "mallo", 1)).unwrap();
    let scribe = start(dir.path(), Options::default());
    let trouble = scribe.trouble().unwrap();
    assert!(trouble.contains("cannot be continued") && trouble.contains("line 2"), "{trouble}");
    assert_eq!(scribe.write(vec![entry(9)]).await, Kept::Not);
    fs::rename(&place.log, dir.path().join("evidence")).unwrap();
    until("another log", || scribe.room() == Room::Free).await;
    assert_eq!(numbers(dir.path()), [9]);
}
