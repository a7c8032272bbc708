//! Actions: asked for once, sent, cancelled, expired, listed.

use std::collections::BTreeMap;

use nkudo_domain::{
    Action, ActionId, ActionStatus, Console, CreateVm, EndStatus, MEMORY_BYTES_MIN, Machine, Request,
    RestartPolicy, VmSpec, VmState,
};
use nkudo_store::{ActionFilter, Asked, Cancelled, Page, Store, StoreError};

use crate::{HOUR_MS, agent_id, asked, enrol, pause, stores, tenant, vm_id};

fn id(text: &str) -> ActionId {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_action_is_asked_for_once() {
    for (name, store, _dir) in stores().await {
        let a = tenant("a");
        let (one, two) = (enrol(&store, &a, 1).await, enrol(&store, &a, 2).await);
        let b = tenant("b");
        let of_b = enrol(&store, &b, 3).await;
        let first = asked(&a, one, pause("x", 1), 10);
        assert_eq!(store.ask(&first, 9).await.unwrap(), Asked::New, "{name}");
        assert_eq!(store.action(&a, &id("x")).await.unwrap(), Some(first.clone()));
        let again = asked(&a, one, pause("x", 1), 99);
        assert_eq!(store.ask(&again, 9).await.unwrap(), Asked::Repeated(Box::new(first)));
        assert_eq!(
            store.ask(&asked(&a, one, pause("x", 2), 10), 9).await.unwrap(),
            Asked::Conflict,
            "another body"
        );
        assert_eq!(
            store.ask(&asked(&a, two, pause("x", 1), 10), 9).await.unwrap(),
            Asked::Conflict,
            "another agent"
        );
        assert_eq!(
            store.ask(&asked(&b, of_b, pause("x", 1), 10), 9).await.unwrap(),
            Asked::New,
            "another tenant"
        );
        assert_eq!(store.ask(&asked(&a, agent_id(77), pause("y", 1), 10), 9).await.unwrap(), Asked::NoAgent);
        assert_eq!(
            store.ask(&asked(&a, of_b, pause("y", 1), 10), 9).await.unwrap(),
            Asked::NoAgent,
            "b's agent"
        );
        assert_eq!(store.ask(&asked(&a, one, pause("z", 1), 10), 1).await.unwrap(), Asked::QueueFull);
        assert_eq!(store.action(&b, &id("z")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn states_go_forward_only_and_an_end_is_an_end() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        store.ask(&asked(&a, one, pause("x", 1), 10), 9).await.unwrap();
        let status = || async { store.action(&a, &id("x")).await.unwrap().unwrap().status };
        assert_eq!(store.mark_sent(one, &[id("x"), id("none")], 20).await.unwrap(), [id("x")], "{name}");
        store.mark_sent(one, &[id("x")], 30).await.unwrap();
        assert_eq!(
            store.action(&a, &id("x")).await.unwrap().unwrap().sent_at_ms,
            Some(20),
            "the first time stays"
        );
        assert_eq!(status().await, ActionStatus::Queued);
        store.mark_started(one, &[(id("x"), 40)]).await.unwrap();
        store.mark_delivered(one, &[id("x")]).await.unwrap();
        assert_eq!(status().await, ActionStatus::Running, "it does not go back");
        store.mark_started(agent_id(9), &[(id("x"), 99)]).await.unwrap();
        assert_eq!(store.action(&a, &id("x")).await.unwrap().unwrap().started_at_ms, Some(40));
        let ended = store.end_unrun(one, &id("x"), EndStatus::Failure, Some("no"), 50).await.unwrap();
        assert_eq!(ended.map(|record| record.status), Some(ActionStatus::Failure));
        assert_eq!(store.end_unrun(one, &id("x"), EndStatus::Expired, None, 60).await.unwrap(), None);
        store.mark_started(one, &[(id("x"), 70)]).await.unwrap();
        let ended = store.action(&a, &id("x")).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.completed_at_ms), (ActionStatus::Failure, Some(50)));
        assert_eq!(store.mark_sent(one, &[id("x")], 80).await.unwrap(), []);
        assert_eq!(store.cancel(&a, &id("x"), 90).await.unwrap(), Cancelled::AlreadyEnded);
    }
}

#[tokio::test]
async fn cancelling_depends_on_whether_it_was_sent() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        for action_id in ["early", "late"] {
            store.ask(&asked(&a, one, pause(action_id, 1), 10), 9).await.unwrap();
        }
        assert_eq!(store.cancel(&a, &id("early"), 20).await.unwrap(), Cancelled::Done, "{name}");
        assert_eq!(store.mark_sent(one, &[id("early"), id("late")], 30).await.unwrap(), [id("late")]);
        assert_eq!(store.cancel(&tenant("b"), &id("late"), 40).await.unwrap(), Cancelled::Unknown);
        assert_eq!(store.cancel(&a, &id("late"), 40).await.unwrap(), Cancelled::Asked(one));
        assert_eq!(store.cancel(&a, &id("late"), 50).await.unwrap(), Cancelled::AskedBefore(one));
        let open = store.open_actions(one, 0, 9).await.unwrap();
        assert_eq!(open.len(), 1);
        assert!(open[0].1.cancel_asked && open[0].1.status == ActionStatus::Queued, "only the agent knows");
    }
}

#[tokio::test]
async fn only_what_was_never_sent_expires() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        for action_id in ["unsent", "sent"] {
            store.ask(&asked(&a, one, pause(action_id, 1), 0), 9).await.unwrap();
        }
        store.ask(&asked(&a, one, pause("young", 1), 1), 9).await.unwrap();
        store.mark_sent(one, &[id("sent")], 5).await.unwrap();
        assert_eq!(store.expire(HOUR_MS - 1).await.unwrap(), [], "{name}");
        let expired = store.expire(HOUR_MS).await.unwrap();
        let ids: Vec<&str> = expired.iter().map(|record| record.action.action_id.as_str()).collect();
        assert_eq!((ids, expired[0].status), (vec!["unsent"], ActionStatus::Expired));
        assert_eq!(expired[0].error.as_deref(), Some("it expired before its turn came"));
        assert_eq!(store.expire(HOUR_MS).await.unwrap(), []);
        assert_eq!(store.counts().await.unwrap().open_actions, 2);
    }
}

#[tokio::test]
async fn open_actions_come_in_the_order_in_which_they_were_asked_for() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        for number in (0..10).rev() {
            store.ask(&asked(&a, one, pause(&format!("x{number}"), 1), 10), 99).await.unwrap();
        }
        let first = store.open_actions(one, 0, 4).await.unwrap();
        let rest = store.open_actions(one, first[3].0, 99).await.unwrap();
        let ids: Vec<&str> =
            first.iter().chain(&rest).map(|(_, record)| record.action.action_id.as_str()).collect();
        assert_eq!(ids, ["x9", "x8", "x7", "x6", "x5", "x4", "x3", "x2", "x1", "x0"], "{name}");
        assert_eq!(store.open_actions(agent_id(9), 0, 9).await.unwrap(), []);
    }
}

#[tokio::test]
async fn pages_miss_and_repeat_nothing_while_more_is_asked_for() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        for number in 0..250 {
            // Several have the same time.
            store.ask(&asked(&a, one, pause(&format!("p{number:03}"), 1), number / 10), 999).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut page = Page::first(37);
        loop {
            let listed = store.actions(&a, &ActionFilter::default(), &page).await.unwrap();
            seen.extend(listed.items.iter().map(|record| record.action.action_id.to_string()));
            store.ask(&asked(&a, one, pause(&format!("new{}", seen.len()), 1), 1_000), 999).await.unwrap();
            match listed.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        let expected: Vec<String> = (0..250).rev().map(|number| format!("p{number:03}")).collect();
        assert_eq!(seen, expected, "{name}");
        for cursor in ["x", "1", "~", "a~b"] {
            let page = Page { limit: 1, cursor: Some(cursor.to_owned()) };
            let refused = store.actions(&a, &ActionFilter::default(), &page).await;
            assert!(matches!(refused, Err(StoreError::Cursor)), "{cursor}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_of_its_filters() {
    for (name, store, _dir) in stores().await {
        let a = tenant("a");
        let (one, two) = (enrol(&store, &a, 1).await, enrol(&store, &a, 2).await);
        store.ask(&asked(&a, one, pause("early", 1), 10), 9).await.unwrap();
        store.ask(&asked(&a, two, pause("late", 2), 20), 9).await.unwrap();
        store.cancel(&a, &id("late"), 30).await.unwrap();
        let list = |filter: ActionFilter| {
            let (store, a) = (&store, &a);
            async move {
                let listed = store.actions(a, &filter, &Page::first(9)).await.unwrap();
                listed.items.into_iter().map(|record| record.action.action_id.to_string()).collect::<Vec<_>>()
            }
        };
        let all = ActionFilter::default;
        assert_eq!(list(all()).await, ["late", "early"], "{name}");
        assert_eq!(list(ActionFilter { agent_id: Some(one), ..all() }).await, ["early"]);
        assert_eq!(list(ActionFilter { status: Some(ActionStatus::Cancelled), ..all() }).await, ["late"]);
        assert_eq!(list(ActionFilter { vm_id: Some(vm_id(2)), ..all() }).await, ["late"]);
        assert_eq!(list(ActionFilter { since_ms: Some(20), ..all() }).await, ["late"]);
        assert_eq!(list(ActionFilter { until_ms: Some(19), ..all() }).await, ["early"]);
        let other_type = Some(nkudo_domain::ActionType::Stop);
        assert_eq!(list(ActionFilter { action_type: other_type, ..all() }).await, Vec::<String>::new());
    }
}

fn create(action_id: &str, vm: u128) -> Action {
    let spec = VmSpec {
        vm_id: vm_id(vm),
        vm_name: format!("vm-{vm}").parse().unwrap(),
        vcpus: 1,
        memory_bytes: MEMORY_BYTES_MIN,
        kernel: "/kernel".into(),
        initramfs: None,
        cmdline: String::new(),
        disks: Vec::new(),
        nics: Vec::new(),
        console: Console::Log,
        provider: None,
        machine: Machine::Q35,
        restart_policy: RestartPolicy::No,
        labels: BTreeMap::new(),
    };
    Action { request: Request::Create(CreateVm { spec, autostart: true }), ..pause(action_id, vm) }
}

#[tokio::test]
async fn a_vm_is_made_on_one_host_only() {
    for (name, store, _dir) in stores().await {
        let a = tenant("a");
        let (one, two) = (enrol(&store, &a, 1).await, enrol(&store, &a, 2).await);
        let ask = |agent, action| {
            let (store, a) = (&store, &a);
            async move { store.ask(&asked(a, agent, action, 10), 9).await.unwrap() }
        };
        assert_eq!(ask(one, create("first", 1)).await, Asked::New, "{name}");
        assert_eq!(ask(two, create("second", 1)).await, Asked::VmElsewhere(one), "it is under way");
        assert_eq!(
            ask(one, create("again", 1)).await,
            Asked::New,
            "there it may be made as often as one likes"
        );
        store.replace_vms(&a, two, &[crate::fleet::vm(2, 2, VmState::Running)]).await.unwrap();
        assert_eq!(ask(one, create("third", 2)).await, Asked::VmElsewhere(two), "it is there");
        assert_eq!(ask(one, pause("fourth", 2)).await, Asked::New, "only making it is refused");
        let b = tenant("b");
        let of_b = enrol(&store, &b, 3).await;
        let other = asked(&b, of_b, create("first", 1), 10);
        assert_eq!(store.ask(&other, 9).await.unwrap(), Asked::New, "another tenant");
    }
}
