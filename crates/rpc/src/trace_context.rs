//! Where an action and a call stand in their traces, on their way over the wire.

use nkudo_domain::{Action, SpanId, TraceId};
use nkudo_spans::Traceparent;
use tonic::metadata::MetadataValue;

/// The metadata that name the span which makes a call (W3C Trace Context).
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A request that says which span makes it: the one that the program is in.
pub(crate) fn traced<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(context) = nkudo_spans::current()
        && let Ok(traceparent) = MetadataValue::try_from(context.traceparent().to_string())
    {
        request.metadata_mut().insert(TRACEPARENT, traceparent);
    }
    request
}

/// The trace of an action, and the span in it that hands the action over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) parent_span_id: Option<SpanId>,
}

impl TraceContext {
    pub(crate) fn of(action: &Action) -> Self {
        Self { trace_id: action.trace_id, parent_span_id: action.parent_span_id }
    }

    /// An action that was stored by a version which kept no span still has its trace, which needs some span to be told.
    pub(crate) fn traceparent(self) -> Option<Traceparent> {
        let trace_id = nkudo_spans::TraceId::from_bytes(self.trace_id?.to_bytes())?;
        let parent_id = self.parent_span_id.and_then(|id| nkudo_spans::SpanId::from_bytes(id.to_bytes()));
        let parent_id = parent_id.unwrap_or_else(nkudo_spans::SpanId::generate);
        Some(Traceparent { trace_id, parent_id, sampled: true })
    }
}

impl From<Traceparent> for TraceContext {
    fn from(traceparent: Traceparent) -> Self {
        Self {
            trace_id: TraceId::from_bytes(traceparent.trace_id.to_bytes()),
            parent_span_id: SpanId::from_bytes(traceparent.parent_id.to_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use nkudo_domain::{AskedBy, EndStatus, Request};

    use super::*;
    use crate::generated as wire;
    use crate::message::{ActionResult, Delivery};

    fn context(trace: u8, span: u8) -> TraceContext {
        TraceContext {
            trace_id: TraceId::from_bytes([trace; 16]),
            parent_span_id: SpanId::from_bytes([span; 8]),
        }
    }

    fn action(context: TraceContext) -> Action {
        let request = Request::Pause("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap());
        Action {
            action_id: "a".parse().unwrap(),
            timeout: request.default_timeout(),
            request,
            trace_id: context.trace_id,
            parent_span_id: context.parent_span_id,
            correlation_id: None,
            asked_by: AskedBy::Unknown,
            start_within: None,
        }
    }

    fn delivery(context: TraceContext) -> wire::Deliver {
        let action = action(context);
        Delivery {
            action_id: action.action_id.clone(),
            action: Ok(action),
            expires_at_ms: 1,
            cancel: false,
            taken_in: false,
        }
        .into()
    }

    fn delivered(wire: wire::Deliver) -> TraceContext {
        TraceContext::of(&Delivery::try_from(wire).unwrap().action.unwrap())
    }

    #[test]
    fn a_delivery_names_the_span_that_delivers() {
        let wire = delivery(context(1, 2));
        assert_eq!(wire.traceparent, format!("00-{}-{}-01", "01".repeat(16), "02".repeat(8)));
        assert_eq!(delivered(wire), context(1, 2));
    }

    #[test]
    fn an_action_without_a_span_keeps_its_trace() {
        let delivered = delivered(delivery(context(1, 0)));
        assert_eq!(delivered.trace_id, context(1, 0).trace_id);
        assert_eq!(delivery(context(0, 2)).traceparent, "", "a span without a trace says nothing");
    }

    #[test]
    fn a_traceparent_that_cannot_be_read_costs_no_action() {
        for text in ["", "00", "00-1-2-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            let wire = wire::Deliver { traceparent: text.to_owned(), ..delivery(context(1, 2)) };
            assert_eq!(delivered(wire), TraceContext::default(), "{text}");
        }
    }

    #[test]
    fn a_result_names_the_span_that_took_the_action_in() {
        let result = ActionResult {
            seq: 1,
            action_id: "a".parse().unwrap(),
            action: Some(action(context(1, 2))),
            status: EndStatus::Success,
            changed: None,
            error: None,
            retries: 0,
            created_at_ms: 0,
            completed_at_ms: 0,
            execution: None,
        };
        let told =
            |wire: wire::Result| TraceContext::of(&ActionResult::try_from(wire).unwrap().action.unwrap());
        assert_eq!(told(result.clone().into()), context(1, 2));
        let of_former_version = wire::Result { parent_span_id: None, ..result.clone().into() };
        assert_eq!(told(of_former_version), context(1, 0));
        let broken = wire::Result { parent_span_id: Some("x".to_owned()), ..result.into() };
        assert_eq!(told(broken), context(1, 0));
    }
}
