//! Spans take their trace from where they are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nkudo_spans::{SpanContext, SpanData, TraceId, current};
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

/// Tells the context fields of each new span.
struct Tell(std::sync::mpsc::SyncSender<Vec<(&'static str, String)>>);

impl<S: tracing::Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Tell {
    fn on_enter(&self, id: &tracing::span::Id, context: Context<'_, S>) {
        let fields =
            context.span(id).and_then(|span| span.extensions().get::<SpanData>().map(|d| d.fields.clone()));
        self.0.send(fields.unwrap()).unwrap();
    }
}

#[test]
fn context_fields_go_down_and_the_inner_one_wins() {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let subscriber = tracing_subscriber::registry().with(SpanContext::new(&["job", "late"])).with(Tell(tell));
    tracing::subscriber::with_default(subscriber, || {
        let outer = tracing::info_span!("outer", job = "a", other = 1, late = tracing::field::Empty);
        outer.record("late", 7);
        outer.in_scope(|| tracing::info_span!("inner", job = "b").in_scope(|| ()));
        let long = "x".repeat(1_000);
        tracing::info_span!("long", job = long).in_scope(|| ());
    });
    let fields = |pairs: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    assert_eq!(told.recv().unwrap(), fields(&[("job", "a"), ("late", "7")]));
    assert_eq!(told.recv().unwrap(), fields(&[("job", "b"), ("late", "7")]));
    assert_eq!(told.recv().unwrap(), fields(&[]));
}
