//! Actions: asked for, listed, cancelled.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use nkudo_api::Problem;
use nkudo_api::action::{Origin, parse};
use nkudo_api::view::{Accepted, ActionView, List};
use nkudo_domain::{ActionId, ActionStatus, ActionType, AskedBy, SpanId, TraceId, VmId};
use nkudo_executor::projection::{action_view, listed_action_view};
use nkudo_tracker::{Admission, CancelAnswer, Tracker};
use tracing::Instrument as _;

use super::Served;
use super::answer::{self, Refused};
use super::paging::ListQuery;
use crate::audit::Asked;
use crate::offline::refusal;
use crate::origin::{new_origin, take_in};

/// Longest `x-request-id` that is carried on, in bytes.
const REQUEST_ID_MAX_BYTES: usize = 128;

pub(crate) async fn submit(
    State(local): State<Arc<Served>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Accepted>), Refused> {
    let bytes = answer::body(body).await?;
    let value = answer::json(&bytes)?;
    let mut action =
        parse(&value, "", origin(&headers)).map_err(|errors| Refused(Problem::invalid(errors)))?;
    action.asked_by = AskedBy::LocalSocket;
    let (action_id, asked) = (action.action_id.clone(), Asked::of(&action));
    let span = take_in("server", &mut action);
    // The span is the executor's while the answer is awaited.
    let answered = local.executor.submit_later(action).instrument(span).await?;
    let admission = answered.await?;
    let status = match admission {
        Admission::New | Admission::Repeated => {
            return Ok((StatusCode::ACCEPTED, Json(Accepted { action_id })));
        }
        Admission::Conflict | Admission::RecordLost => StatusCode::CONFLICT,
        Admission::QueueFull | Admission::ResultsFull | Admission::CommandsFull | Admission::OutputsFull => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Admission::DiskFull | Admission::AuditFull => StatusCode::INSUFFICIENT_STORAGE,
        Admission::AuditBroken | Admission::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    local.audit.refused(asked, refusal(admission)).await;
    Err(Refused::new(status, refusal(admission)))
}

fn origin(headers: &HeaderMap) -> Origin {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut origin = new_origin();
    if let Some(parent) = text("traceparent").and_then(|text| text.parse::<nkudo_spans::Traceparent>().ok()) {
        origin.trace_id = TraceId::from_bytes(parent.trace_id.to_bytes());
        origin.parent_span_id = SpanId::from_bytes(parent.parent_id.to_bytes());
    }
    origin.correlation_id =
        text("x-request-id").filter(|id| id.len() <= REQUEST_ID_MAX_BYTES).map(str::to_owned);
    origin
}

pub(crate) async fn list(
    State(local): State<Arc<Served>>,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<List<ActionView>>, Refused> {
    let query = ListQuery::read(query, &["status", "action_type", "vm_id", "since", "until"])?;
    let status: Option<ActionStatus> = query.get("status")?;
    let action_type: Option<ActionType> = query.get("action_type")?;
    let vm_id: Option<VmId> = query.get("vm_id")?;
    let (since, until) = (query.time("since")?, query.time("until")?);
    let look = move |tracker: &Tracker| {
        let mut views: Vec<ActionView> = tracker.actions().map(listed_action_view).collect();
        views.retain(|view| {
            status.is_none_or(|wanted| view.status == wanted)
                && action_type.is_none_or(|wanted| view.action_type == wanted)
                && vm_id.is_none_or(|wanted| view.vm_id == Some(wanted))
                && since.is_none_or(|since| view.created_at >= since)
                && until.is_none_or(|until| view.created_at <= until)
        });
        views.sort_by(|a, b| (b.created_at, &b.action_id).cmp(&(a.created_at, &a.action_id)));
        views
    };
    let views = local.executor.look(look).await?;
    Ok(Json(query.page(views)))
}

pub(crate) async fn show(
    State(local): State<Arc<Served>>,
    Path(action_id): Path<String>,
) -> Result<Json<ActionView>, Refused> {
    let action_id = known_form(&action_id)?;
    let wanted = action_id.clone();
    let found = local.executor.look(move |tracker| tracker.action(&wanted).map(action_view)).await?;
    found.map(Json).ok_or_else(|| unknown(&action_id))
}

pub(crate) async fn cancel(
    State(local): State<Arc<Served>>,
    Path(action_id): Path<String>,
) -> Result<(StatusCode, Json<Accepted>), Refused> {
    let action_id = known_form(&action_id)?;
    match local.executor.cancel(action_id.clone()).await? {
        CancelAnswer::Cancelling => {
            local.audit.cancel_asked(&action_id, AskedBy::LocalSocket).await;
            Ok((StatusCode::ACCEPTED, Json(Accepted { action_id })))
        }
        CancelAnswer::AlreadyEnded => Err(Refused::new(
            StatusCode::CONFLICT,
            format!("action {action_id} has ended; there is nothing to cancel"),
        )),
        CancelAnswer::Unknown => Err(unknown(&action_id)),
    }
}

pub(super) fn known_form(text: &str) -> Result<ActionId, Refused> {
    text.parse().map_err(|error: nkudo_domain::InvalidId| Refused::invalid("action_id", error.to_string()))
}

pub(super) fn unknown(action_id: &ActionId) -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        format!("no action {action_id} on this host; results are kept for 7 days"),
    )
}
