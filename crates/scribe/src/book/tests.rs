//! The log on disks that fail and fill up at any operation.

use nkudo_audit::verify;
use nkudo_journal::SimulatedDisk;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_769_853_600).expect("a time")
}

fn entry(number: u64) -> Pending {
    Entry::new(now(), "orders", "order.cancel", "alice", "succeeded").field("number", number).into()
}

fn told_once(number: u64) -> Pending {
    Pending { told_once: true, ..entry(number) }
}

/// An uptime after so many of the longest waits for an opening.
fn up(waits: u32) -> Duration {
    REOPEN_MAX * waits
}

/// A log on a simulated disk; its lock is a real file.
fn place(lock_dir: &Path) -> Place {
    Place { lock: lock_dir.join("audit.lock"), ..Place::within(Path::new("/state")) }
}

fn numbers(disk: &SimulatedDisk) -> Vec<u64> {
    let mut numbers = Vec::new();
    newest_first(disk, Path::new("/state/audit"), |record| {
        numbers.extend(record.fields.get("number").and_then(serde_json::Value::as_u64));
        ControlFlow::Continue(())
    })
    .expect("readable");
    numbers.reverse();
    numbers
}

/// Each entry stands once, in order, and the log is whole.
fn check_whole(disk: &SimulatedDisk, place: &Place, count: u64, what: &str) {
    assert_eq!(numbers(disk), (0..count).collect::<Vec<_>>(), "{what}");
    let key = PublicKey::read(disk, &place.public_key()).expect("a key");
    let report = verify(disk, &place.log, &key, None).expect("readable");
    assert!(report.is_untampered(), "{what}: {report:#?}");
}

#[test]
fn whichever_operation_fails_each_entry_is_written_once_when_the_disk_works_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let options = Options::default();
    for failing in 0..60 {
        for times in [1, 3] {
            let disk = SimulatedDisk::new();
            disk.fail(failing..failing + times);
            let mut book = Book::new(disk.clone(), place.clone(), options, ScribeMetrics::default());
            let mut kept = Vec::new();
            for number in 0..6 {
                if book.take(vec![entry(u64::from(number))], now()) == Kept::OnDisk {
                    kept = (0..=u64::from(number)).collect();
                }
                book.tick(now(), up(number));
            }
            // What was told to be durable is so after a loss of power.
            let after = numbers(&disk.crash());
            assert!(after.starts_with(&kept), "{failing}: {after:?} and {kept:?}");
            (6..10).for_each(|waits| book.tick(now(), up(waits)));
            assert!(book.is_settled(), "{failing}");
            book.close(now());
            check_whole(&disk.crash(), &place, 6, &format!("{times} from {failing}"));
        }
    }
}

#[test]
fn a_log_whose_files_are_gone_says_in_its_first_line_that_it_begins_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let session = || {
        let mut book = Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
        book.tick(now(), up(0));
        assert_eq!(book.take(vec![entry(0)], now()), Kept::OnDisk);
        book.close(now());
        let mut outcomes = Vec::new();
        newest_first(&disk, &place.log, |record| {
            outcomes.push(record.outcome);
            ControlFlow::Continue(())
        })
        .expect("readable");
        outcomes
    };
    assert_eq!(session(), ["succeeded"], "a first start begins a log");
    assert_eq!(session(), ["succeeded", "succeeded"], "and the next goes on with it");
    for name in disk.list(&place.log).expect("a listing") {
        disk.remove(&place.log.join(name)).expect("removed");
    }
    assert_eq!(session(), ["succeeded", "began_anew"]);
}

#[test]
fn a_full_disk_keeps_what_waits_until_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let mut book = Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
    book.tick(now(), up(0));
    assert_eq!(book.take(vec![entry(0)], now()), Kept::OnDisk);
    disk.set_capacity(disk.used_bytes() + 100);
    assert_eq!(book.take(vec![entry(1), entry(2)], now()), Kept::Not);
    let standing = book.shown().with().clone();
    assert_eq!(standing.room, Room::Reserve, "what makes an end of something makes room");
    assert!(standing.trouble.is_some_and(|reason| reason.starts_with("audit storage full")));
    disk.set_capacity(u64::MAX);
    book.tick(now(), up(1));
    assert_eq!(book.shown().with().room, Room::Free);
    check_whole(&disk.crash(), &place, 3, "with room");
}

#[test]
fn a_log_that_cannot_be_opened_on_a_full_disk_lets_an_end_be_made_which_makes_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let start = || Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
    let mut before = start();
    before.tick(now(), up(0));
    assert_eq!(before.take(vec![entry(0)], now()), Kept::OnDisk);
    disk.set_capacity(disk.used_bytes() + 100);
    before.close(now());
    let mut book = start();
    book.tick(now(), up(0));
    let standing = book.shown().with().clone();
    assert_eq!(standing.room, Room::Reserve, "{:?}", standing.trouble);
    assert!(standing.trouble.is_some_and(|reason| reason.starts_with("audit storage full")));
    assert_eq!(book.take(vec![entry(1)], now()), Kept::Not, "the line of a deletion waits");
    disk.set_capacity(u64::MAX);
    book.tick(now(), REOPEN_MIN);
    assert_eq!(book.shown().with().room, Room::Free);
    check_whole(&disk.crash(), &place, 2, "with room");
}

#[test]
fn a_log_that_cannot_be_opened_is_tried_less_and_less_often_and_once_more_at_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let start = || Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
    let mut before = start();
    before.tick(now(), up(0));
    before.take(vec![entry(0)], now());
    before.close(now());
    disk.set_capacity(disk.used_bytes());
    let mut book = start();
    let tried = (0..100).filter(|second| {
        let operations = disk.operations();
        book.tick(now(), Duration::from_secs(*second));
        disk.operations() > operations
    });
    assert_eq!(tried.collect::<Vec<_>>(), [0, 1, 3, 7, 15, 31, 61, 91]);
    assert_eq!(book.take(vec![entry(1)], now()), Kept::Not);
    disk.set_capacity(u64::MAX);
    book.close(now());
    check_whole(&disk.crash(), &place, 2, "closed with room");
}

#[test]
fn more_entries_at_once_than_memory_holds_are_all_written_where_the_log_can_be() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let metrics = ScribeMetrics::default();
    let mut book = Book::new(disk.clone(), place.clone(), Options::default(), metrics.clone());
    book.tick(now(), up(0));
    let count = u64::try_from(WAITING_MAX).expect("small") + 5;
    assert_eq!(book.take((0..count).map(entry).collect(), now()), Kept::OnDisk);
    assert_eq!(metrics.lost.get(), 0);
    check_whole(&disk.crash(), &place, count, "in one batch");
}

/// A log of several files that keeps lines for 90 days.
fn in_files(disk: &SimulatedDisk, place: &Place) -> Book<SimulatedDisk> {
    let options = Options::default();
    let options = Options { log: nkudo_audit::Options { file_bytes: 4096, ..options.log }, ..options };
    Book::new(disk.clone(), place.clone(), options, ScribeMetrics::default())
}

fn years_later() -> Timestamp {
    now().checked_add(SignedDuration::from_hours(4 * 365 * 24)).expect("a time")
}

#[test]
fn a_clock_that_is_set_forward_for_less_than_an_hour_prunes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, minute) = (place(dir.path()), Duration::from_secs(60));
    for is_started_with_it in [false, true] {
        let disk = SimulatedDisk::new();
        let mut book = in_files(&disk, &place);
        book.tick(now(), minute);
        assert_eq!(book.take((0..60).map(entry).collect(), now()), Kept::OnDisk);
        if is_started_with_it {
            book.close(now());
            book = in_files(&disk, &place);
        }
        book.tick(years_later(), 2 * minute);
        assert_eq!(book.take(vec![entry(60)], years_later()), Kept::OnDisk);
        book.tick(years_later(), 61 * minute);
        for hour in 2..5 {
            book.tick(now(), 60 * hour * minute);
        }
        book.close(now());
        check_whole(&disk, &place, 61, &format!("started with it: {is_started_with_it}"));
    }
}

#[test]
fn a_clock_that_stays_where_it_was_set_is_believed_after_an_hour() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let mut book = in_files(&disk, &place);
    book.tick(now(), Duration::ZERO);
    book.take((0..60).map(entry).collect(), now());
    book.tick(years_later(), PRUNE_EVERY);
    assert_eq!(numbers(&disk).len(), 60);
    book.tick(years_later(), PRUNE_EVERY + DOUBT);
    let left = numbers(&disk);
    assert!(left.len() < 60 && left.ends_with(&[59]), "{left:?}");
}

#[test]
fn beyond_the_bound_of_memory_entries_are_counted_and_the_count_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let mut book = Book::new(disk.clone(), place, Options::default(), ScribeMetrics::default());
    let most = u64::try_from(WAITING_MAX).expect("small");
    book.take((0..most + 5).map(entry).collect(), now());
    book.tick(now(), up(0));
    assert!(book.is_settled());
    assert_eq!(numbers(&disk).len(), WAITING_MAX);
    let mut lost = None;
    newest_first(&disk, Path::new("/state/audit"), |record| {
        lost = (record.outcome == "lost").then(|| record.fields["entries"].clone());
        ControlFlow::Break(())
    })
    .expect("readable");
    assert_eq!(lost, Some(5.into()));
}

/// A book whose log has one line, and whose key is taken away: what the key was.
fn without_key(disk: &SimulatedDisk, place: &Place) -> Vec<u8> {
    let mut before = Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
    before.tick(now(), up(0));
    assert_eq!(before.take(vec![entry(0)], now()), Kept::OnDisk);
    before.close(now());
    let key = disk.read_at(&place.key, 0, u64::MAX).expect("the key");
    disk.remove(&place.key).expect("removed");
    key
}

#[test]
fn what_nobody_can_tell_again_outlives_a_program_that_cannot_write_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let start = |disk: &SimulatedDisk| {
        Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default())
    };
    let key = without_key(&disk, &place);
    let mut killed = start(&disk);
    killed.tick(now(), up(0));
    for number in 1..5 {
        let pending = if number == 3 { entry(number) } else { told_once(number) };
        assert_eq!(killed.take(vec![pending], now()), Kept::Not);
    }
    drop(killed);

    let disk = disk.crash();
    nkudo_journal::atomic_replace(&disk, &place.key, &key).expect("the key is back");
    let mut next = start(&disk);
    next.tick(now(), up(0));
    assert!(next.is_settled());
    assert_eq!(disk.list(&place.notes).expect("a listing"), Vec::<String>::new());
    next.close(now());
    assert_eq!(numbers(&disk), [0, 1, 2, 4], "what can be told again waited in memory");
    let report =
        verify(&disk, &place.log, &PublicKey::read(&disk, &place.public_key()).expect("a key"), None);
    assert!(report.expect("readable").is_untampered());
}

#[test]
fn notes_are_bounded_and_what_is_beyond_waits_in_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let key = without_key(&disk, &place);
    let most = u64::try_from(notes::LEFT_MAX).expect("small");
    let mut book = Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
    book.tick(now(), up(0));
    book.take((1..most + 8).map(told_once).collect(), now());
    assert_eq!(disk.list(&place.notes).expect("a listing").len(), notes::LEFT_MAX);
    nkudo_journal::atomic_replace(&disk, &place.key, &key).expect("the key is back");
    (1..30).for_each(|waits| book.tick(now(), up(waits)));
    book.close(now());
    let mut written = numbers(&disk);
    written.sort_unstable();
    assert_eq!(written, (0..most + 8).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_left_no_notes() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path());
    let disk = SimulatedDisk::new();
    let mut book = Book::new(disk.clone(), place.clone(), Options::default(), ScribeMetrics::default());
    book.tick(now(), up(0));
    disk.set_capacity(disk.used_bytes() + 100);
    assert_eq!(book.take(vec![told_once(0)], now()), Kept::Not);
    assert!(disk.list(&place.notes).map_or(true, |names| names.is_empty()));
    disk.set_capacity(u64::MAX);
    book.tick(now(), up(1));
    check_whole(&disk.crash(), &place, 1, "with room");
}
