//! What is answered, and what others see.

use nkudo_scribe::{Kept, Options, Room};

use crate::world::{entry, numbers, records, start, verified};

#[tokio::test]
async fn what_is_answered_is_durable_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), Options::default());
    assert_eq!((scribe.room(), scribe.trouble()), (Room::Free, None));
    // Many at once, handed over before the first is awaited.
    let mut handed = Vec::new();
    for number in 0..200 {
        handed.push(scribe.hand_over(vec![entry(2 * number), entry(2 * number + 1)]).await);
    }
    for written in handed {
        assert_eq!(written.kept().await, Kept::OnDisk);
    }
    let head = scribe.head().unwrap();
    assert_eq!(numbers(dir.path()), (0..400).collect::<Vec<_>>());
    let report = verified(dir.path(), Some(head));
    assert!(report.is_untampered(), "{report:#?}");
    assert_eq!(report.head, head);
}

#[tokio::test]
async fn a_closed_log_is_signed_to_its_end_and_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), Options::default());
    let before = scribe.hand_over(vec![entry(1)]).await;
    scribe.close().await;
    assert_eq!(before.kept().await, Kept::OnDisk);
    let report = verified(dir.path(), None);
    assert_eq!((report.unsigned, report.findings.len()), (0, 0));
    assert_eq!(scribe.write(vec![entry(2)]).await, Kept::Not);
    // The next start goes on where it ended.
    let scribe = start(dir.path(), Options::default());
    scribe.write(vec![entry(3)]).await;
    assert_eq!(numbers(dir.path()), [1, 3]);
}

#[test]
fn a_thread_that_may_block_waits_without_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let scribe = start(dir.path(), Options::default());
    assert_eq!(scribe.hand_over_blocking(vec![entry(1)]).kept_blocking(), Kept::OnDisk);
    assert_eq!(records(dir.path()).len(), 1);
}

#[tokio::test]
async fn the_second_writer_of_a_directory_has_no_room_until_the_first_has_closed() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), Options::default());
    let second = start(dir.path(), Options::default());
    assert_eq!(second.room(), Room::Broken);
    let trouble = second.trouble().unwrap();
    assert!(trouble.contains("another program writes the audit log"), "{trouble}");
    first.write(vec![entry(1)]).await;
    assert_eq!(second.write(vec![entry(2)]).await, Kept::Not);
    first.close().await;
    crate::world::until("the second's turn", || second.room() == Room::Free).await;
    assert_eq!(numbers(dir.path()), [1, 2]);
}
