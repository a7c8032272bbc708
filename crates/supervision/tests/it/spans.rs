//! Starts, stops and messages as spans.

use std::time::Duration;

use nkudo_spans::{AttributeValue, FinishedSpan, SpanDrain, SpansOptions, spans};
use nkudo_supervision::ComponentSpec;
use tracing::Instrument as _;

use crate::{serve, supervisor};

/// Spans of this thread go to the drain as long as the guard lives.
fn listen() -> (tracing::subscriber::DefaultGuard, SpanDrain) {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    (tracing::subscriber::set_default(subscriber), drain.unwrap())
}

fn finished(drain: &mut SpanDrain) -> Vec<FinishedSpan> {
    let mut finished = Vec::new();
    drain.pass(|span| finished.extend(span.to_finished()));
    finished
}

fn text(span: &FinishedSpan, field: &str) -> Option<String> {
    span.attribute(field).map(ToString::to_string)
}

#[tokio::test(start_paused = true)]
async fn each_start_and_stop_of_a_component_is_a_span() {
    let (_guard, mut drain) = listen();
    let (_registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("hangs"), |_| std::future::pending());
    supervisor.start(ComponentSpec::new("ends"), serve);
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await, ["hangs"]);
    let told: Vec<_> = finished(&mut drain)
        .iter()
        .map(|span| (span.name.to_string(), text(span, "component").unwrap(), span.failed))
        .collect();
    let expected = [
        ("component start", "hangs", false),
        ("component start", "ends", false),
        ("component stop", "ends", false),
        ("component stop", "hangs", true),
    ];
    assert_eq!(
        told,
        expected.map(|(name, component, failed)| (name.to_owned(), component.to_owned(), failed))
    );
}

#[tokio::test(start_paused = true)]
async fn a_component_that_starts_again_says_which_run_it_is() {
    let (_guard, mut drain) = listen();
    let (_registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("fails"), |_| async { Err(std::io::Error::other("always").into()) });
    supervisor.failed().await;
    let runs: Vec<_> = finished(&mut drain).iter().map(|span| span.attribute("run").cloned()).collect();
    assert_eq!(runs, (1..=6).map(|run| Some(AttributeValue::Integer(run))).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_message_is_a_span_of_its_senders_trace_until_it_is_handled() {
    let (_guard, mut drain) = listen();
    let (_registry, supervisor) = supervisor();
    let (sender, mut receiver) = supervisor.mailbox("box", 2);
    sender.send("alone").await.unwrap();
    sender.send("traced").instrument(tracing::info_span!("request")).await.unwrap();
    receiver.recv().await.unwrap();
    tokio::time::advance(Duration::from_millis(20)).await;
    receiver.recv().await.unwrap();
    let names = |spans: &[FinishedSpan]| spans.iter().map(|span| span.name.to_string()).collect::<Vec<_>>();
    let before = finished(&mut drain);
    assert_eq!(names(&before), ["request"], "the one that was sent alone begins no trace");
    receiver.handled();
    let after = finished(&mut drain);
    assert_eq!(names(&after), ["message"]);
    assert_eq!(
        (after[0].parent_id, text(&after[0], "to")),
        (Some(before[0].span_id), Some("box".to_owned()))
    );
}
