//! Results: recorded once, whatever comes twice or out of order.

use std::time::Duration;

use nkudo_domain::{
    Action, ActionStatus, ActionType, AgentId, CommandOutput, EndStatus, ExecutionStatus, HostCommand,
    Request, ResourceUsage, TenantId,
};
use nkudo_store::{
    ActionFilter, CertificateRecord, ExecutionFilter, ExecutionRecord, Forgotten, Origin, Page, Recorded,
    Reported, ResultBatch, SqliteStore, Store,
};

use crate::database::raw;
use crate::{HOUR_MS, address, asked, enrol, pause, stores, tenant, vm_id};

/// Long after.
const NOW_MS: i64 = 20 * HOUR_MS;
/// When results are written down in these tests.
const RECORDED_MS: i64 = 5_000;

fn reported(agent_id: AgentId, seq: u64, action_id: &str, error: Option<&str>) -> Reported {
    let action = pause(action_id, 1);
    let (status, execution_status) = match error {
        None => (EndStatus::Success, ExecutionStatus::Success),
        Some(_) => (EndStatus::Failure, ExecutionStatus::Failure),
    };
    let at_ms = 1_000 + i64::try_from(seq).unwrap();
    Reported {
        seq,
        status,
        changed: Some(error.is_none()),
        error: error.map(str::to_owned),
        retries: 2,
        created_at_ms: 900,
        completed_at_ms: at_ms + 5,
        execution: Some(ExecutionRecord {
            agent_id,
            action_id: action.action_id.clone(),
            action_type: action.request.action_type(),
            vm_id: Some(vm_id(1)),
            status: execution_status,
            started_at_ms: at_ms,
            completed_at_ms: at_ms + 5,
            duration_ms: 5,
            error: error.map(str::to_owned),
            retries: 2,
            usage: ResourceUsage { cpu_percent: 12.5, memory_bytes: 1 << 41 },
            trace_id: action.trace_id,
        }),
        action,
        output: None,
    }
}

fn batch(tenant_id: &TenantId, agent_id: AgentId, outbox_id: &str, results: Vec<Reported>) -> ResultBatch {
    ResultBatch { tenant_id: tenant_id.clone(), agent_id, outbox_id: outbox_id.to_owned(), results }
}

async fn take(store: &dyn Store, batch: &ResultBatch) -> Recorded {
    store.record_results(batch, RECORDED_MS).await.unwrap()
}

#[tokio::test]
async fn a_result_ends_its_action_and_is_recorded_once() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        store.ask(&asked(&a, one, pause("x", 1), 10), 9).await.unwrap();
        let x = reported(one, 1, "x", None);
        let Recorded { seq, ended, .. } = take(&store, &batch(&a, one, "o", vec![x.clone()])).await;
        assert_eq!((seq, ended.len(), ended[0].status), (1, 1, ActionStatus::Success), "{name}");
        assert_eq!(
            (ended[0].duration_ms, ended[0].started_at_ms, ended[0].retries),
            (Some(5), Some(1_001), 2)
        );
        // What comes again changes nothing, whatever it says now.
        let other = Reported { status: EndStatus::Failure, ..x.clone() };
        let Recorded { seq, ended, .. } = take(&store, &batch(&a, one, "o", vec![other])).await;
        assert_eq!((seq, ended), (1, vec![]));
        let record = store.action(&a, &"x".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(record.status, ActionStatus::Success);
        // A journal that lost records tells everything anew, under other numbers.
        let anew = batch(&a, one, "o2", vec![Reported { seq: 4, ..x.clone() }]);
        let Recorded { seq, ended, .. } = take(&store, &anew).await;
        assert_eq!((seq, ended), (4, vec![]));
        let executions = store.executions(&a, &ExecutionFilter::default(), &Page::first(9)).await.unwrap();
        assert_eq!(executions.items, [x.execution.unwrap()], "once");
    }
}

#[tokio::test]
async fn what_a_command_wrote_is_kept_with_its_action_and_is_about_no_vm() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        let command = HostCommand {
            program: "/bin/ls".into(),
            args: vec!["-l".to_owned()],
            timeout: Duration::from_secs(3),
            dir: "/".into(),
            env: [("A".to_owned(), "b".to_owned())].into(),
        };
        let action = Action { request: Request::Execute(command), ..pause("asked", 1) };
        store.ask(&asked(&a, one, action.clone(), 10), 9).await.unwrap();
        let output = CommandOutput {
            exit_code: Some(0),
            stdout: "ü\n".to_owned(),
            stderr: String::new(),
            truncated: true,
        };
        let end = |seq, action_id: &str| {
            let mut result = reported(one, seq, action_id, None);
            result.action = Action { action_id: action_id.parse().unwrap(), ..action.clone() };
            result.output = Some(output.clone());
            let execution = result.execution.as_mut().unwrap();
            (execution.action_type, execution.vm_id) = (ActionType::CommandExecute, None);
            result
        };
        // One that was asked of the fleet, and one that the control plane hears of by its end.
        take(&store, &batch(&a, one, "o", vec![end(1, "asked"), end(2, "of-host")])).await;
        for action_id in ["asked", "of-host"] {
            let record = store.action(&a, &action_id.parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(record.output.as_ref(), Some(&output), "{name}");
            assert_eq!(record.action.request, action.request);
        }
        let executions = store.executions(&a, &ExecutionFilter::default(), &Page::first(9)).await.unwrap();
        assert!(executions.items.len() == 2 && executions.items.iter().all(|one| one.vm_id.is_none()));
        let of_vm = ExecutionFilter { vm_id: Some(vm_id(1)), ..ExecutionFilter::default() };
        assert_eq!(store.executions(&a, &of_vm, &Page::first(9)).await.unwrap().items, []);
    }
}

#[tokio::test]
async fn what_is_asked_anew_ends_by_the_result_that_was_recorded_before() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        take(&store, &batch(&a, one, "o", vec![reported(one, 7, "x", None)])).await;
        assert_eq!(store.results_recorded(one, "o").await.unwrap(), 7, "{name}");
        assert_eq!(store.results_recorded(one, "another").await.unwrap(), 0);
        // As after a backup was put back: the entry is gone, and somebody asks again.
        store.ask(&asked(&a, one, pause("y", 1), 10), 9).await.unwrap();
        let again =
            batch(&a, one, "o", vec![reported(one, 3, "y", None), reported(one, 4, "never-asked", None)]);
        let Recorded { seq, ended, .. } = take(&store, &again).await;
        assert_eq!((seq, ended.len()), (7, 1), "{name}: the number does not go back");
        assert_eq!(ended[0].status, ActionStatus::Success);
        assert_eq!(store.action(&a, &"never-asked".parse().unwrap()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn gaps_are_fine_and_what_is_older_is_left_out() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        let results = vec![reported(one, 3, "three", None), reported(one, 7, "seven", Some("broken"))];
        assert_eq!(take(&store, &batch(&a, one, "o", results)).await.seq, 7, "{name}");
        let late = vec![reported(one, 5, "five", None)];
        assert_eq!(take(&store, &batch(&a, one, "o", late)).await.seq, 7);
        assert_eq!(store.action(&a, &"five".parse().unwrap()).await.unwrap(), None);
        // What the host was asked for itself is known by its result.
        let seven = store.action(&a, &"seven".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(
            (seven.origin, seven.status, seven.created_at_ms),
            (Origin::Host, ActionStatus::Failure, 900)
        );
        assert_eq!(seven.error.as_deref(), Some("broken"));
        let listed = store.executions(&a, &ExecutionFilter::default(), &Page::first(1)).await.unwrap();
        assert_eq!(listed.items[0].action_id.as_str(), "seven", "the newest first");
        let rest = Page { limit: 1, cursor: listed.next_cursor };
        let rest = store.executions(&a, &ExecutionFilter::default(), &rest).await.unwrap();
        assert_eq!((rest.items[0].action_id.as_str(), rest.next_cursor), ("three", None));
        let failed = ExecutionFilter { status: Some(ExecutionStatus::Failure), ..ExecutionFilter::default() };
        assert_eq!(store.executions(&a, &failed, &Page::first(9)).await.unwrap().items.len(), 1);
        let other =
            store.executions(&tenant("b"), &ExecutionFilter::default(), &Page::first(9)).await.unwrap();
        assert_eq!(other.items, []);
    }
}

#[tokio::test]
async fn an_agent_ends_no_action_of_another() {
    for (name, store, _dir) in stores().await {
        let a = tenant("a");
        let (one, two) = (enrol(&store, &a, 1).await, enrol(&store, &a, 2).await);
        store.ask(&asked(&a, one, pause("x", 1), 10), 9).await.unwrap();
        let results = vec![reported(two, 1, "x", None)];
        let recorded = take(&store, &batch(&a, two, "o", results)).await;
        let of_others = vec!["x".parse().unwrap()];
        assert_eq!(recorded, Recorded { seq: 1, ended: vec![], of_others }, "{name}");
        let executions = store.executions(&a, &ExecutionFilter::default(), &Page::first(9)).await.unwrap();
        assert_eq!(executions.items, []);
        let record = store.action(&a, &"x".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((record.status, record.agent_id), (ActionStatus::Queued, one));
    }
}

#[tokio::test]
async fn what_is_old_is_forgotten_in_bounded_steps_by_the_control_planes_clock() {
    for (name, store, _dir) in stores().await {
        let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
        let gone = enrol(&store, &a, 2).await;
        for action_id in ["r1", "r2", "r3", "open"] {
            store.ask(&asked(&a, one, pause(action_id, 1), 10), 9).await.unwrap();
        }
        // The agent's clock stands at the second second; what counts is when the control plane heard of it.
        let results = (1..=3).map(|seq| reported(one, seq, &format!("r{seq}"), None)).collect();
        take(&store, &batch(&a, one, "o", results)).await;
        let renewed = |serial: &str, expires_at_ms| CertificateRecord {
            serial: serial.to_owned(),
            agent_id: one,
            tenant_id: a.clone(),
            issued_at_ms: 2,
            expires_at_ms,
            revoked_at_ms: None,
        };
        store.add_certificate(&renewed("early", 4_000)).await.unwrap();
        store.add_certificate(&renewed("last", HOUR_MS + 1)).await.unwrap();
        store.unenrol(&a, gone, 4_000).await.unwrap();

        let nothing = store.forget(4_000, NOW_MS, 9).await.unwrap();
        assert_eq!(nothing, Forgotten::default(), "{name}: not one is older than that");
        let first = store.forget(RECORDED_MS + 1, NOW_MS, 2).await.unwrap();
        let expected = Forgotten { actions: 2, executions: 2, certificates: 1, tokens: 0, agents: 1 };
        assert_eq!(first, expected, "{name}: at most two of each");
        let second = store.forget(RECORDED_MS + 1, NOW_MS, 2).await.unwrap();
        assert_eq!(second, Forgotten { actions: 1, executions: 1, ..Forgotten::default() });
        let left = store.actions(&a, &ActionFilter::default(), &Page::first(9)).await.unwrap();
        assert_eq!(left.items.len(), 1, "what has not ended stays, however old: {left:?}");
        assert_eq!(store.agent(&a, gone).await.unwrap(), None);

        // The first one expires when it was enrolled for an hour, and was renewed since.
        let late = store.forget(10 * HOUR_MS, NOW_MS, 9).await.unwrap();
        assert_eq!(late, Forgotten { certificates: 1, tokens: 2, ..Forgotten::default() });
        assert!(store.certificate("last").await.unwrap().is_some(), "the last of an agent stays with it");
    }
}

#[tokio::test]
async fn what_a_former_version_has_ended_is_kept_as_if_it_had_ended_now() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&address(dir.path())).await.unwrap();
    let (a, one) = (tenant("a"), enrol(&store, &tenant("a"), 1).await);
    for action_id in ["x", "open"] {
        store.ask(&asked(&a, one, pause(action_id, 1), 10), 9).await.unwrap();
    }
    take(&store, &batch(&a, one, "o", vec![reported(one, 1, "x", None)])).await;
    // A server of that version runs on while a newer program has changed the tables.
    let mut raw = raw(dir.path()).await;
    for table in ["actions", "executions"] {
        let undate = format!("UPDATE {table} SET recorded_at_ms = NULL");
        sqlx::query(sqlx::AssertSqlSafe(undate)).execute(&mut raw).await.unwrap();
    }
    let nothing = Forgotten::default();
    assert_eq!(store.forget(NOW_MS - HOUR_MS, NOW_MS, 9).await.unwrap().actions, nothing.actions);
    let later = store.forget(NOW_MS + 1, NOW_MS + HOUR_MS, 9).await.unwrap();
    assert_eq!((later.actions, later.executions), (1, 1), "and no longer than others");
    assert!(store.action(&a, &"open".parse().unwrap()).await.unwrap().is_some());
}
