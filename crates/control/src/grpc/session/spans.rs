//! The spans of actions on their way to their agent, and of their results on the way back. Each says whose it is, so that
//! its tenant may see it also where the span around it is missing.

use std::collections::HashMap;

use nkudo_domain::{Action, ActionId, SpanId, TraceId};
use nkudo_pki::AgentIdentity;
use tracing::Span;
use tracing::field::Empty;

/// Deliveries that their agent has not answered: as many as the link's window has.
#[derive(Debug, Default)]
pub(super) struct Deliveries(HashMap<ActionId, Span>);

impl Deliveries {
    /// An action is about to be sent. It names this span as the one that hands it over; the books keep the request's.
    pub(super) fn begin(&mut self, action: &mut Action, identity: &AgentIdentity) -> Span {
        let span = tracing::info_span!(
            parent: None,
            "deliver",
            otel.kind = "producer",
            trace_id = action.trace_id.map(display),
            parent_span_id = action.parent_span_id.map(display),
            tenant_id = %identity.tenant_id,
            agent_id = %identity.agent_id,
            action_id = %action.action_id,
            correlation_id = action.correlation_id,
            answer = Empty,
        );
        if let Some(here) = span.in_scope(nkudo_spans::current).filter(|_| !span.is_disabled()) {
            action.trace_id = TraceId::from_bytes(here.trace_id.to_bytes());
            action.parent_span_id = SpanId::from_bytes(here.span_id.to_bytes());
        }
        self.0.insert(action.action_id.clone(), span.clone());
        span
    }

    /// It was not sent: it has ended meanwhile.
    pub(super) fn drop_unsent(&mut self, action_id: &ActionId) {
        self.0.remove(action_id);
    }

    pub(super) fn answered(&mut self, action_id: &ActionId, answer: &'static str) {
        if let Some(span) = self.0.remove(action_id) {
            span.record("answer", answer);
        }
    }
}

/// The span that takes in the end of an action, below the one that took it in on its host.
pub(super) fn result(action: &Action, status: &'static str, identity: &AgentIdentity) -> Span {
    tracing::info_span!(
        parent: None,
        "result",
        otel.kind = "consumer",
        trace_id = action.trace_id.map(display),
        parent_span_id = action.parent_span_id.map(display),
        tenant_id = %identity.tenant_id,
        agent_id = %identity.agent_id,
        action_id = %action.action_id,
        status,
    )
}
