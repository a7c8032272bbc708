//! Heartbeats and their answers.

use std::time::Duration;

use super::{WireError, milliseconds, parsed};
use crate::generated as wire;
use crate::message::{Heartbeat, HeartbeatAnswer};

impl From<Heartbeat> for wire::HeartbeatRequest {
    fn from(heartbeat: Heartbeat) -> Self {
        let Heartbeat { sent_at_ms, health, version, audit_head } = heartbeat;
        Self { sent_at_ms, health, version, audit_head: audit_head.map(|head| head.to_string()) }
    }
}

impl TryFrom<wire::HeartbeatRequest> for Heartbeat {
    type Error = WireError;

    fn try_from(request: wire::HeartbeatRequest) -> Result<Self, WireError> {
        let wire::HeartbeatRequest { sent_at_ms, health, version, audit_head } = request;
        let audit_head = audit_head.map(|head| parsed("audit_head", &head)).transpose()?;
        Ok(Self { sent_at_ms, health, version, audit_head })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(audit_head: Option<&str>, expected: Result<Option<u64>, &str>) {
        let audit_head = audit_head.map(str::to_owned);
        let request = wire::HeartbeatRequest { audit_head, ..wire::HeartbeatRequest::default() };
        let read = Heartbeat::try_from(request);
        let seq = read.map(|heartbeat| heartbeat.audit_head.map(|head| head.seq));
        assert_eq!(seq.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_head_is_absent_whole_or_refused() {
        let zeros = "0".repeat(64);
        check(None, Ok(None));
        check(Some(&format!("7:{zeros}")), Ok(Some(7)));
        let refused =
            "audit_head: a head is written SEQ:HASH, with the hash in 64 lower-case hexadecimal digits";
        for wrong in [
            "",
            "7",
            "7:",
            ":0",
            &format!("-1:{zeros}"),
            &format!("7:{zeros}0"),
            &format!("7:{}", "A".repeat(64)),
        ] {
            check(Some(wrong), Err(refused));
        }
    }
}
