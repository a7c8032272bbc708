//! What an action gets that comes without: an id and a trace.

use nkudo_api::action::Origin;
use nkudo_domain::{ActionId, TraceId};

/// A new action id (a UUIDv7) and a new trace.
pub fn new_origin() -> Origin {
    let action_id: ActionId =
        uuid::Uuid::now_v7().to_string().parse().expect("a UUID is made of what an action id may have");
    let trace_id = TraceId::from_bytes(nkudo_spans::TraceId::generate().to_bytes());
    Origin { action_id, trace_id, parent_span_id: None, correlation_id: None }
}
