//! The spans of an action: one tree, which has ended when the outcome can be learned.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use nkudo_domain::{Action, SpanId, TraceId};
use nkudo_executor::{Event, Handle};
use nkudo_journal::SimulatedDisk;
use nkudo_spans::{Events, FinishedSpan, Here, SpanDrain, Spans, SpansOptions, spans};
use serde_json::json;
use tracing::field::{Empty, Field};
use tracing::metadata::LevelFilter;
use tracing::{Instrument as _, Metadata, Span};

use crate::world::{World, create, faulty, hanging, pause};

/// Spans and their drain; spans of this thread go there as long as the guard lives.
fn listen() -> (tracing::subscriber::DefaultGuard, SpanDrain) {
    let (subscriber, drain): (Spans<()>, _) = spans(&SpansOptions::default(), ());
    (tracing::subscriber::set_default(subscriber), drain.unwrap())
}

/// The action as the span brings it.
fn brought_by(span: &Span, action: Action) -> Action {
    let context = span.in_scope(nkudo_spans::current).unwrap();
    Action {
        trace_id: TraceId::from_bytes(context.trace_id.to_bytes()),
        parent_span_id: SpanId::from_bytes(context.span_id.to_bytes()),
        correlation_id: Some("call-7".to_owned()),
        ..action
    }
}

fn bringing() -> Span {
    tracing::info_span!("bring", admission = Empty)
}

/// Asks for an action within a span and waits until its end is told. Answers what has ended by then of its trace.
async fn spans_of(handle: &Handle, drain: &mut SpanDrain, action: Action) -> Vec<FinishedSpan> {
    let mut events = handle.events();
    let span = bringing();
    let action = brought_by(&span, action);
    let action_id = action.action_id.clone();
    let trace_id = action.trace_id.unwrap().to_string();
    let answered = handle.submit_later(action).instrument(span).await.unwrap();
    answered.await.unwrap();
    loop {
        if let Event::Action { view, .. } = events.recv().await.unwrap()
            && view.action_id == action_id
            && view.completed_at.is_some()
        {
            break;
        }
    }
    let mut finished = Vec::new();
    drain.pass(|span| finished.extend(span.to_finished()));
    finished.retain(|span| span.trace_id.to_string() == trace_id);
    finished.sort_by_key(|span| span.start_unix_ns);
    finished
}

/// The tree of spans: names, and what is asked for of their fields. Panics when a span but the first has no parent in it.
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
        for field in fields {
            if let Some(value) = span.attribute(field) {
                write!(text, " {field}={value}").unwrap();
            }
        }
        text.push_str(if span.failed { " FAILED\n" } else { "\n" });
    }
    text
}

async fn check(action: Action, fields: &[&str], expected: &str) {
    let (_guard, mut drain) = listen();
    let world = World::on(SimulatedDisk::new()).await;
    let spans = spans_of(&world.handle, &mut drain, action).await;
    assert_eq!(tree(&spans, fields), expected);
}

#[tokio::test]
async fn an_action_is_one_tree_of_spans() {
    let fields =
        ["admission", "action_id", "correlation_id", "status", "record", "number", "deed", "provider"];
    check(
        create(1),
        &fields,
        "\
bring admission=New
  message
  MicroVMCreate action_id=create-1 correlation_id=call-7 status=success
    waited in the lane
    journal append record=accepted
    journal append record=started
    attempt number=1 deed=Create
      provider create provider=simulated
      provider boot provider=simulated
      provider observe
    journal append record=ended
",
    )
    .await;
}

#[tokio::test]
async fn the_deepest_span_that_failed_tells_why() {
    check(
        faulty(1, &json!({"simulated.fail": "boot"})),
        &["deed", "error"],
        "\
bring
  message
  MicroVMCreate error=simulated failure of boot FAILED
    waited in the lane
    journal append
    journal append
    attempt deed=Create error=simulated failure of boot FAILED
      provider create
      provider boot error=simulated failure of boot FAILED
      provider observe
    attempt deed=Delete
      provider delete
      provider observe
    journal append
",
    )
    .await;
}

#[tokio::test]
async fn each_attempt_is_a_span() {
    check(
        faulty(1, &json!({"simulated.fail": "create", "simulated.fail_times": "1"})),
        &["number", "status", "error"],
        "\
bring
  message
  MicroVMCreate status=success
    waited in the lane
    journal append
    journal append
    attempt number=1 error=simulated failure of create FAILED
      provider create error=simulated failure of create FAILED
      provider observe
    attempt number=2
      provider delete
      provider create
      provider boot
      provider observe
    journal append
",
    )
    .await;
}

#[tokio::test]
async fn an_append_that_fails_says_why() {
    let (_guard, mut drain) = listen();
    let mut world = World::on(SimulatedDisk::new()).await;
    let next = world.disk.operations();
    world.disk.fail(next + 1..u64::MAX);
    assert!(world.handle.submit(brought_by(&bringing(), create(1))).await.is_err());
    world.run.join_next().await.unwrap().unwrap().unwrap_err();
    let mut finished = Vec::new();
    drain.pass(|span| finished.extend(span.to_finished()));
    let appends: Vec<_> = finished.iter().filter(|span| span.name == "journal append").collect();
    assert!(!appends.is_empty());
    for append in appends {
        assert!(append.failed && append.attribute("error").is_some(), "{append:?}");
    }
}

#[tokio::test]
async fn an_action_waits_in_its_lane_as_long_as_the_one_before() {
    let (_guard, mut drain) = listen();
    let world = World::on(SimulatedDisk::new()).await;
    let first = hanging(1);
    world.handle.submit(first.clone()).await.unwrap();
    let second = brought_by(&bringing(), pause(2, &first));
    world.handle.submit(second.clone()).await.unwrap();
    world.handle.cancel(first.action_id.clone()).await.unwrap();
    world.handle.wait(&second.action_id).await.unwrap();
    let mut finished = Vec::new();
    drain.pass(|span| finished.extend(span.to_finished()));
    let end_of = |name: &str, trace_id: Option<TraceId>| {
        let of_trace =
            |span: &&FinishedSpan| trace_id.is_none_or(|id| id.to_string() == span.trace_id.to_string());
        finished.iter().filter(of_trace).find(|span| span.name == name).unwrap().end_unix_ns()
    };
    assert!(end_of("waited in the lane", second.trace_id) >= end_of("MicroVMCreate", None));
}

/// The message of a line, and what it takes from the spans around.
type Line = (String, Vec<(&'static str, String)>);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Events for Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nkudo_executor")
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::INFO
    }

    fn event(&self, event: &tracing::Event<'_>, here: Option<Here<'_>>) {
        let mut said = here.map(|here| here.carried()).unwrap_or_default();
        said.extend(here.and_then(|here| here.context()).map(|at| ("trace_id", at.trace_id.to_string())));
        let mut message = String::new();
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            if field.name() == "message" {
                message = format!("{value:?}");
            }
        });
        self.0.lock().unwrap().push((message, said));
    }
}

#[tokio::test]
async fn lines_of_an_action_say_whose_they_are() {
    let lines = Lines::default();
    let options = SpansOptions { carried: &["action_id", "correlation_id"], ..SpansOptions::default() };
    let (subscriber, _drain) = spans(&options, lines.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::on(SimulatedDisk::new()).await;
    let action = brought_by(&bringing(), create(1));
    world.handle.submit(action.clone()).await.unwrap();
    world.handle.wait(&action.action_id).await.unwrap();
    let mut expected = vec![
        ("action_id", action.action_id.to_string()),
        ("correlation_id", "call-7".to_owned()),
        ("trace_id", action.trace_id.unwrap().to_string()),
    ];
    expected.sort();
    for message in ["action started", "action succeeded"] {
        let lines = lines.0.lock().unwrap();
        let (_, said) = lines.iter().find(|(told, _)| told == message).unwrap();
        let mut said = said.clone();
        said.sort();
        assert_eq!(said, expected, "{message}");
    }
}

/// The program was killed: what the next one does hangs below the span that is stored with the action.
#[tokio::test]
async fn an_action_goes_on_in_its_trace_after_a_restart() {
    let (_guard, mut drain) = listen();
    let world = World::on(SimulatedDisk::new()).await;
    let action = brought_by(&bringing(), hanging(1));
    world.handle.submit(action.clone()).await.unwrap();
    let world = world.after_crash().await;
    drain.pass(|_| ());
    world.handle.cancel(action.action_id.clone()).await.unwrap();
    world.handle.wait(&action.action_id).await.unwrap();
    let mut finished = Vec::new();
    drain.pass(|span| finished.extend(span.to_finished()));
    let execution = finished.iter().find(|span| span.name == "MicroVMCreate").unwrap();
    assert_eq!(Some(execution.trace_id.to_string()), action.trace_id.map(|id| id.to_string()));
    assert_eq!(execution.parent_id.map(|id| id.to_string()), action.parent_span_id.map(|id| id.to_string()));
}
