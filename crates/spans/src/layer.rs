//! The same spans behind `tracing_subscriber::Registry`, for programs that need layers of others beside.

use std::fmt;

use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::entered;
use crate::slab::{Key, Place};
use crate::subscriber::{Events, Spans};

/// Takes spans and events as [`Spans`] does, as one layer among others. The registry keeps each span a second time, which
/// costs what it costs beside.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let (spans, drain) = nkudo_spans::spans(&nkudo_spans::SpansOptions::default(), ());
/// let subscriber = tracing_subscriber::registry().with(spans.into_layer());
/// tracing::subscriber::with_default(subscriber, || tracing::info_span!("work").in_scope(|| ()));
/// let mut names = Vec::new();
/// drain.unwrap().pass(|span| names.extend(span.to_finished().map(|span| span.name)));
/// assert_eq!(names, ["work"]);
/// ```
pub struct SpansLayer<E>(pub(crate) Spans<E>);

/// The key of our span, among what the registry keeps of its own.
struct Ours(Id);

impl<E: Events> SpansLayer<E> {
    fn ours<S: Subscriber + for<'l> LookupSpan<'l>>(id: &Id, context: &Context<'_, S>) -> Option<Id> {
        context.span(id)?.extensions().get::<Ours>().map(|ours| ours.0.clone())
    }

    fn parent<S: Subscriber + for<'l> LookupSpan<'l>>(
        &self,
        explicit: Option<&Id>,
        is_contextual: bool,
        context: &Context<'_, S>,
    ) -> Option<(Key, &'static Place)> {
        let spans = &self.0.0;
        if is_contextual { spans.current() } else { spans.find(&Self::ours(explicit?, context)?) }
    }
}

impl<E: Events, S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for SpansLayer<E> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Other layers may want what this one does not; each call asks again.
        if Subscriber::register_callsite(&self.0, metadata).is_always() {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        None
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let spans = &self.0.0;
        if !spans.wants_span(attributes.metadata()) {
            return;
        }
        let parent = self.parent(attributes.parent(), attributes.is_contextual(), &context);
        let ours = spans.new_span(attributes, parent.map(|(_, place)| place));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Ours(ours));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(ours) = Self::ours(id, &context) {
            self.0.0.record(&ours, values);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if Subscriber::enabled(&self.0, event.metadata()) {
            let at = self.parent(event.parent(), event.is_contextual(), &context);
            self.0.0.event(self.0.events(), event, at);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(ours) = Self::ours(id, &context) {
            entered::enter(Key(ours.into_u64()));
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some(ours) = Self::ours(id, &context) {
            entered::exit(Key(ours.into_u64()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(ours) = Self::ours(&id, &context) {
            self.0.0.try_close(&ours);
        }
    }
}

impl<E> fmt::Debug for SpansLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SpansLayer").field(&self.0).finish()
    }
}
