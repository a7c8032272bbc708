//! What the agent is and how it does, from the tracker's state.

use nkudo_api::view::{CertificateView, ConnectionState, ConnectionView, StatusView};
use nkudo_executor::projection::vms_by_state;
use nkudo_tracker::Tracker;

/// The status of a host that is not enrolled.
pub(crate) fn status(tracker: &Tracker, daemon_running: bool) -> StatusView {
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
        vms: vms_by_state(tracker),
        queue_depth: tracker.queue_depth() as u64,
        daemon_running,
    }
}
