//! The same spans behind the plain registry.

use nkudo_spans::{SpansOptions, current, spans};
use tracing::Level;
use tracing::metadata::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

#[test]
fn behind_a_registry_spans_are_the_same_and_other_layers_see_what_they_want() {
    let (own, drain) = spans(&SpansOptions { level: Level::INFO, ..SpansOptions::default() }, ());
    let other = tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(own.into_layer()).with(other);
    tracing::subscriber::with_default(subscriber, || {
        let outer = tracing::info_span!("outer", size = 1, late = tracing::field::Empty);
        outer.record("late", "yes");
        outer.in_scope(|| {
            let between = tracing::debug_span!("not ours");
            assert!(!between.is_disabled(), "the other layer takes it");
            between.in_scope(|| {
                let inner = tracing::info_span!("inner");
                inner.in_scope(|| tracing::error!("failed"));
                assert_eq!(inner.in_scope(current).unwrap().trace_id, current().unwrap().trace_id);
            });
        });
    });
    let mut finished = Vec::new();
    drain.unwrap().pass(|span| finished.extend(span.to_finished()));
    let [inner, outer] = &finished[..] else { panic!("{finished:?}") };
    assert_eq!((&*inner.name, &*outer.name), ("inner", "outer"));
    assert_eq!(inner.parent_id, Some(outer.span_id));
    assert!(inner.failed && !outer.failed);
    assert_eq!(outer.attributes.len(), 2);
}
