//! What goes through a link: actions from their request to their result, as spans and as operators see them; outages.

use std::fmt::Write as _;

use axum::body::BodyDataStream;
use axum::http::StatusCode;
use nkudo_domain::{Action, EndStatus, Outage, OutageCause, SiteId, SpanId, TenantId};
use nkudo_pki::AgentIdentity;
use nkudo_rpc::message::{ActionResult, Answer, Facts, Outages, VmReport};
use nkudo_spans::{FinishedSpan, SpansOptions, spans};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::*;
use crate::world::World;

impl World {
    /// The agent's link, after both have said hello.
    async fn link(&self) -> (mpsc::Sender<FromAgent>, ToAgentStream) {
        let (say, said) = mpsc::channel(8);
        let messages = unfold(said, |mut said: mpsc::Receiver<FromAgent>| async move {
            said.recv().await.map(|message| (Ok(Ok(message)), said))
        });
        let identity = AgentIdentity {
            tenant_id: TenantId::default(),
            site_id: SiteId::default(),
            agent_id: self.agent_id,
        };
        let peer = Peer { identity, serial: "serial".to_owned(), expires_at_ms: i64::MAX };
        let facts = Facts { hostname: "h".to_owned(), version: "1".to_owned(), labels: [].into() };
        let hello = AgentHello { facts, sent_at_ms: Now::read().wall_ms, outbox_id: "outbox".to_owned() };
        say.send(FromAgent::Hello(hello)).await.unwrap();
        let mut link = serve(Arc::clone(&self.control), peer, Box::pin(messages));
        assert!(matches!(link.next().await, Some(Ok(ToAgent::Hello(_)))));
        (say, link)
    }
}

/// The span of an agent that takes the action in, as `crates/agent` makes it.
fn take_in(action: &mut Action) {
    let span = tracing::info_span!(
        "take in",
        trace_id = action.trace_id.map(tracing::field::display),
        parent_span_id = action.parent_span_id.map(tracing::field::display),
    );
    let here = span.in_scope(nkudo_spans::current).unwrap();
    action.parent_span_id = SpanId::from_bytes(here.span_id.to_bytes());
}

fn success(mut action: Action) -> FromAgent {
    take_in(&mut action);
    FromAgent::Result(Box::new(ActionResult {
        seq: 1,
        action_id: action.action_id.clone(),
        action: Some(action),
        status: EndStatus::Success,
        changed: Some(true),
        error: None,
        retries: 0,
        created_at_ms: 0,
        completed_at_ms: 1,
        execution: None,
    }))
}

/// The spans of one trace as a tree. Panics when one but the first has no parent in it.
fn tree(spans: &[FinishedSpan], fields: &[&str]) -> String {
    let mut text = String::new();
    for (at, span) in spans.iter().enumerate() {
        let mut depth = 0;
        let mut above = span.parent_id;
        while let Some(parent_id) = above {
            let parent = spans.iter().find(|parent| parent.span_id == parent_id);
            above = parent.unwrap_or_else(|| panic!("{} has no parent in {spans:#?}", span.name)).parent_id;
            depth += 1;
        }
        assert_eq!(depth == 0, at == 0, "{} is the root of {spans:#?}", span.name);
        write!(text, "{:indent$}{}", "", span.name, indent = 2 * depth).unwrap();
        let told = fields.iter().filter_map(|field| Some((field, span.attribute(field)?)));
        told.for_each(|(field, value)| write!(text, " {field}={value}").unwrap());
        text.push_str(if span.failed { " FAILED\n" } else { "\n" });
    }
    text
}

#[tokio::test]
async fn an_action_is_one_tree_of_spans_from_its_request_to_its_result() {
    let world = World::new().await;
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let _guard = tracing::subscriber::set_default(subscriber);
    let path = format!("/v1/agents/{}/actions", world.agent_id);
    let body = r#"{"action_id": "pause-1", "action_type": "MicroVMPause",
        "params": {"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057"}}"#;
    assert_eq!(world.ask(&path, body).await, StatusCode::ACCEPTED);
    // Long after the request; the link of another connection is the same.
    let (say, mut link) = world.link().await;
    let Some(Ok(ToAgent::Deliver(delivery))) = link.next().await else { panic!("it is delivered") };
    let answer = FromAgent::Received { action_id: delivery.action_id, answer: Answer::Accepted };
    say.send(answer).await.unwrap();
    say.send(success(delivery.action.unwrap())).await.unwrap();
    assert!(matches!(link.next().await, Some(Ok(ToAgent::Acknowledge { seq: 1 }))));
    drop(link);

    let (mut drain, mut finished) = (drain.unwrap(), Vec::<FinishedSpan>::new());
    // The thread of the database lets go of an operation's span a moment after it has answered.
    let all = ["store key", "store ask", "store mark_sent", "store record_results"];
    while !all.iter().all(|name| finished.iter().any(|span| span.name == *name)) {
        drain.pass(|span| finished.extend(span.to_finished()));
        tokio::task::yield_now().await;
    }
    let root = finished.iter().find(|span| span.name == "http_request").unwrap();
    let trace_id = root.trace_id;
    finished.retain(|span| span.trace_id == trace_id);
    finished.sort_by_key(|span| span.start_unix_ns);
    let fields = ["otel.kind", "route", "tenant_id", "action_id", "correlation_id", "answer", "status"];
    assert_eq!(
        tree(&finished, &fields),
        "\
http_request otel.kind=server route=/v1/agents/{agent_id}/actions tenant_id=default action_id=pause-1 correlation_id=call-7 status=202
  store key otel.kind=client
  store ask otel.kind=client
  deliver otel.kind=producer tenant_id=default action_id=pause-1 correlation_id=call-7 answer=accepted
    store mark_sent otel.kind=client
    take in
      result otel.kind=consumer tenant_id=default action_id=pause-1 status=success
        store record_results otel.kind=client
"
    );
}

#[tokio::test]
async fn what_is_queued_says_what_it_waits_for() {
    const FULL: &str = "the disk of the state directory is full";
    let world = World::new().await;
    let body = r#"{"action_id": "pause-1", "action_type": "MicroVMPause",
        "params": {"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057"}}"#;
    assert_eq!(
        world.ask(&format!("/v1/agents/{}/actions", world.agent_id), body).await,
        StatusCode::ACCEPTED
    );
    let waits = || async { world.show("/v1/actions/pause-1").await["waiting_for"].clone() };
    assert_eq!(waits().await, "the agent is not connected: it is delivered when it comes back");

    let mut events = world.follow("/v1/actions/pause-1/events").await;
    let away = event(&mut events).await;
    assert_eq!((&away["status"], &away["waiting_for"]), (&json!("queued"), &waits().await));

    let (say, link) = world.link().await;
    let (_reader, mut deliveries) = deliveries(link);
    assert_eq!(event(&mut events).await["waiting_for"], Value::Null);
    for answer in [Answer::Busy(FULL.to_owned()), Answer::Accepted] {
        let delivery = deliveries.recv().await.unwrap();
        // While it is on its way again nothing is said anew, whatever else the agent says.
        let held = world.control.roster.holds_up(world.agent_id);
        say.send(FromAgent::Vms(VmReport::default())).await.unwrap();
        say.send(FromAgent::Received { action_id: delivery, answer: answer.clone() }).await.unwrap();
        let told = event(&mut events).await;
        assert_eq!(told, world.show("/v1/actions/pause-1").await);
        assert_eq!(told, world.show("/v1/actions").await["items"][0]);
        let why = format!("the host has no room for it now: {FULL}");
        if answer == Answer::Accepted {
            assert_eq!(held, Some(why));
            assert_eq!((&told["status"], &told["waiting_for"]), (&json!("delivered"), &Value::Null));
        } else {
            assert_eq!(held, None);
            assert_eq!((&told["status"], &told["waiting_for"]), (&json!("queued"), &json!(why)));
        }
    }
    // What else is queued waits for nothing that the host said before.
    assert_eq!(world.control.roster.holds_up(world.agent_id), None);
}

/// What is delivered on a link, which goes on whether somebody looks or not.
fn deliveries(mut link: ToAgentStream) -> (JoinSet<()>, mpsc::Receiver<ActionId>) {
    let (tell, told) = mpsc::channel(8);
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        while let Some(Ok(said)) = link.next().await {
            if let ToAgent::Deliver(delivery) = said
                && tell.send(delivery.action_id).await.is_err()
            {
                return;
            }
        }
    });
    (reader, told)
}

#[tokio::test]
async fn deletes_overtake_what_a_host_has_no_room_for_but_nothing_of_their_own_vm() {
    let world = World::new().await;
    let vm_id = |number: u32| format!("01890a5d-ac96-774b-bcce-{number:012}");
    let ask = async |action_id: &str, action_type: &str, vm: u32| {
        let path = format!("/v1/agents/{}/actions", world.agent_id);
        let body =
            json!({"action_id": action_id, "action_type": action_type, "params": {"vm_id": vm_id(vm)}});
        assert_eq!(world.ask(&path, &body.to_string()).await, StatusCode::ACCEPTED);
    };
    ask("pause-1", "MicroVMPause", 1).await;
    let (say, link) = world.link().await;
    let (_reader, mut deliveries) = deliveries(link);
    let answer = async |action_id: &ActionId, answer: Answer| {
        say.send(FromAgent::Received { action_id: action_id.clone(), answer }).await.unwrap();
    };
    let held = deliveries.recv().await.unwrap();
    answer(&held, Answer::Busy("full".to_owned())).await;
    ask("resume-2", "MicroVMResume", 2).await;
    ask("delete-1", "MicroVMDelete", 1).await;
    ask("delete-3", "MicroVMDelete", 3).await;
    let mut order = Vec::new();
    let is_full = || Answer::Busy("full".to_owned());
    // Some tries of what is held: before, beside and after the delete that overtakes.
    while order.len() < 2 {
        let delivered = deliveries.recv().await.unwrap();
        match delivered.as_str() {
            "pause-1" if order.is_empty() => answer(&delivered, is_full()).await,
            _ => {
                answer(&delivered, Answer::Accepted).await;
                order.push(delivered.to_string());
            }
        }
    }
    assert_eq!(order, ["delete-3", "pause-1"]);
    while order.len() < 4 {
        let delivered = deliveries.recv().await.unwrap();
        answer(&delivered, Answer::Accepted).await;
        // It is open yet, so it is told once more in its turn.
        if delivered.as_str() != "delete-3" {
            order.push(delivered.to_string());
        }
    }
    assert_eq!(order, ["delete-3", "pause-1", "resume-2", "delete-1"]);
}

/// The next of server-sent events.
async fn event(events: &mut BodyDataStream) -> Value {
    let chunk = events.next().await.unwrap().unwrap();
    let text = String::from_utf8(chunk.to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn outages_are_acknowledged_each_time_and_recorded_once() {
    let world = World::new().await;
    let outage = |began_at_ms| Outage {
        cause: OutageCause::Link,
        evidence: "DNS: no such name".to_owned(),
        began_at_ms,
        ended_at_ms: began_at_ms + 5,
        duration_ms: 5,
        by_wall_clock: false,
        failures: 1,
    };
    let told = |not_understood| {
        let outages = vec![(3, outage(10)), (4, outage(20))];
        let last_seq = 4 + u64::from(not_understood);
        FromAgent::Outages(Outages { ledger_id: "ledger".to_owned(), outages, last_seq, not_understood })
    };
    // The acknowledgement of the first link is lost; the second has one of a later version with it.
    for not_understood in [0, 1] {
        let (say, mut link) = world.link().await;
        say.send(told(not_understood)).await.unwrap();
        let Some(Ok(ToAgent::OutagesAcknowledged { ledger_id, seq })) = link.next().await else {
            panic!("they are acknowledged")
        };
        assert_eq!((ledger_id.as_str(), seq), ("ledger", 4 + u64::from(not_understood)));
    }
    let store = &world.control.store;
    let page = nkudo_store::Page::first(10);
    let filter = nkudo_store::OutageFilter::default();
    let listed = store.outages(&TenantId::default(), world.agent_id, &filter, &page).await.unwrap();
    assert_eq!(listed.items, [outage(20), outage(10)]);
    let agents = format!("/v1/agents/{}/outages", world.agent_id);
    for (path, status) in [
        (agents.clone(), StatusCode::OK),
        (format!("{agents}?cause=link&since=2026-01-02T03:04:05Z&limit=1"), StatusCode::OK),
        (format!("{agents}?cause=meteorite"), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("{agents}?since=yesterday"), StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/agents/00000009-0000-7000-8000-000000000000/outages".to_owned(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.get(&path).await, status, "{path}");
    }
}

#[tokio::test]
async fn a_request_that_fails_within_says_so_and_neither_probes_nor_looks_at_traces_begin_one() {
    let world = World::new().await;
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let _guard = tracing::subscriber::set_default(subscriber);
    for path in ["/healthz", "/readyz", "/metrics", "/v1/traces", "/v1/traces/4bf92f"] {
        world.ask(path, "").await;
        world.get(path).await;
    }
    for kind in [RpcErrorKind::Invalid, RpcErrorKind::Unauthenticated] {
        let refused = async { Err::<(), _>(RpcError::new(kind, "no")) };
        let empty = tracing::field::Empty;
        let span = tracing::info_span!("grpc Renew", refused = empty, error = empty);
        crate::grpc::within(span, refused.in_current_span()).await.unwrap_err();
    }
    let mut finished = Vec::new();
    drain.unwrap().pass(|span| finished.extend(span.to_finished()));
    let told: Vec<_> = finished.iter().map(|span| (&*span.name, span.failed)).collect();
    assert_eq!(told, [("grpc Renew", true), ("grpc Renew", false)]);
    let refused = finished.last().and_then(|span| span.attribute("refused")).map(ToString::to_string);
    assert_eq!(refused.as_deref(), Some("no"), "why is said all the same");
}
