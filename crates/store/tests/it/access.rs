//! Tenants, sites, keys, tokens.

use nkudo_domain::{Role, SiteId};
use nkudo_store::{Enrolled, KeyRecord, Page, Refusal, SiteDeleted, Store};

use crate::{HOUR_MS, enrol, enrolment, stores, tenant, token};

fn key(key_id: &str, tenant_name: &str) -> KeyRecord {
    KeyRecord {
        key_id: key_id.to_owned(),
        tenant_id: tenant(tenant_name),
        role: Role::Operator,
        secret_digest: [9; 32],
        created_at_ms: 5,
    }
}

#[tokio::test]
async fn keys_belong_to_their_tenant() {
    for (name, store, _dir) in stores().await {
        for tenant_name in ["a", "b"] {
            assert!(store.create_tenant(&tenant(tenant_name), 0).await.unwrap(), "{name}");
            assert!(!store.create_tenant(&tenant(tenant_name), 0).await.unwrap(), "it is there already");
        }
        for key_id in ["k3", "k1", "k2"] {
            store.insert_key(&key(key_id, "a")).await.unwrap();
        }
        assert_eq!(store.key("k1").await.unwrap(), Some(key("k1", "a")));
        assert_eq!(store.key("k9").await.unwrap(), None);
        let first = store.keys(&tenant("a"), &Page::first(2)).await.unwrap();
        assert_eq!(first.items, [key("k1", "a"), key("k2", "a")]);
        let rest = Page { limit: 2, cursor: first.next_cursor };
        let rest = store.keys(&tenant("a"), &rest).await.unwrap();
        assert_eq!((rest.items, rest.next_cursor), (vec![key("k3", "a")], None));
        assert_eq!(store.keys(&tenant("b"), &Page::first(9)).await.unwrap().items, []);
        assert!(!store.delete_key(&tenant("b"), "k1").await.unwrap(), "it is not b's");
        assert!(store.delete_key(&tenant("a"), "k1").await.unwrap());
        assert!(!store.delete_key(&tenant("a"), "k1").await.unwrap());
    }
}

#[tokio::test]
async fn a_token_lets_in_as_many_as_it_has_uses_however_many_ask_at_once() {
    for (name, store, _dir) in stores().await {
        let tenant_id = tenant("a");
        store.create_tenant(&tenant_id, 0).await.unwrap();
        store.insert_token(&token("t", &tenant_id, 3)).await.unwrap();
        let all: Vec<_> = (0..8).map(|number| enrolment("t", number)).collect();
        let asked =
            futures_util::future::join_all(all.iter().map(|enrolment| store.enrol(enrolment, 1))).await;
        let done = asked.iter().filter(|answer| matches!(answer, Ok(Enrolled::Done))).count();
        let used =
            asked.iter().filter(|answer| matches!(answer, Ok(Enrolled::Refused(Refusal::Used)))).count();
        assert_eq!((done, used), (3, 5), "{name}: {asked:?}");
        assert_eq!(store.token("t").await.unwrap().unwrap().uses_left, 0);
        assert_eq!(store.counts().await.unwrap().agents, 3);
        let unknown = store.enrol(&enrolment("none", 99), 1).await.unwrap();
        assert_eq!(unknown, Enrolled::Refused(Refusal::Unknown));
        store.insert_token(&token("late", &tenant_id, 1)).await.unwrap();
        let late = store.enrol(&enrolment("late", 98), HOUR_MS).await.unwrap();
        assert_eq!(late, Enrolled::Refused(Refusal::Expired));
        assert_eq!(store.token("late").await.unwrap().unwrap().uses_left, 1, "a refusal takes no use");
        assert_eq!(store.tokens(&tenant_id, &Page::first(9)).await.unwrap().items.len(), 2);
        assert!(!store.delete_token(&tenant("b"), "t").await.unwrap());
        assert!(store.delete_token(&tenant_id, "t").await.unwrap());
    }
}

#[tokio::test]
async fn a_site_stays_while_it_has_agents_or_tokens() {
    for (name, store, _dir) in stores().await {
        let (tenant_id, lab): (_, SiteId) = (tenant("a"), "lab".parse().unwrap());
        let agent_id = enrol(&store, &tenant_id, 1).await;
        for now_ms in [3, 4] {
            let site = store.create_site(&tenant_id, &lab, now_ms).await.unwrap();
            assert_eq!((site.site_id, site.created_at_ms), (lab.clone(), 3), "{name}");
        }
        let sites = store.sites(&tenant_id, &Page::first(9)).await.unwrap();
        assert_eq!(
            sites.items.iter().map(|site| site.site_id.as_str()).collect::<Vec<_>>(),
            ["default", "lab"]
        );
        let delete = |site_id: SiteId, now_ms| {
            let (store, tenant_id) = (&store, &tenant_id);
            async move { store.delete_site(tenant_id, &site_id, now_ms).await.unwrap() }
        };
        assert_eq!(delete(lab.clone(), 5).await, SiteDeleted::Done);
        assert_eq!(delete(lab.clone(), 5).await, SiteDeleted::Absent);
        assert_eq!(delete(SiteId::default(), 5).await, SiteDeleted::InUse, "it has an agent");
        store.unenrol(&tenant_id, agent_id, 4).await.unwrap();
        store.insert_token(&token("good", &tenant_id, 1)).await.unwrap();
        assert_eq!(delete(SiteId::default(), 5).await, SiteDeleted::InUse, "it has a token");
        assert_eq!(
            delete(SiteId::default(), HOUR_MS).await,
            SiteDeleted::Done,
            "which lets nobody in any more"
        );
    }
}

#[tokio::test]
async fn a_tenant_goes_with_all_that_is_its_own() {
    for (name, store, _dir) in stores().await {
        let (gone, stays) = (tenant("gone"), tenant("stays"));
        let agent_id = enrol(&store, &gone, 1).await;
        enrol(&store, &stays, 2).await;
        store.insert_key(&key("k", "gone")).await.unwrap();
        assert!(store.delete_tenant(&gone).await.unwrap(), "{name}");
        assert!(!store.delete_tenant(&gone).await.unwrap());
        assert_eq!(store.key("k").await.unwrap(), None);
        assert_eq!(store.certificate("serial-1").await.unwrap(), None);
        assert_eq!(store.agent(&gone, agent_id).await.unwrap(), None);
        assert_eq!(store.standings().await.unwrap().len(), 1);
    }
}
