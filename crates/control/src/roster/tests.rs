//! Who is in the roster, and how they are.

use super::*;

const INTERVAL: Duration = Duration::from_secs(15);

fn agent(number: u8) -> AgentId {
    AgentId::from_uuid(uuid::Uuid::from_u128(u128::from(number)))
}

fn at(seconds: u64) -> Now {
    Now { wall_ms: 1_000_000 + i64::try_from(seconds).unwrap() * 1_000, monotonic_ms: seconds * 1_000 }
}

fn standing(number: u8, last_seen_ms: Option<i64>, goodbye: Option<&str>) -> AgentStanding {
    AgentStanding {
        agent_id: agent(number),
        tenant_id: TenantId::default(),
        site_id: SiteId::default(),
        last_seen_ms,
        goodbye: goodbye.map(str::to_owned),
        certificate_expires_at_ms: 5,
        audit_head: None,
    }
}

fn presence(roster: &Roster, number: u8) -> Presence {
    roster.standing(agent(number)).unwrap().presence
}

#[test]
fn a_restart_of_the_control_plane_makes_nobody_offline_at_once() {
    let books = vec![
        standing(1, Some(990_000), None),
        standing(2, Some(990_000), Some("update")),
        standing(3, Some(100_000), None),
        standing(4, None, None),
    ];
    let roster = Roster::from_books(books, Some(1_000_000), INTERVAL, at(100));
    assert_eq!(presence(&roster, 1), Presence::Suspect);
    for number in [2, 3, 4] {
        assert_eq!(presence(&roster, number), Presence::Offline, "{number}");
    }
    roster.tick(at(146));
    assert_eq!(presence(&roster, 1), Presence::Offline, "it had its time");
}

#[tokio::test]
async fn a_new_link_ends_the_former_and_its_end_leaves_the_new_one() {
    let roster = Roster::from_books(vec![standing(1, None, None)], None, INTERVAL, at(0));
    let first = roster.link_opened(agent(1), 0, at(1)).unwrap();
    let second = roster.link_opened(agent(1), 0, at(2)).unwrap();
    first.notified().await;
    assert_eq!(first.take().end, Some(EndOfLink::Replaced));
    roster.link_closed(agent(1), &first);
    roster.wake(agent(1));
    second.notified().await;
    let mail = second.take();
    assert!(mail.new_actions && mail.end.is_none());
    assert_eq!(roster.remove(agent(1)), Some(SiteId::default()));
    assert_eq!(second.take().end, Some(EndOfLink::Unenrolled));
    assert!(roster.link_opened(agent(1), 0, at(3)).is_none(), "nobody who is not enrolled has a link");
}

#[test]
fn who_was_seen_is_written_down_once_and_again_when_that_failed() {
    let roster = Roster::from_books(vec![standing(1, None, None)], None, INTERVAL, at(0));
    assert_eq!(roster.take_seen(), []);
    roster.heartbeat(agent(1), 1_002_500, "healthy".to_owned(), at(3));
    assert_eq!(roster.standing(agent(1)).unwrap().skew_ms, Some(-500));
    let seen = roster.take_seen();
    assert_eq!(seen, [(agent(1), 1_003_000)]);
    assert_eq!(roster.take_seen(), []);
    roster.seen_not_flushed(&seen);
    assert_eq!(roster.take_seen(), seen);
}

#[test]
fn the_books_decide_who_belongs_to_the_fleet() {
    let roster = Roster::from_books(vec![standing(1, None, None)], None, INTERVAL, at(0));
    let before = roster.known();
    roster.enrolled(agent(3), TenantId::default(), SiteId::default(), 5);
    let removed = roster.reconcile(&before, vec![standing(2, None, None)]);
    assert_eq!(removed, [(agent(1), SiteId::default())]);
    assert!(roster.standing(agent(3)).is_some(), "it came after the books were read");
    assert!(roster.standing(agent(1)).is_none());
    assert_eq!(presence(&roster, 2), Presence::Offline);

    let before = roster.known();
    roster.remove(agent(2));
    roster.reconcile(&before, vec![standing(2, None, None), standing(3, None, None)]);
    assert!(roster.standing(agent(2)).is_none(), "it left after the books were read");
}
