//! Entries of programs that do not write the log themselves.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use nkudo_scribe::{Kept, Options, Place, Room, leave};

use crate::world::{entry, now, numbers, own, records, start, until, verified};

#[tokio::test]
async fn while_nobody_writes_who_leaves_an_entry_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::within(dir.path());
    for number in 0..3 {
        leave(&place, Options::default(), vec![entry(number)], now()).unwrap();
    }
    assert_eq!(numbers(dir.path()), [0, 1, 2]);
    let report = verified(dir.path(), None);
    assert_eq!((report.unsigned, report.findings.len()), (0, 0));
    assert!(!dir.path().join("audit.notes").exists());
}

#[tokio::test]
async fn a_writer_takes_up_what_others_leave_with_all_its_fields() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::within(dir.path());
    let scribe = start(dir.path(), Options::default());
    let full = entry(7).field("text", "a \"b\"\n").field("below", -3_i64).field("flag", true);
    leave(&place, Options::default(), vec![full, entry(8)], now()).unwrap();
    until("the notes", || numbers(dir.path()) == [7, 8]).await;
    let fields = &records(dir.path())[0].fields;
    assert_eq!((&fields["text"], &fields["below"]), (&"a \"b\"\n".into(), &(-3).into()));
    assert_eq!(fields["flag"], true);
    until("their removal", || fs::read_dir(dir.path().join("audit.notes")).unwrap().count() == 0).await;
    drop(scribe);
}

#[tokio::test]
async fn what_is_no_note_is_set_aside_and_told_and_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("audit.notes");
    fs::create_dir(&notes).unwrap();
    fs::write(notes.join("0.json"), "{\"timestamp\": 7}").unwrap();
    fs::write(notes.join("half.json.new"), "{").unwrap();
    leave(&Place::within(dir.path()), Options::default(), vec![entry(1)], now()).unwrap();
    assert_eq!(numbers(dir.path()), [1]);
    assert!(own(dir.path()).contains(&("note".to_owned(), "unreadable".to_owned())));
    assert!(notes.join("0.json.unreadable").exists());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_leaves_notes_for_later() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::within(dir.path());
    leave(&place, Options::default(), vec![entry(1)], now()).unwrap();
    let away = dir.path().join("away");
    fs::rename(&place.key, &away).unwrap();
    leave(&place, Options::default(), vec![entry(2)], now()).unwrap();
    assert_eq!(numbers(dir.path()), [1]);
    fs::rename(&away, &place.key).unwrap();
    leave(&place, Options::default(), vec![entry(3)], now()).unwrap();
    let mut found = numbers(dir.path());
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3]);
}

#[tokio::test]
async fn a_directory_that_takes_no_notes_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let _writer = start(dir.path(), Options::default());
    fs::write(dir.path().join("audit.notes"), "in the way").unwrap();
    let refused = leave(&Place::within(dir.path()), Options::default(), vec![entry(1)], now()).unwrap_err();
    assert!(refused.to_string().starts_with("a note for the audit log cannot be left in "), "{refused}");
}

/// A directory and all that is in it.
fn tree(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let below = entries.flat_map(|entry| tree(&entry.expect("an entry").path()));
    [path.to_owned()].into_iter().chain(below).collect()
}

#[tokio::test]
async fn what_is_made_belongs_to_the_owner_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    if nkudo_host::effective_root() {
        chown(dir.path(), Some(4_711), Some(4_712)).unwrap();
    }
    let owner = |path: &Path| fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
    let place = Place::within(dir.path());
    leave(&place, Options::default(), vec![entry(1)], now()).unwrap();
    // Without the key it stays a note.
    fs::rename(&place.key, dir.path().join("away")).unwrap();
    leave(&place, Options::default(), vec![entry(2)], now()).unwrap();
    let made = tree(dir.path());
    // The log and a file of it, the key, its public half, the lock, the notes and one of them.
    assert_eq!(made.len(), 8, "{made:?}");
    for path in made {
        assert_eq!(owner(&path), owner(dir.path()), "{}", path.display());
    }
}

#[tokio::test]
async fn notes_that_cannot_be_read_are_told_until_they_can_and_the_log_is_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("audit.notes");
    let check = async |in_the_way: &Path, number| {
        let scribe = start(dir.path(), Options::default());
        let trouble = scribe.trouble().expect("trouble");
        assert!(trouble.contains(&format!("{} cannot be read", in_the_way.display())), "{trouble}");
        assert_eq!(scribe.room(), Room::Free);
        assert_eq!(scribe.write(vec![entry(number)]).await, Kept::OnDisk);
        assert_eq!(scribe.trouble(), Some(trouble));
        fs::rename(in_the_way, dir.path().join(format!("away-{number}"))).unwrap();
        until("the end of the trouble", || scribe.trouble().is_none()).await;
        scribe.close().await;
    };
    fs::write(&notes, "in the way").unwrap();
    check(&notes, 1).await;
    let note = notes.join("0.json");
    fs::create_dir_all(&note).unwrap();
    check(&note, 2).await;
    assert_eq!(numbers(dir.path()), [1, 2]);
}
