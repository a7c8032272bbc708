//! Gives every span its ids and the fields that go down to what is inside of it.

use std::fmt::{self, Write};

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context as LayerContext, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::ids::{SpanId, TraceId};
use crate::traceparent::Traceparent;

/// Longest text of a field that is carried, in bytes; longer ones are not carried.
const CARRIED_MAX_BYTES: usize = 256;
/// The field by which a span without parent joins a trace.
const TRACE_FIELD: &str = "trace_id";
/// The field that names the span of another program that such a span is inside of.
const PARENT_FIELD: &str = "parent_span_id";
/// The field that names the part that speaks.
const COMPONENT_FIELD: &str = "component";

/// What every span carries, and what its children take over.
#[derive(Debug, Clone)]
pub struct SpanData {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// The span around it, here or in the program that called; none at the root of a trace.
    pub parent_id: Option<SpanId>,
    /// The part that speaks, where a span named it.
    pub component: Option<String>,
    /// The context fields with their values.
    pub fields: Vec<(&'static str, String)>,
}

/// Where the program is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace_id: TraceId,
    /// The innermost span.
    pub span_id: SpanId,
}

impl Context {
    /// What a call to another program carries, marked as sampled.
    pub fn traceparent(&self) -> Traceparent {
        Traceparent { trace_id: self.trace_id, parent_id: self.span_id, sampled: true }
    }
}

/// The layer that gives spans their [`SpanData`], as an extension of theirs.
#[derive(Debug, Clone)]
pub struct SpanContext {
    carried: &'static [&'static str],
}

impl SpanContext {
    /// A layer that carries these fields from a span to everything inside of it.
    pub fn new(carried: &'static [&'static str]) -> Self {
        Self { carried }
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for SpanContext {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut taken = Taken::new(self.carried);
        attributes.record(&mut taken);
        let parent = span.parent();
        let parent = parent.as_ref().map(|parent| parent.extensions());
        let parent = parent.as_ref().and_then(|extensions| extensions.get::<SpanData>());
        let (trace_id, parent_id) = match (parent, taken.trace_id) {
            (Some(parent), _) => (parent.trace_id, Some(parent.span_id)),
            (None, Some(joined)) => (joined, taken.parent_id),
            // A parent without its trace says nothing.
            (None, None) => (TraceId::generate(), None),
        };
        let mut data = SpanData {
            trace_id,
            span_id: SpanId::generate(),
            parent_id,
            component: parent.and_then(|parent| parent.component.clone()),
            fields: parent.map(|parent| parent.fields.clone()).unwrap_or_default(),
        };
        taken.put_into(&mut data);
        span.extensions_mut().insert(data);
    }

    /// Fields recorded later hold for events and spans from then on. The trace stays, because children may have it.
    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut taken = Taken::new(self.carried);
        values.record(&mut taken);
        if let Some(data) = span.extensions_mut().get_mut::<SpanData>() {
            taken.put_into(data);
        }
    }
}

/// Where the program is now; none outside of every span, or without [`SpanContext`].
pub fn current() -> Option<Context> {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<tracing_subscriber::Registry>()?;
        let current = dispatch.current_span();
        let span = registry.span(current.id()?)?;
        let extensions = span.extensions();
        let data = extensions.get::<SpanData>()?;
        Some(Context { trace_id: data.trace_id, span_id: data.span_id })
    })
}

/// Takes what matters out of a span's fields.
struct Taken {
    carried: &'static [&'static str],
    trace_id: Option<TraceId>,
    parent_id: Option<SpanId>,
    component: Option<String>,
    fields: Vec<(&'static str, String)>,
}

impl Taken {
    fn new(carried: &'static [&'static str]) -> Self {
        Self { carried, trace_id: None, parent_id: None, component: None, fields: Vec::new() }
    }

    fn put_into(self, data: &mut SpanData) {
        data.component = self.component.or(data.component.take());
        for (name, value) in self.fields {
            match data.fields.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => data.fields.push((name, value)),
            }
        }
    }

    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        let carried = self.carried.iter().copied().find(|carried| *carried == name);
        if carried.is_none() && ![TRACE_FIELD, PARENT_FIELD, COMPONENT_FIELD].contains(&name) {
            return;
        }
        let mut text = Bounded(String::new());
        // A value that is too long, or that cannot be shown, is not carried.
        if text.write_fmt(value).is_err() {
            return;
        }
        match (name, carried) {
            (TRACE_FIELD, _) => self.trace_id = text.0.parse().ok(),
            (PARENT_FIELD, _) => self.parent_id = text.0.parse().ok(),
            (COMPONENT_FIELD, _) => self.component = Some(text.0),
            (_, Some(name)) => self.fields.push((name, text.0)),
            (_, None) => {}
        }
    }
}

/// A text that refuses to grow beyond its bound.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > CARRIED_MAX_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Visit for Taken {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }
}
