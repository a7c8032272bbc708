//! Connections that send heartbeats at set moments and measure how long each takes, from when it was due.

use std::time::Duration;

use anyhow::Result;
use nkudo_agent::config::Settings;
use nkudo_agent::identity::{self, IdentityDir};
use nkudo_pki::agent_client;
use nkudo_rpc::Connection;
use nkudo_rpc::message::Heartbeat;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fleet::ControlPlane;

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long an answer may take; with the rate it bounds how many are under way.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// What heartbeats took, in milliseconds, and how many failed.
#[derive(Debug, Default)]
pub(super) struct Beats {
    pub(super) took_ms: Vec<f64>,
    pub(super) failed: Vec<String>,
}

/// Enrols so many agents that do nothing else, and connects them.
pub(super) async fn open(count: usize, control: &ControlPlane) -> Result<Vec<Connection>> {
    let token = control.token(u32::try_from(count)?)?;
    let mut connections = Vec::new();
    for _ in 0..count {
        let dir = tempfile::Builder::new().prefix("nkudo-load-").tempdir()?;
        let settings = Settings { state_dir: dir.path().to_owned(), ..Settings::default() };
        Box::pin(identity::enroll(&settings, &control.url(), &token, false)).await?;
        let Some(identity) = IdentityDir::of(dir.path()).load()? else { continue };
        let tls = agent_client(&identity.ca_pem, &identity.certificate_pem, &identity.key)?;
        connections.push(Connection::open(&identity.control_plane, tls, CONNECT_DEADLINE).await?);
    }
    Ok(connections)
}

/// Each connection sends one at every interval, whether or not the one before was answered (an open loop): a slow answer
/// is one slow answer, and hides no other.
pub(super) async fn beat(connections: &[Connection], interval: Duration, duration: Duration) -> Beats {
    let began = Instant::now();
    let mut answering = JoinSet::new();
    let step = interval / u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
    let mut due = began;
    // In turns, which spreads them over the interval.
    for connection in connections.iter().cycle().take_while(|_| began.elapsed() < duration) {
        tokio::time::sleep_until(due).await;
        answering.spawn(timed(connection.clone(), due));
        due += step;
    }
    let mut beats = Beats::default();
    for answered in answering.join_all().await {
        match answered {
            Ok(took_ms) => beats.took_ms.push(took_ms),
            Err(error) => beats.failed.push(error),
        }
    }
    beats
}

/// Sends one heartbeat and answers what it took since it was due, in milliseconds.
async fn timed(connection: Connection, due: Instant) -> Result<f64, String> {
    let heartbeat = Heartbeat {
        sent_at_ms: nkudo_host::clock::wall_ms(),
        health: "healthy".to_owned(),
        version: "load".to_owned(),
        audit_head: None,
    };
    let answered = tokio::time::timeout(ANSWER_DEADLINE, connection.heartbeat(heartbeat)).await;
    let answer = answered.map_err(|_| "a heartbeat was not answered in time".to_owned())?;
    answer.map(|_| due.elapsed().as_secs_f64() * 1e3).map_err(|error| error.to_string())
}
