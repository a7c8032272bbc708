//! What the agent is and how it does.

use std::collections::BTreeMap;

use nkudo_api::view::{CertificateView, ConnectionState, ConnectionView, StatusView};
use nkudo_domain::VmState;

/// The status of a host that is not enrolled.
pub(crate) fn status(vms: BTreeMap<VmState, u64>, queue_depth: u64, daemon_running: bool) -> StatusView {
    StatusView {
        enrolled: false,
        tenant_id: None,
        site_id: None,
        agent_id: None,
        certificate: CertificateView { expires_at: None, days_remaining: None, valid: false },
        connection: ConnectionView {
            state: ConnectionState::Disconnected,
            last_heartbeat_at: None,
            age_seconds: None,
        },
        vms,
        queue_depth,
        daemon_running,
    }
}
