//! Spans take their trace from where they are, and events what the spans around carry.

use std::sync::{Arc, Mutex};

use nkudo_spans::{Context, Events, Here, SpanId, SpansOptions, TraceId, current, spans};
use tracing::metadata::LevelFilter;
use tracing::{Event, Metadata};

use crate::finished;

#[test]
fn a_child_has_its_parents_trace_and_a_root_one_of_its_own() {
    let spans = finished(&SpansOptions::default(), || {
        assert_eq!(current(), None);
        let root = tracing::info_span!("root");
        let outer = root.in_scope(current).unwrap();
        let inner = root.in_scope(|| tracing::info_span!("child").in_scope(current)).unwrap();
        assert_eq!(inner.trace_id, outer.trace_id);
        assert_ne!(inner.span_id, outer.span_id);
        let other = tracing::info_span!("other").in_scope(current).unwrap();
        assert_ne!(other.trace_id, outer.trace_id);
        assert_eq!(inner.traceparent().parent_id, inner.span_id);
        let named = tracing::info_span!(parent: &root, "named").in_scope(current).unwrap();
        assert_eq!(named.trace_id, outer.trace_id);
        let alone = root.in_scope(|| tracing::info_span!(parent: None, "alone").in_scope(current)).unwrap();
        assert_ne!(alone.trace_id, outer.trace_id);
    });
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["child", "other", "named", "alone", "root"]);
    let root = spans[4].span_id;
    let parents: Vec<Option<SpanId>> = spans.iter().map(|span| span.parent_id).collect();
    assert_eq!(parents, [Some(root), None, Some(root), None, None]);
}

#[test]
fn a_root_joins_the_trace_it_names_with_its_parent_and_ignores_nonsense() {
    let (trace_id, parent) = (TraceId::generate(), SpanId::generate());
    let spans = finished(&SpansOptions::default(), || {
        let joined = tracing::info_span!("joined", %trace_id, parent_span_id = %parent);
        joined.in_scope(|| tracing::info_span!("inside", parent_span_id = %parent).in_scope(|| ()));
        drop(joined);
        tracing::info_span!("no trace", parent_span_id = %parent).in_scope(|| ());
        tracing::info_span!("no parent", %trace_id, parent_span_id = "nonsense").in_scope(|| ());
        for nonsense in ["", "xyz", &"0".repeat(32), &"f".repeat(1 << 20)] {
            assert!(tracing::info_span!("nonsense", trace_id = nonsense).in_scope(current).is_some());
        }
    });
    let [inside, joined, ..] = &spans[..] else { panic!("{spans:?}") };
    let told: Vec<(&str, bool, Option<SpanId>)> =
        spans.iter().map(|span| (&*span.name, span.trace_id == trace_id, span.parent_id)).collect();
    assert_eq!(told[..2], [("inside", true, Some(joined.span_id)), ("joined", true, Some(parent))]);
    assert_eq!(told[2..4], [("no trace", false, None), ("no parent", true, None)]);
    assert!(
        told[4..].iter().all(|(name, joined, parent)| *name == "nonsense" && !joined && parent.is_none())
    );
    assert_ne!(inside.span_id, joined.span_id);
}

/// Where an event happened, and what the spans around carried there.
type Where = (Option<Context>, Vec<(&'static str, String)>);

/// Every event in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Where>>>);

impl Events for Told {
    fn wants(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::TRACE
    }

    fn event(&self, _: &Event<'_>, here: Option<Here<'_>>) {
        let context = here.as_ref().and_then(Here::context);
        self.0.lock().unwrap().push((context, here.map(|here| here.carried()).unwrap_or_default()));
    }
}

fn check_carried(say: impl FnOnce(), expected: &[&[(&str, &str)]]) {
    let told = Told::default();
    let options = SpansOptions { carried: &["job", "late"], ..SpansOptions::default() };
    let (subscriber, _drain) = spans(&options, told.clone());
    tracing::subscriber::with_default(subscriber, say);
    let told = told.0.lock().unwrap();
    let carried: Vec<Vec<(&str, &str)>> = told
        .iter()
        .map(|(_, carried)| carried.iter().map(|(name, text)| (*name, text.as_str())).collect())
        .collect();
    assert_eq!(carried, expected);
}

fn event() {
    tracing::trace!("here");
}

#[test]
fn context_fields_go_down_and_the_inner_one_wins() {
    check_carried(
        || {
            event();
            let outer = tracing::info_span!("outer", job = "a", other = 1, late = tracing::field::Empty);
            let begun_before = outer.in_scope(|| tracing::info_span!("begun before"));
            outer.record("late", 7);
            outer.in_scope(event);
            outer.in_scope(|| tracing::info_span!("inner", job = "b").in_scope(event));
            begun_before.in_scope(event);
            outer.in_scope(event);
            tracing::info_span!("long", job = "x".repeat(1_000)).in_scope(event);
        },
        &[
            &[],
            &[("job", "a"), ("late", "7")],
            &[("job", "b"), ("late", "7")],
            &[("job", "a")],
            &[("job", "a"), ("late", "7")],
            &[],
        ],
    );
}

#[test]
fn a_component_goes_down_and_may_come_late() {
    check_carried(
        || {
            let outer = tracing::info_span!("outer", component = tracing::field::Empty);
            outer.record("component", "door");
            outer.in_scope(|| tracing::info_span!("inner").in_scope(event));
            outer.in_scope(|| tracing::info_span!("other", component = "lock").in_scope(event));
        },
        &[&[("component", "door")], &[("component", "lock")]],
    );
}

/// Cannot be shown.
struct Failing;

impl std::fmt::Display for Failing {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

#[test]
fn a_value_that_cannot_be_shown_is_not_carried() {
    check_carried(
        || {
            let span = tracing::info_span!("span", job = %Failing, late = true, trace_id = %Failing);
            span.in_scope(event);
        },
        &[&[("late", "true")]],
    );
}

#[test]
fn what_is_carried_reaches_spans_on_other_threads_after_its_own_has_ended() {
    check_carried(
        || {
            let outer = tracing::info_span!("outer", job = "a");
            let inner = outer.in_scope(|| tracing::info_span!("inner"));
            drop(outer);
            // Whoever takes the place of what has ended changes nothing here.
            tracing::info_span!("another", job = "b").in_scope(|| ());
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            std::thread::scope(|scope| {
                let work = move || tracing::dispatcher::with_default(&dispatch, || inner.in_scope(event));
                scope.spawn(work).join().unwrap();
            });
        },
        &[&[("job", "a")]],
    );
}

#[test]
fn an_event_is_told_the_innermost_span_that_is_entered() {
    let told = Told::default();
    let (subscriber, _drain) = spans(&SpansOptions::default(), told.clone());
    let expected = tracing::subscriber::with_default(subscriber, || {
        let (a, b) = (tracing::info_span!("a"), tracing::info_span!("b"));
        let [in_a, in_b] = [&a, &b].map(|span| span.in_scope(current));
        let a_entered = a.enter();
        event();
        let b_entered = b.enter();
        event();
        // Left before what lies in it.
        drop(a_entered);
        event();
        drop(b_entered);
        event();
        tracing::trace!(parent: &a, "here");
        [in_a, in_b, in_b, None, in_a]
    });
    let told: Vec<Option<Context>> = told.0.lock().unwrap().iter().map(|(context, _)| *context).collect();
    assert_eq!(told, expected);
}
