//! The host's recent traces.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use nkudo_api::Problem;
use nkudo_api::trace_format::{InvalidTraceFormat, TraceFormat};
use nkudo_api::trace_query::{self, GivenId, IdFault};
use nkudo_api::view::List;
use nkudo_api::view::trace::TraceView;
use nkudo_recorder::{NoAnswer, Recorder};

use super::Served;
use super::answer::Refused;
use super::paging::{known_only, once};
use crate::traces::SERVICE;

pub(crate) async fn list(
    State(local): State<Arc<Served>>,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<List<TraceView>>, Refused> {
    let params = params(given, &trace_query::PARAMETERS)?;
    let value = |name: &str| params.get(name).map(String::as_str);
    let query = trace_query::read(value).map_err(|faults| Refused(Problem::invalid(faults)))?;
    let found = recorder(&local)?.search(query).await?;
    let next_cursor = found.next.map(|next| next.to_string());
    Ok(Json(List { items: found.summaries.into_iter().map(TraceView::from).collect(), next_cursor }))
}

/// One trace, by its id or the beginning of it.
pub(crate) async fn show(
    State(local): State<Arc<Served>>,
    Path(id): Path<String>,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response, Refused> {
    let params = params(given, &["format"])?;
    let format: Result<Option<TraceFormat>, InvalidTraceFormat> =
        params.get("format").map(|text| text.parse()).transpose();
    let format = format.map_err(|error| Refused::invalid("format", error.to_string()))?.unwrap_or_default();
    let given: GivenId = id.parse()?;
    let recorder = recorder(&local)?;
    let trace_id = match given.whole() {
        Some(trace_id) => trace_id,
        None => given.among(&recorder.search(given.query()).await?)?,
    };
    let trace = recorder.trace(trace_id).await?.ok_or_else(|| given.unknown())?;
    let mut body = Vec::new();
    format
        .write(&mut body, &trace, SERVICE)
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn params(given: Vec<(String, String)>, known: &[&str]) -> Result<BTreeMap<String, String>, Refused> {
    let params = once(given)?;
    known_only(&params, known)?;
    Ok(params)
}

fn recorder(local: &Served) -> Result<&Recorder, Refused> {
    let absent = || Refused::new(StatusCode::NOT_FOUND, "this agent records no traces");
    local.recorder.as_ref().ok_or_else(absent)
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
            IdFault::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            IdFault::Several { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}
