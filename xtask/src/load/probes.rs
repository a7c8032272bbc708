//! Connections that send heartbeats at set moments and measure how long each takes, from when it was due.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use nkudo_agent::identity::{self, IdentityDir};
use nkudo_pki::agent_client;
use nkudo_rpc::Connection;
use nkudo_rpc::message::Heartbeat;
use tokio::time::Instant;

use crate::fleet::ControlPlane;

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

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
        Box::pin(identity::enroll(dir.path(), &control.url(), &token, false)).await?;
        let Some(identity) = IdentityDir::of(dir.path()).load()? else { continue };
        let tls = agent_client(&identity.ca_pem, &identity.certificate_pem, &identity.key)?;
        connections.push(Connection::open(&identity.control_plane, tls, CONNECT_DEADLINE).await?);
    }
    Ok(connections)
}

/// Each connection sends one at every interval; one that is late does not delay the next (an open loop).
pub(super) async fn beat(connections: &[Connection], interval: Duration, duration: Duration) -> Beats {
    let began = Instant::now();
    let each = connections.iter().enumerate().map(|(number, connection)| async move {
        let mut beats = Beats::default();
        // Spread over the interval.
        let mut due = began + interval.mul_f64(number as f64 / connections.len() as f64);
        while due < began + duration {
            tokio::time::sleep_until(due).await;
            let heartbeat = Heartbeat {
                sent_at_ms: nkudo_host::clock::wall_ms(),
                health: "healthy".to_owned(),
                version: "load".to_owned(),
            };
            match connection.heartbeat(heartbeat).await {
                Ok(_) => beats.took_ms.push(due.elapsed().as_secs_f64() * 1e3),
                Err(error) => beats.failed.push(error.to_string()),
            }
            due += interval;
        }
        beats
    });
    join_all(each).await.into_iter().fold(Beats::default(), |mut all, mut one| {
        all.took_ms.append(&mut one.took_ms);
        all.failed.append(&mut one.failed);
        all
    })
}
