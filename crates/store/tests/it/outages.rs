//! Outages: recorded once, whatever comes twice, bounded, and seen by their tenant only.

use nkudo_domain::{AgentId, Outage, OutageCause, TenantId};
use nkudo_store::{OUTAGES_MAX, OutageFilter, Page, SqliteStore, Store, StoreError};

use crate::{agent_id, enrol, stores, tenant};

/// One that lasted a second.
fn outage(cause: OutageCause, began_at_ms: i64) -> Outage {
    Outage {
        cause,
        evidence: format!("seen at {began_at_ms}"),
        began_at_ms,
        ended_at_ms: began_at_ms + 1_000,
        duration_ms: 1_000,
        by_wall_clock: cause == OutageCause::Reboot,
        failures: 3,
    }
}

async fn listed(store: &SqliteStore, tenant_id: &TenantId, agent_id: AgentId) -> Vec<Outage> {
    let page = Page::first(2_000);
    store.outages(tenant_id, agent_id, &OutageFilter::default(), &page).await.unwrap().items
}

#[tokio::test]
async fn an_outage_is_recorded_once_and_every_cause_is_given_back() {
    for (name, store, _dir) in stores().await {
        let (one, other) = (tenant("one"), tenant("other"));
        let agent = enrol(&store, &one, 1).await;
        let outages: Vec<(u64, Outage)> = (1_u64..)
            .zip(OutageCause::ALL)
            .map(|(seq, cause)| (seq, outage(cause, i64::try_from(seq).unwrap() * 10_000)))
            .collect();
        for _ in 0..2 {
            store.record_outages(&one, agent, "ledger", &outages).await.unwrap();
        }
        let newest_first: Vec<Outage> = outages.iter().rev().map(|(_, outage)| outage.clone()).collect();
        assert_eq!(listed(&store, &one, agent).await, newest_first, "{name}");
        // Another ledger counts anew.
        store.record_outages(&one, agent, "next", &outages[..1]).await.unwrap();
        assert_eq!(listed(&store, &one, agent).await.len(), 9, "{name}");

        assert_eq!(listed(&store, &other, agent).await, [], "{name}: another tenant sees nothing");
        store.record_outages(&other, agent, "theirs", &outages).await.unwrap();
        store.record_outages(&one, agent_id(7), "nobody's", &outages).await.unwrap();
        assert_eq!(listed(&store, &one, agent).await.len(), 9, "{name}");
        assert_eq!(listed(&store, &other, agent).await, [], "{name}: nor writes anything");

        store.delete_tenant(&one).await.unwrap();
        assert_eq!(listed(&store, &one, agent).await, [], "{name}");
    }
}

#[tokio::test]
async fn outages_are_found_by_cause_and_time_page_by_page() {
    for (name, store, _dir) in stores().await {
        let one = tenant("one");
        let agent = enrol(&store, &one, 1).await;
        let causes = [OutageCause::Link, OutageCause::Crash, OutageCause::Link];
        // Two of them end at the same time.
        let outages: Vec<(u64, Outage)> = (1..)
            .zip(causes)
            .map(|(seq, cause)| (seq, outage(cause, if seq == 1 { 0 } else { 5_000 })))
            .collect();
        store.record_outages(&one, agent, "l/ed~ger", &outages).await.unwrap();
        let seqs = async |filter: OutageFilter| {
            let (mut found, mut page) = (Vec::new(), Page::first(1));
            loop {
                let listed = store.outages(&one, agent, &filter, &page).await.unwrap();
                found.extend(listed.items.into_iter().map(|item| (item.cause, item.began_at_ms)));
                let Some(cursor) = listed.next_cursor else { return found };
                page.cursor = Some(cursor);
            }
        };
        let (link, crash) = (OutageCause::Link, OutageCause::Crash);
        let all = seqs(OutageFilter::default()).await;
        assert_eq!(all, [(link, 5_000), (crash, 5_000), (link, 0)], "{name}");
        let filter = OutageFilter { cause: Some(crash), ..OutageFilter::default() };
        assert_eq!(seqs(filter).await, [(crash, 5_000)], "{name}");
        let filter = OutageFilter { since_ms: Some(1_000), until_ms: Some(4_999), cause: None };
        assert_eq!(seqs(filter).await, [(link, 0)], "{name}: it reaches into that time");

        for cursor in ["", "x", "5~", "5~ledger", "5~ledger/x", "~/1"] {
            let page = Page { limit: 1, cursor: Some(cursor.to_owned()) };
            let refused = store.outages(&one, agent, &OutageFilter::default(), &page).await;
            assert!(matches!(refused, Err(StoreError::Cursor)), "{name}: {cursor:?} {refused:?}");
        }
    }
}

#[tokio::test]
async fn of_each_agent_the_newest_stay() {
    for (name, store, _dir) in stores().await {
        let one = tenant("one");
        let (agent, second) = (enrol(&store, &one, 1).await, enrol(&store, &one, 2).await);
        store.record_outages(&one, second, "l", &[(1, outage(OutageCause::Link, -9))]).await.unwrap();
        let count = u64::from(OUTAGES_MAX) + 5;
        let outages: Vec<(u64, Outage)> =
            (1..=count).map(|seq| (seq, outage(OutageCause::Link, i64::try_from(seq).unwrap()))).collect();
        for batch in outages.chunks(64) {
            store.record_outages(&one, agent, "l", batch).await.unwrap();
        }
        let kept = listed(&store, &one, agent).await;
        let times = (kept.len(), kept[0].began_at_ms, kept.last().unwrap().began_at_ms);
        assert_eq!(times, (1_000, 1_005, 6), "{name}");
        assert_eq!(listed(&store, &one, second).await.len(), 1, "{name}");
    }
}
