//! What of this host is not as its journal says.

use std::error::Error as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nkudo_api::view::doctor::DoctorView;

use super::Served;
use super::answer::Refused;
use crate::doctor::{self, DoctorError};

pub(crate) async fn look(State(local): State<Arc<Served>>) -> Result<Json<DoctorView>, Refused> {
    Ok(Json(doctor::beside(&local.state_dir, &local.executor, &local.providers).await?))
}

impl From<DoctorError> for Refused {
    fn from(error: DoctorError) -> Self {
        match error {
            DoctorError::NoAnswer(no_answer) => no_answer.into(),
            error => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}{cause}"))
            }
        }
    }
}
