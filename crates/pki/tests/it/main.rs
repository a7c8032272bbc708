//! Certificates, requests, tokens and handshakes, right and wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod handshakes;
mod requests;
mod secrets;

use std::time::Duration;

use nkudo_pki::{AgentIdentity, Authority};

/// 2026-01-02T03:04:05Z, in milliseconds.
pub(crate) const NOW: i64 = 1_767_323_045_000;
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn identity() -> AgentIdentity {
    AgentIdentity {
        tenant_id: "acme".parse().unwrap(),
        site_id: "lab".parse().unwrap(),
        agent_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
    }
}

pub(crate) fn authority(now_ms: i64) -> Authority {
    Authority::create(now_ms).unwrap().0
}
