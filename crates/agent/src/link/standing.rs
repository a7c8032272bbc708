//! How the link does, for `status` and for health.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nkudo_api::time::WallTime;
use nkudo_api::view::{ConnectionState, ConnectionView};
use nkudo_fleet::TheirTime;
use nkudo_host::clock;

use crate::identity::Identity;

/// Heartbeats come this often where the control plane has not said otherwise.
pub(crate) const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
/// A heartbeat younger than so many intervals: connected.
const CONNECTED_INTERVALS: u64 = 3;
/// Younger than so many: degraded.
const DEGRADED_INTERVALS: u64 = 6;

/// On the wall clock and on the one that also goes on while the host sleeps, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall_ms: i64,
    boottime_ms: u64,
}

/// Written by the link, read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<Inner>);

#[derive(Debug, Clone, Default)]
struct Inner {
    identity: Option<Identity>,
    last_heartbeat: Option<Moment>,
    interval: Option<Duration>,
    theirs: Option<TheirTime>,
    error: Option<String>,
    /// The control plane last said that it does not take the certificate.
    refused: bool,
}

impl Standing {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enrolled(&self, identity: Option<&Identity>) {
        let mut inner = self.inner();
        if identity.map(|new| new.agent_id) != inner.identity.as_ref().map(|old| old.agent_id) {
            *inner = Inner::default();
        }
        inner.identity = identity.cloned();
    }

    /// A heartbeat was answered just now.
    pub(crate) fn answered(&self, interval: Duration, theirs: TheirTime) {
        let mut inner = self.inner();
        inner.last_heartbeat = Some(Moment { wall_ms: clock::wall_ms(), boottime_ms: clock::boottime_ms() });
        inner.interval = Some(interval);
        inner.theirs = Some(theirs);
        inner.error = None;
        inner.refused = false;
    }

    pub(crate) fn failed(&self, error: String, refused: bool) {
        let mut inner = self.inner();
        inner.error = Some(error);
        inner.refused |= refused;
    }

    /// Whether the control plane refused the certificate, and took none since.
    pub(crate) fn is_refused(&self) -> bool {
        self.inner().refused
    }

    /// The control plane's clock.
    pub(crate) fn theirs(&self) -> Option<TheirTime> {
        self.inner().theirs
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.inner().identity.clone()
    }

    pub(crate) fn connection(&self) -> ConnectionView {
        let inner = self.inner().clone();
        let interval = inner.interval.unwrap_or(INTERVAL_DEFAULT);
        ConnectionView {
            error: inner.error,
            ..connection(inner.last_heartbeat, interval, clock::boottime_ms())
        }
    }
}

/// How a connection is whose last heartbeat was answered then.
fn connection(last_heartbeat: Option<Moment>, interval: Duration, boottime_ms: u64) -> ConnectionView {
    let age_ms = last_heartbeat.map(|at| boottime_ms.saturating_sub(at.boottime_ms));
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let state = match age_ms {
        Some(age) if age < interval_ms.saturating_mul(CONNECTED_INTERVALS) => ConnectionState::Connected,
        Some(age) if age < interval_ms.saturating_mul(DEGRADED_INTERVALS) => ConnectionState::Degraded,
        Some(_) | None => ConnectionState::Disconnected,
    };
    ConnectionView {
        state,
        last_heartbeat_at: last_heartbeat.map(|at| WallTime(at.wall_ms)),
        age_seconds: age_ms.map(|age| age / 1_000),
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_as_good_as_its_last_heartbeat_is_young() {
        let check = |last: Option<u64>, now: u64, expected: ConnectionState| {
            // However the wall clock was set meanwhile.
            let heard = last.map(|boottime_ms| Moment { wall_ms: i64::MAX, boottime_ms });
            assert_eq!(connection(heard, INTERVAL_DEFAULT, now).state, expected, "{last:?} at {now}");
        };
        check(None, 0, ConnectionState::Disconnected);
        check(Some(0), 44_999, ConnectionState::Connected);
        check(Some(0), 45_000, ConnectionState::Degraded);
        check(Some(0), 89_999, ConnectionState::Degraded);
        check(Some(0), 90_000, ConnectionState::Disconnected);
    }
}
