//! Questions to the host's own history of metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use nkudo_api::Problem;
use nkudo_api::view::history::HistoryView;
use nkudo_timeseries::QueryError;

use super::Served;
use super::answer::Refused;
use crate::history::{Asked, HistoryError, ask};

pub(crate) async fn query(
    State(local): State<Arc<Served>>,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<HistoryView>, Refused> {
    let mut params = BTreeMap::new();
    for (name, value) in given {
        if params.insert(name.clone(), value).is_some() {
            return Err(Refused::invalid(&name, "is there twice"));
        }
    }
    let asked = Asked::read(&params, nkudo_host::clock::wall_ms())
        .map_err(|faults| Refused(Problem::invalid(faults)))?;
    let history = local.history.as_ref().ok_or(HistoryError::Off)?;
    let answer = ask(history, asked.query.clone()).await?;
    Ok(Json(asked.view(answer)))
}

impl From<HistoryError> for Refused {
    fn from(error: HistoryError) -> Self {
        let path = match &error {
            HistoryError::Off => return Self::new(StatusCode::NOT_FOUND, error.to_string()),
            HistoryError::Query(QueryError::EmptyRange { .. }) => Some("from"),
            HistoryError::Query(QueryError::Step { .. } | QueryError::TooManyPoints { .. }) => Some("step"),
            HistoryError::Query(QueryError::Quantile { .. }) => Some("function"),
            HistoryError::Query(QueryError::TooManySeries { .. }) => Some("labels"),
            HistoryError::Query(QueryError::Samples(_))
            | HistoryError::Closed(_)
            | HistoryError::NoAnswer => None,
            HistoryError::Slow => Some("from"),
        };
        match path {
            Some(path) => Self::invalid(path, error.to_string()),
            None => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}
