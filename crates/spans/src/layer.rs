//! Gives every span its ids and the fields that go down to what is inside of it.

use std::fmt;

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
/// The field that names the part that speaks.
const COMPONENT_FIELD: &str = "component";

/// What every span carries, and what its children take over.
#[derive(Debug, Clone)]
pub struct SpanData {
    pub trace_id: TraceId,
    pub span_id: SpanId,
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
    pub span_id: SpanId,
}

impl Context {
    /// For a call to another program.
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
        let mut taken = Taken { carried: self.carried, trace_id: None, component: None, fields: Vec::new() };
        attributes.record(&mut taken);
        let parent = span.parent();
        let parent = parent.as_ref().map(|parent| parent.extensions());
        let parent = parent.as_ref().and_then(|extensions| extensions.get::<SpanData>());
        let mut data = SpanData {
            trace_id: parent
                .map(|parent| parent.trace_id)
                .or(taken.trace_id)
                .unwrap_or_else(TraceId::generate),
            span_id: SpanId::generate(),
            parent_id: parent.map(|parent| parent.span_id),
            component: taken.component.take().or_else(|| parent.and_then(|parent| parent.component.clone())),
            fields: parent.map(|parent| parent.fields.clone()).unwrap_or_default(),
        };
        taken.put_into(&mut data.fields);
        span.extensions_mut().insert(data);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut taken = Taken { carried: self.carried, trace_id: None, component: None, fields: Vec::new() };
        values.record(&mut taken);
        if let Some(data) = span.extensions_mut().get_mut::<SpanData>() {
            taken.put_into(&mut data.fields);
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
    component: Option<String>,
    fields: Vec<(&'static str, String)>,
}

impl Taken {
    fn put_into(self, fields: &mut Vec<(&'static str, String)>) {
        for (name, value) in self.fields {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => fields.push((name, value)),
            }
        }
    }

    fn take(&mut self, field: &Field, value: &dyn fmt::Display) {
        let name = field.name();
        let carried = self.carried.iter().copied().find(|carried| *carried == name);
        if carried.is_none() && name != TRACE_FIELD && name != COMPONENT_FIELD {
            return;
        }
        let text = value.to_string();
        if text.len() > CARRIED_MAX_BYTES {
            return;
        }
        if name == TRACE_FIELD {
            self.trace_id = text.parse().ok();
        } else if name == COMPONENT_FIELD {
            self.component = Some(text);
        } else if let Some(name) = carried {
            self.fields.push((name, text));
        }
    }
}

impl Visit for Taken {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format_args!("{value:?}"));
    }
}
