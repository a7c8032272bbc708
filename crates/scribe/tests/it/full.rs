//! A log that fills up.

use std::time::Duration;

use nkudo_scribe::{Kept, Options, Place, Room, Scribe, leave};

use crate::world::{entry, now, numbers, own, records, start, until, verified};

/// Room for some dozens of entries; a quarter of it is the reserve.
fn small(keep: Duration) -> Options {
    let options = Options::bounded(64 << 10, keep);
    Options { reserve_bytes: 16 << 10, ..options }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Writes until the room is this, and tells the number of the next entry.
async fn fill(scribe: &Scribe, mut number: u64, room: Room) -> u64 {
    while scribe.room() != room {
        scribe.write(vec![entry(number)]).await;
        number += 1;
        assert!(number < 10_000, "{room:?} does not come");
    }
    number
}

#[tokio::test]
async fn the_reserve_is_told_before_there_is_nothing_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), small(YEAR));
    let next = fill(&scribe, 0, Room::Reserve).await;
    let trouble = scribe.trouble().unwrap();
    assert!(trouble.starts_with("audit storage full, so nothing new is begun: "), "{trouble}");
    assert!(own(dir.path()).contains(&("room".to_owned(), "full".to_owned())));
    // What is under way is written in it.
    assert_eq!(scribe.write(vec![entry(next)]).await, Kept::OnDisk);
    let mut next = fill(&scribe, next + 1, Room::None).await;
    while scribe.write(vec![entry(next)]).await == Kept::OnDisk {
        next += 1;
    }
    // Beyond it, it waits in memory; what was not let in is counted.
    assert_eq!(scribe.write(vec![entry(next + 1)]).await, Kept::Not);
    (0..3).for_each(|_| scribe.count_refused());
    assert!(numbers(dir.path()).len() < usize::try_from(next).unwrap() + 1);
    let head = scribe.head();
    scribe.close().await;
    assert!(verified(dir.path(), head).is_untampered());
}

#[tokio::test]
async fn files_past_their_age_make_room_and_what_was_refused_is_told() {
    let dir = tempfile::tempdir().unwrap();
    // Everything is older than nothing: what is not in the last file may go.
    let scribe = start(dir.path(), small(YEAR));
    let next = fill(&scribe, 0, Room::Reserve).await;
    scribe.close().await;
    let scribe = start(dir.path(), small(YEAR));
    assert_eq!(scribe.room(), Room::Reserve, "what is young stays");
    for _ in 0..3 {
        scribe.write_refusal(entry(next)).await;
    }
    scribe.close().await;

    let scribe = start(dir.path(), small(Duration::ZERO));
    (0..2).for_each(|_| scribe.count_refused());
    until("room", || scribe.room() == Room::Free).await;
    assert_eq!(scribe.write(vec![entry(next)]).await, Kept::OnDisk);
    let head = scribe.head();
    let report = verified(dir.path(), head);
    assert!(report.is_untampered() && report.first_seq > Some(1), "{report:#?}");
    let left = numbers(dir.path());
    assert!(left.ends_with(&[next - 1, next]), "refusals are counted only: {left:?}");
    until("the count", || {
        let free = records(dir.path()).into_iter().find(|record| record.outcome == "free");
        free.is_some_and(|record| record.fields["refused"] == 2)
    })
    .await;
}

#[tokio::test]
async fn whoever_leaves_an_entry_prunes_nothing_however_old_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), small(YEAR));
    let next = fill(&scribe, 0, Room::Reserve).await;
    scribe.close().await;
    leave(&Place::within(dir.path()), small(Duration::ZERO), vec![entry(next)], now()).unwrap();
    assert_eq!(numbers(dir.path()), (0..=next).collect::<Vec<_>>());
}
