//! Heartbeats and their answers.

use std::time::Duration;

use super::milliseconds;
use crate::generated as wire;
use crate::message::{Heartbeat, HeartbeatAnswer};

impl From<Heartbeat> for wire::HeartbeatRequest {
    fn from(heartbeat: Heartbeat) -> Self {
        let Heartbeat { sent_at_ms, health, version } = heartbeat;
        Self { sent_at_ms, health, version }
    }
}

impl From<wire::HeartbeatRequest> for Heartbeat {
    fn from(request: wire::HeartbeatRequest) -> Self {
        let wire::HeartbeatRequest { sent_at_ms, health, version } = request;
        Self { sent_at_ms, health, version }
    }
}

impl From<HeartbeatAnswer> for wire::HeartbeatResponse {
    fn from(answer: HeartbeatAnswer) -> Self {
        Self { server_time_ms: answer.server_time_ms, interval_ms: milliseconds(answer.interval) }
    }
}

impl From<wire::HeartbeatResponse> for HeartbeatAnswer {
    fn from(answer: wire::HeartbeatResponse) -> Self {
        let wire::HeartbeatResponse { server_time_ms, interval_ms } = answer;
        Self { server_time_ms, interval: Duration::from_millis(interval_ms.into()) }
    }
}
