//! Spans take their trace from where they are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nkudo_spans::{SpanContext, SpanData, SpanId, TraceId, current};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

#[test]
fn a_child_has_its_parents_trace_and_a_root_one_of_its_own() {
    let subscriber = tracing_subscriber::registry().with(SpanContext::new(&[]));
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(current(), None);
        let root = tracing::info_span!("root");
        let outer = root.in_scope(current).unwrap();
        let inner = root.in_scope(|| tracing::info_span!("child").in_scope(current)).unwrap();
        assert_eq!(inner.trace_id, outer.trace_id);
        assert_ne!(inner.span_id, outer.span_id);
        let other = tracing::info_span!("other").in_scope(current).unwrap();
        assert_ne!(other.trace_id, outer.trace_id);
        assert_eq!(inner.traceparent().parent_id, inner.span_id);
    });
}

#[test]
fn a_root_joins_the_trace_it_names_and_ignores_nonsense() {
    let subscriber = tracing_subscriber::registry().with(SpanContext::new(&[]));
    tracing::subscriber::with_default(subscriber, || {
        let trace_id = TraceId::generate();
        let joined = tracing::info_span!("joined", %trace_id).in_scope(current).unwrap();
        assert_eq!(joined.trace_id, trace_id);
        for nonsense in ["", "xyz", &"0".repeat(32), &"f".repeat(1 << 20)] {
            assert!(tracing::info_span!("nonsense", trace_id = nonsense).in_scope(current).is_some());
        }
    });
}

/// Tells what each span carries when it is entered.
struct Tell(std::sync::mpsc::SyncSender<SpanData>);

impl<S: tracing::Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Tell {
    fn on_enter(&self, id: &tracing::span::Id, context: Context<'_, S>) {
        let data = context.span(id).and_then(|span| span.extensions().get::<SpanData>().cloned());
        self.0.send(data.unwrap()).unwrap();
    }
}

/// What the spans that `say` enters carry, in the order of entering.
fn told(say: impl FnOnce()) -> Vec<SpanData> {
    let (tell, told) = std::sync::mpsc::sync_channel(16);
    let subscriber = tracing_subscriber::registry().with(SpanContext::new(&["job", "late"])).with(Tell(tell));
    tracing::subscriber::with_default(subscriber, say);
    told.try_iter().collect()
}

#[test]
fn context_fields_go_down_and_the_inner_one_wins() {
    let told = told(|| {
        let outer = tracing::info_span!("outer", job = "a", other = 1, late = tracing::field::Empty);
        outer.record("late", 7);
        outer.in_scope(|| tracing::info_span!("inner", job = "b").in_scope(|| ()));
        let long = "x".repeat(1_000);
        tracing::info_span!("long", job = long).in_scope(|| ());
    });
    let carried: Vec<Vec<(&str, &str)>> = told
        .iter()
        .map(|data| data.fields.iter().map(|(name, value)| (*name, value.as_str())).collect())
        .collect();
    assert_eq!(carried, [vec![("job", "a"), ("late", "7")], vec![("job", "b"), ("late", "7")], vec![]]);
}

#[test]
fn a_root_has_the_parent_it_names_in_the_trace_it_joins() {
    let (trace_id, parent) = (TraceId::generate(), SpanId::generate());
    let told = told(|| {
        let joined = tracing::info_span!("joined", %trace_id, parent_span_id = %parent);
        joined.in_scope(|| tracing::info_span!("inside", parent_span_id = %parent).in_scope(|| ()));
        tracing::info_span!("no trace", parent_span_id = %parent).in_scope(|| ());
        tracing::info_span!("no parent", %trace_id, parent_span_id = "nonsense").in_scope(|| ());
    });
    let parents: Vec<Option<SpanId>> = told.iter().map(|data| data.parent_id).collect();
    assert_eq!(parents, [Some(parent), Some(told[0].span_id), None, None]);
    let joined: Vec<bool> = told.iter().map(|data| data.trace_id == trace_id).collect();
    assert_eq!(joined, [true, true, false, true]);
}

#[test]
fn a_component_goes_down_and_may_come_late() {
    let told = told(|| {
        let outer = tracing::info_span!("outer", component = tracing::field::Empty);
        outer.record("component", "door");
        outer.in_scope(|| tracing::info_span!("inner").in_scope(|| ()));
        outer.in_scope(|| tracing::info_span!("other", component = "lock").in_scope(|| ()));
    });
    let components: Vec<&str> = told.iter().map(|data| data.component.as_deref().unwrap()).collect();
    assert_eq!(components, ["door", "door", "door", "lock"]);
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
    let told = told(|| {
        let span = tracing::info_span!("span", job = %Failing, late = true, trace_id = %Failing);
        span.in_scope(|| ());
    });
    assert_eq!(told[0].fields, [("late", "true".to_owned())]);
}
