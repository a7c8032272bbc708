//! Why a VM is as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use nkudo_api::view::explain::ExplainView;

use super::Served;
use super::answer::Refused;
use crate::explain::{Called, ExplainError, Told, explain};

/// The VM may be called by its name as well.
pub(crate) async fn vm(
    State(local): State<Arc<Served>>,
    Path(vm_id): Path<String>,
) -> Result<Json<ExplainView>, Refused> {
    let called: Called = vm_id.parse()?;
    let asked = called.clone();
    let told = local.executor.look(move |tracker| Told::of(tracker, &asked)).await?;
    Ok(Json(explain(told, &called, &local.providers, true).await?))
}

impl From<ExplainError> for Refused {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NoName(_) => Self::invalid("vm_id", error.to_string()),
            ExplainError::Unknown { .. } | ExplainError::Deleted(_) => {
                Self::new(StatusCode::NOT_FOUND, error.to_string())
            }
            ExplainError::Evidence { .. } | ExplainError::Offline(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}
