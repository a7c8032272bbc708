//! Certificate and enrolment of this host, over its socket.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nkudo_api::time::WallTime;
use nkudo_api::view::fleet::{RenewedView, UnenrolledView};

use super::Served;
use super::answer::Refused;
use crate::audit::Actor;
use crate::identity::{self, IdentityDir, IdentityError, Unenrolled};
use crate::link::told;

pub(crate) async fn renew(State(local): State<Arc<Served>>) -> Result<Json<RenewedView>, Refused> {
    let identity = Box::pin(identity::renew(&local.state_dir, Actor::LocalSocket))
        .await
        .map_err(|error| refused(&error))?;
    tracing::info!(serial = identity.certificate.serial, "certificate renewed on request");
    Ok(Json(RenewedView {
        expires_at: WallTime(identity.certificate.not_after_ms),
        certificate_pem: identity.certificate_pem,
        ca_pem: identity.ca_pem,
    }))
}

/// Unenrols this host; its VMs stay.
pub(crate) async fn unenroll(State(local): State<Arc<Served>>) -> Result<Json<UnenrolledView>, Refused> {
    let enrolled = IdentityDir::of(&local.state_dir).load().map_err(|error| refused(&error.into()))?;
    let agent_id = enrolled.ok_or_else(|| refused(&IdentityError::NotEnrolled))?.agent_id;
    match Box::pin(identity::unenroll(&local.state_dir, false, Actor::LocalSocket))
        .await
        .map_err(|error| refused(&error))?
    {
        Unenrolled::Revoked | Unenrolled::LocallyOnly => {}
    }
    tracing::info!(%agent_id, "unenrolled on request");
    Ok(Json(UnenrolledView { agent_id }))
}

fn refused(error: &IdentityError) -> Refused {
    let status = match error {
        IdentityError::NotEnrolled | IdentityError::AlreadyEnrolled { .. } | IdentityError::Expired => {
            StatusCode::CONFLICT
        }
        IdentityError::Connect(_) | IdentityError::Deadline | IdentityError::Refused { .. } => {
            StatusCode::BAD_GATEWAY
        }
        IdentityError::NotOnRecord(_)
        | IdentityError::Stored(_)
        | IdentityError::Target(_)
        | IdentityError::Token(_)
        | IdentityError::Credentials(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refused::new(status, told(error))
}
