//! What the agent is and how it does.

use std::collections::BTreeMap;

use nkudo_api::time::WallTime;
use nkudo_api::view::outage::OutageView;
use nkudo_api::view::{CertificateView, ConnectionState, ConnectionView, StatusView};
use nkudo_domain::VmState;

use crate::identity::Identity;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The status of a host; without a daemon there is no connection.
pub(crate) fn status(
    identity: Option<&Identity>,
    connection: Option<ConnectionView>,
    vms: BTreeMap<VmState, u64>,
    queue_depth: u64,
    last_outage: Option<OutageView>,
    now_ms: i64,
) -> StatusView {
    let daemon_running = connection.is_some();
    let none = ConnectionView {
        state: ConnectionState::Disconnected,
        last_heartbeat_at: None,
        age_seconds: None,
        error: None,
    };
    let certificate = identity.map(|identity| &identity.certificate);
    StatusView {
        enrolled: identity.is_some(),
        tenant_id: identity.map(|identity| identity.tenant_id.to_string()),
        site_id: identity.map(|identity| identity.site_id.to_string()),
        agent_id: identity.map(|identity| identity.agent_id.to_string()),
        certificate: CertificateView {
            expires_at: certificate.map(|facts| WallTime(facts.not_after_ms)),
            days_remaining: certificate
                .map(|facts| facts.not_after_ms.saturating_sub(now_ms).div_euclid(DAY_MS)),
            valid: identity.is_some_and(|identity| identity.is_valid(now_ms)),
        },
        connection: connection.unwrap_or(none),
        vms,
        queue_depth,
        daemon_running,
        last_outage,
    }
}
