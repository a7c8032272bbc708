//! What an action gets that comes without: an id and a trace; and the span that takes it in.

use nkudo_api::action::Origin;
use nkudo_domain::{Action, ActionId, SpanId, TraceId};
use tracing::Span;

/// A new action id (a UUIDv7) and a new trace.
pub fn new_origin() -> Origin {
    let action_id: ActionId =
        uuid::Uuid::now_v7().to_string().parse().expect("a UUID is made of what an action id may have");
    let trace_id = TraceId::from_bytes(nkudo_spans::TraceId::generate().to_bytes());
    Origin { action_id, trace_id, parent_span_id: None, correlation_id: None }
}

/// The span that takes an action in on this host: of the trace that came with the action, below the span that handed it
/// over. What is done for the action hangs below this one from here on. `kind` is its place in the trace as OpenTelemetry
/// tells it: `consumer` of a delivery, `server` of a request.
pub(crate) fn take_in(kind: &'static str, action: &mut Action) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "take in",
        otel.kind = kind,
        trace_id = action.trace_id.map(tracing::field::display),
        parent_span_id = action.parent_span_id.map(tracing::field::display),
        action_id = %action.action_id,
        correlation_id = action.correlation_id,
        admission = tracing::field::Empty,
    );
    // Without spans the parent stays whom the caller named.
    if let Some(here) = span.in_scope(nkudo_spans::current).filter(|_| !span.is_disabled()) {
        action.trace_id = TraceId::from_bytes(here.trace_id.to_bytes());
        action.parent_span_id = SpanId::from_bytes(here.span_id.to_bytes());
    }
    span
}
