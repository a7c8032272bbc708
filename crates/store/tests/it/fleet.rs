//! Agents, certificates, VMs.

use nkudo_audit::Head;
use nkudo_domain::{ProviderKind, VmState};
use nkudo_store::{AgentFilter, CertificateRecord, Facts, Page, Store, StoreError, VmFilter, VmRecord};

use crate::{agent_id, asked, enrol, pause, stores, tenant, vm_id};

pub(crate) fn vm(number: u128, agent: u128, state: VmState) -> VmRecord {
    VmRecord {
        vm_id: vm_id(number),
        agent_id: agent_id(agent),
        vm_name: format!("vm-{number}").parse().unwrap(),
        state,
        reason: Some("why".to_owned()),
        vcpus: 2,
        memory_bytes: 1 << 40,
        provider: ProviderKind::Qemu,
        pid: Some(7),
        since_ms: 9,
        restarts: 3,
        labels: [("k".to_owned(), "v".to_owned())].into(),
    }
}

#[tokio::test]
async fn an_agent_is_found_in_its_tenant_with_what_is_known_of_it() {
    for (name, store, _dir) in stores().await {
        let (a, b) = (tenant("a"), tenant("b"));
        let id = enrol(&store, &a, 1).await;
        let record = store.agent(&a, id).await.unwrap().unwrap();
        assert_eq!((record.facts.hostname.as_str(), record.enrolled_at_ms), ("host-1", 1), "{name}");
        assert_eq!(store.agent(&b, id).await.unwrap(), None, "another tenant sees nothing");
        assert_eq!(store.agents(&b, &AgentFilter::default(), &Page::first(9)).await.unwrap().items, []);
        store.record_goodbye(id, "update", 20).await.unwrap();
        assert_eq!(store.standings().await.unwrap()[0].goodbye.as_deref(), Some("update"));
        let facts = Facts { hostname: "renamed".to_owned(), ..Facts::default() };
        store.record_facts(id, &facts, 30).await.unwrap();
        let record = store.agent(&a, id).await.unwrap().unwrap();
        assert_eq!((record.facts, record.goodbye, record.last_seen_ms), (facts, None, Some(30)));
        assert_eq!(store.seen_flushed_at().await.unwrap(), None);
        store.record_seen(&[(id, 40)], 50).await.unwrap();
        store.record_seen(&[], 60).await.unwrap();
        assert_eq!(store.seen_flushed_at().await.unwrap(), Some(60));
        assert_eq!(store.standings().await.unwrap()[0].last_seen_ms, Some(40));
        assert_eq!(store.standings().await.unwrap()[0].audit_head, None);
        let head = |seq| Head { seq, ..Head::START };
        for seq in [7, 5] {
            store.record_audit_heads(&[(id, head(seq))]).await.unwrap();
            assert_eq!(store.standings().await.unwrap()[0].audit_head, Some(head(seq)));
        }
    }
}

#[tokio::test]
async fn leaving_the_fleet_revokes_and_ends_everything() {
    for (name, store, _dir) in stores().await {
        let (a, id) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        let renewed = CertificateRecord {
            serial: "second".to_owned(),
            agent_id: id,
            tenant_id: a.clone(),
            issued_at_ms: 2,
            expires_at_ms: 99_000_000,
            revoked_at_ms: None,
        };
        assert!(store.add_certificate(&renewed).await.unwrap(), "{name}");
        assert_eq!(store.certificate("second").await.unwrap(), Some(renewed.clone()));
        assert_eq!(store.agent(&a, id).await.unwrap().unwrap().certificate_expires_at_ms, 99_000_000);
        store.replace_vms(&a, id, &[vm(1, 1, VmState::Running)]).await.unwrap();
        for action_id in ["queued", "sent"] {
            store.ask(&asked(&a, id, pause(action_id, 1), 3), 9).await.unwrap();
        }
        store.mark_sent(id, &["sent".parse().unwrap()], 4).await.unwrap();
        assert_eq!(store.unenrol(&tenant("b"), id, 5).await.unwrap(), None, "not by another tenant");
        let told = store.unenrol(&a, id, 5).await.unwrap().unwrap();
        assert_eq!(told.len(), 2, "whoever follows them is told");
        assert_eq!(store.unenrol(&a, id, 6).await.unwrap(), None);
        for serial in ["serial-1", "second"] {
            assert_eq!(store.certificate(serial).await.unwrap().unwrap().revoked_at_ms, Some(5), "{serial}");
        }
        assert!(
            !store
                .add_certificate(&CertificateRecord { serial: "third".to_owned(), ..renewed })
                .await
                .unwrap()
        );
        let ended = |action_id: &'static str| {
            let (store, a) = (&store, &a);
            async move {
                let record = store.action(a, &action_id.parse().unwrap()).await.unwrap().unwrap();
                (record.status.as_str(), record.error.is_some(), record.completed_at_ms)
            }
        };
        assert_eq!(ended("queued").await, ("cancelled", false, Some(5)));
        assert_eq!(ended("sent").await, ("failure", true, Some(5)), "its outcome is unknown");
        assert_eq!(store.vms(&a, &VmFilter::default(), &Page::first(9)).await.unwrap().items, []);
        assert_eq!(store.agents(&a, &AgentFilter::default(), &Page::first(9)).await.unwrap().items, []);
        store.change_vms(&a, id, &[vm(2, 1, VmState::Running)], &[]).await.unwrap();
        let after = store.vms(&a, &VmFilter::default(), &Page::first(9)).await.unwrap();
        assert_eq!(after.items, [], "a late report brings no vm back");
    }
}

#[tokio::test]
async fn vms_are_replaced_changed_and_listed() {
    for (name, store, _dir) in stores().await {
        let a = tenant("a");
        let (one, two) = (enrol(&store, &a, 1).await, enrol(&store, &a, 2).await);
        let running = VmState::Running;
        store.replace_vms(&a, one, &[vm(1, 1, running), vm(2, 1, running), vm(3, 1, running)]).await.unwrap();
        store.replace_vms(&a, two, &[vm(4, 2, running)]).await.unwrap();
        store.change_vms(&a, one, &[vm(2, 1, VmState::Paused)], &[vm_id(3)]).await.unwrap();
        let list = |filter: VmFilter| {
            let (store, a) = (&store, &a);
            async move { store.vms(a, &filter, &Page::first(9)).await.unwrap().items }
        };
        let all = [vm(1, 1, running), vm(2, 1, VmState::Paused), vm(4, 2, running)];
        assert_eq!(list(VmFilter::default()).await, all, "{name}");
        assert_eq!(list(VmFilter { agent_id: Some(two), ..VmFilter::default() }).await, [all[2].clone()]);
        assert_eq!(
            list(VmFilter { state: Some(VmState::Paused), ..VmFilter::default() }).await,
            [all[1].clone()]
        );
        assert_eq!(list(VmFilter { vm_id: Some(vm_id(1)), ..VmFilter::default() }).await, [all[0].clone()]);
        let first = store.vms(&a, &VmFilter::default(), &Page::first(2)).await.unwrap();
        let rest = Page { limit: 2, cursor: first.next_cursor };
        assert_eq!(store.vms(&a, &VmFilter::default(), &rest).await.unwrap().items, [all[2].clone()]);
        let nonsense = Page { limit: 2, cursor: Some("nonsense".to_owned()) };
        let refused = store.vms(&a, &VmFilter::default(), &nonsense).await;
        assert!(matches!(refused, Err(StoreError::Cursor)), "{refused:?}");
        store.replace_vms(&a, one, &[]).await.unwrap();
        assert_eq!(list(VmFilter::default()).await, [all[2].clone()]);
        assert_eq!(store.vms(&tenant("b"), &VmFilter::default(), &Page::first(9)).await.unwrap().items, []);
    }
}
