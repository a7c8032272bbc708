//! `enroll`.

use nkudo_agent::config::Settings;
use nkudo_agent::identity::{self, Enrolment, IdentityError};
use nkudo_agent::state_dir::make;
use nkudo_api::time::WallTime;
use nkudo_terminal::{Failure, Output, print};
use serde_json::json;

pub(crate) async fn run(
    settings: &Settings,
    control_plane: &str,
    token: &str,
    force: bool,
    output: Output,
) -> Result<(), Failure> {
    make(&settings.state_dir).map_err(Failure::failed)?;
    let enrolled = Box::pin(identity::enroll(settings, control_plane, token, force)).await;
    let Enrolment { identity, left_behind } = enrolled.map_err(|error| match &error {
        // What the user gave is wrong as it stands.
        IdentityError::Target(_) | IdentityError::Token(_) => Failure::refused(error),
        _ => Failure::failed(error),
    })?;
    let expires_at = WallTime(identity.certificate.not_after_ms);
    if let Some(former) = left_behind {
        print::note(&format!(
            "Agent {former}, which this host was before, is still in its fleet and seems to have the VMs of this host; \
             take it out there with nkudo agents unenroll {former}."
        ));
    }
    match output {
        Output::Json => print::json(&json!({
            "tenant_id": identity.tenant_id, "site_id": identity.site_id, "agent_id": identity.agent_id,
            "control_plane": identity.control_plane.to_string(), "expires_at": expires_at,
            "left_behind": left_behind,
        })),
        Output::Text => print::line(&format!(
            "This host is enrolled as agent {} of tenant {}, site {}; its certificate expires {expires_at}.\n\
             A running daemon connects within a second; else start it with edge-agent run.",
            identity.agent_id, identity.tenant_id, identity.site_id
        )),
    }
}
