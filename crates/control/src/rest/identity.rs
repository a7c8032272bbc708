//! Certificates of agents over REST.

use axum::http::StatusCode;
use nkudo_api::Problem;
use nkudo_api::request::{RenewRequest, UnenrolRequest};
use nkudo_api::time::WallTime;
use nkudo_api::view::fleet::{RenewedView, UnenrolledView};
use nkudo_pki::Peer;
use nkudo_rpc::RpcErrorKind;

use super::actions::no_agent;
use super::answer::{self, Answered, Refused};
use super::auth::mark_span;
use super::routes::Call;
use crate::grpc::{self, NotRenewed};

pub(super) async fn renew(call: Call) -> Answered {
    let peer = peer(&call).await?;
    let body = answer::parsed(&call.body)?;
    let RenewRequest { csr_pem } =
        RenewRequest::parse(&body).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let renewed = grpc::renew(&call.control, &peer, &csr_pem).await.map_err(|error| match error {
        NotRenewed::Request(sentence) => Refused::invalid("csr_pem", sentence),
        NotRenewed::Unenrolled => Refused::new(StatusCode::UNAUTHORIZED, "the agent was unenrolled"),
        NotRenewed::Store(error) => error.into(),
    })?;
    let view = RenewedView {
        certificate_pem: renewed.certificate_pem,
        ca_pem: renewed.ca_pem,
        expires_at: WallTime(renewed.expires_at_ms),
    };
    answer::json(StatusCode::OK, &view)
}

pub(super) async fn unenroll(call: Call) -> Answered {
    let body = answer::parsed(&call.body)?;
    let request = UnenrolRequest::parse(&body).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let agent_id = request.agent_id;
    let (tenant_id, by) = match &call.principal {
        Some(principal) => (principal.tenant_id.clone(), principal.key_id.clone()),
        None => {
            let identity = peer(&call).await?.identity;
            if identity.agent_id != agent_id {
                let detail = "an agent takes only itself out of the fleet";
                return Err(Refused::new(StatusCode::FORBIDDEN, detail));
            }
            (identity.tenant_id, identity.agent_id.to_string())
        }
    };
    if !call.control.unenrol(&tenant_id, agent_id, &by).await? {
        return Err(no_agent(agent_id));
    }
    answer::json(StatusCode::OK, &UnenrolledView { agent_id })
}

/// The agent whose certificate the connection shows.
async fn peer(call: &Call) -> Result<Peer, Refused> {
    let caller = call.caller.as_ref();
    let absent = || Refused::new(StatusCode::UNAUTHORIZED, "this needs the agent's certificate");
    let caller = caller.ok_or_else(absent)?;
    let peer = grpc::authenticate(&call.control, caller).await.map_err(|error| {
        // A database that does not answer says nothing about the certificate.
        let unavailable = error.kind == RpcErrorKind::Unavailable;
        let status = if unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNAUTHORIZED };
        Refused::new(status, error.to_string())
    })?;
    mark_span(&peer.identity.tenant_id);
    Ok(peer)
}
