//! Deeds as spans: what a VMM was waited for, and where it failed.

use std::time::Duration;

use nkudo_domain::Machine;
use nkudo_providers::Provider as _;
use nkudo_providers::qemu::Qemu;
use nkudo_spans::{FinishedSpan, SpanDrain, SpansOptions, spans};
use tracing::Instrument as _;

use super::starting::script;
use crate::world::World;

/// Spans of this thread go to the drain as long as the guard lives.
fn listen() -> (tracing::subscriber::DefaultGuard, SpanDrain) {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    (tracing::subscriber::set_default(subscriber), drain.unwrap())
}

fn deed() -> tracing::Span {
    tracing::info_span!("deed")
}

/// What ended since, by its start; names that follow each other count once.
fn finished(drain: &mut SpanDrain) -> (Vec<FinishedSpan>, Vec<String>) {
    let mut finished = Vec::new();
    drain.pass(|span| finished.extend(span.to_finished()));
    finished.sort_by_key(|span: &FinishedSpan| span.start_unix_ns);
    let mut names: Vec<String> = finished.iter().map(|span| span.name.to_string()).collect();
    names.dedup();
    (finished, names)
}

#[tokio::test]
async fn the_steps_of_each_deed_are_spans_and_a_look_by_itself_is_none() {
    let (_guard, mut drain) = listen();
    let world = World::new();
    let (qemu, spec) = (world.qemu(), world.spec(Machine::Microvm, ""));
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).instrument(deed()).await.unwrap();
    let (spans, names) = finished(&mut drain);
    assert_eq!(names, ["deed", "lock", "spawn", "wait for QMP", "qmp query-status", "wait for events"]);
    assert!(spans.iter().all(|span| !span.failed), "{spans:#?}");
    let status = spans.iter().find(|span| span.name == "qmp query-status").unwrap();
    let waiting = spans.iter().find(|span| span.name == "wait for QMP").unwrap();
    assert_eq!(status.parent_id, Some(waiting.span_id));
    let pid = qemu.identity(spec.vm_id).unwrap().pid.to_string();
    let told = spans.iter().find_map(|span| span.attribute("pid"));
    assert_eq!(told.map(ToString::to_string), Some(pid));

    qemu.pause(spec.vm_id).instrument(deed()).await.unwrap();
    assert_eq!(finished(&mut drain).1, ["deed", "qmp stop", "qmp query-status"]);
    qemu.observe(spec.vm_id).await.unwrap();
    qemu.counters(spec.vm_id).await.unwrap();
    assert_eq!(finished(&mut drain).1, Vec::<String>::new());
    // Long enough for the button to be pressed, also on a busy host.
    let grace = Duration::from_millis(500);
    qemu.power_off(spec.vm_id, grace).instrument(deed()).await.unwrap();
    let names = finished(&mut drain).1;
    assert_eq!(names[..2], ["deed", "qmp system_powerdown"], "{names:?}");
    assert!(names.iter().any(|name| name == "wait for guest"), "{names:?}");
}

#[tokio::test]
async fn a_boot_that_fails_says_where() {
    let (_guard, mut drain) = listen();
    let world = World::new();
    let qemu = Qemu::new(script(&world, "echo 'no such machine' >&2; exit 3"));
    let spec = world.spec(Machine::Q35, "");
    qemu.create(&spec).await.unwrap();
    let error = qemu.boot(&spec).instrument(deed()).await.unwrap_err();
    let (spans, _) = finished(&mut drain);
    let failed: Vec<_> = spans
        .iter()
        .filter(|span| span.failed)
        .map(|span| (span.name.to_string(), span.attribute("error").map(ToString::to_string)))
        .collect();
    assert_eq!(failed, [("wait for QMP".to_owned(), Some(error.to_string()))]);
}
