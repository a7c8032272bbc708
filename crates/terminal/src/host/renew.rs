//! `renew`.

use nkudo_agent::audit::Actor;
use nkudo_agent::config::Settings;
use nkudo_agent::identity;
use nkudo_api::time::WallTime;
use serde_json::json;

use crate::failure::Failure;
use crate::{Output, print};

/// `renew`: a new key and certificate over the one that is still good. A running daemon picks it up.
///
/// # Errors
/// When the host is not enrolled, or the control plane does not renew.
pub async fn renew(settings: &Settings, output: Output) -> Result<(), Failure> {
    let identity =
        Box::pin(identity::renew(&settings.state_dir, Actor::CommandLine)).await.map_err(Failure::failed)?;
    let expires_at = WallTime(identity.certificate.not_after_ms);
    match output {
        Output::Json => print::json(&json!({
            "agent_id": identity.agent_id, "serial": identity.certificate.serial, "expires_at": expires_at,
        })),
        Output::Text => print::line(&format!("The certificate is renewed; it expires {expires_at}.")),
    }
}
