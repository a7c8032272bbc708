//! The fleet's recent traces, of each as much as the caller's tenant may see.

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use nkudo_api::Problem;
use nkudo_api::trace_format::TraceFormat;
use nkudo_api::trace_query::{self, GivenId, IdFault};
use nkudo_api::view::List;
use nkudo_api::view::trace::TraceView;
use nkudo_recorder::{NoAnswer, Recorder};
use nkudo_traces::Trace;

use super::answer::{self, Answered, Refused};
use super::routes::Call;
use crate::traces::{SERVICE, visible};

pub(super) async fn list(call: Call) -> Answered {
    let query = trace_query::read(|name| call.params.text(name));
    let query = query.map_err(|faults| Refused(Problem::invalid(faults)))?;
    let found = recorder(&call)?.search_parts(query, of_caller(&call)?).await?;
    let next_cursor = found.next.map(|next| next.to_string());
    let items: Vec<TraceView> = found.summaries.into_iter().map(TraceView::from).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor })
}

/// One trace, by its id or the beginning of it.
pub(super) async fn show(call: Call) -> Answered {
    let format: TraceFormat = call.params.get("format")?.unwrap_or_default();
    let text = call.params.text("trace_id").unwrap_or_default();
    let given: GivenId = text.parse()?;
    let (recorder, part) = (recorder(&call)?, of_caller(&call)?);
    let trace_id = match given.whole() {
        Some(trace_id) => trace_id,
        None => given.among(&recorder.search_parts(given.query(), part.clone()).await?)?,
    };
    // Of another's trace nothing is told, also not that there is one.
    let trace = recorder.trace(trace_id).await?.and_then(part).ok_or_else(|| given.unknown())?;
    let mut body = Vec::new();
    format.write(&mut body, &trace, SERVICE).map_err(|error| {
        tracing::error!(%error, "a trace could not be written");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the trace could not be written")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// What the caller may see of a trace.
fn of_caller(call: &Call) -> Result<impl Fn(Trace) -> Option<Trace> + Clone + Send + use<>, Refused> {
    let tenant_id = call.principal()?.tenant_id.clone();
    Ok(move |trace| visible(trace, &tenant_id))
}

fn recorder(call: &Call) -> Result<&Recorder, Refused> {
    let recorder = call.control.recorder.as_ref();
    recorder.ok_or_else(|| Refused::not_found("this control plane records no traces"))
}

impl From<NoAnswer> for Refused {
    fn from(error: NoAnswer) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<IdFault> for Refused {
    fn from(error: IdFault) -> Self {
        match error {
            IdFault::Nonsense { .. } => Self::invalid("trace_id", error.to_string()),
            IdFault::Unknown { .. } => Self::not_found(error.to_string()),
            IdFault::Several { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}
