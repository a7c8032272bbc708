//! The agents: enrolled, started, counted, stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::stream::{StreamExt as _, iter};
use nkudo_agent::config::Settings;
use nkudo_agent::embedded::Embedded;
use nkudo_agent::identity;

use crate::fleet::ControlPlane;
use crate::interrupt;

/// Agents that enrol at the same time.
const AT_ONCE: usize = 16;
/// How long all may take to be online.
const ONLINE_DEADLINE: Duration = Duration::from_secs(120);

/// One agent of the fleet.
pub(super) struct Agent {
    pub(super) agent_id: String,
    /// Its VM has this number.
    pub(super) number: u32,
    embedded: Embedded,
    _dir: tempfile::TempDir,
}

/// Enrols and starts so many, and waits until all are online.
pub(super) async fn start(count: u32, control: &Arc<ControlPlane>) -> Result<Vec<Agent>> {
    let token = control.token(count)?;
    let starting = iter(0..count).map(|number| start_one(number, control.url(), token.clone()));
    let mut started = starting.buffer_unordered(AT_ONCE);
    let mut fleet = Vec::new();
    while let Some(agent) = started.next().await {
        fleet.push(agent?);
        interrupt::check()?;
    }
    let began = Instant::now();
    while online(control)? < fleet.len() {
        interrupt::check()?;
        if began.elapsed() > ONLINE_DEADLINE {
            bail!("only {} of {} agents are online", online(control)?, fleet.len());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(fleet)
}

async fn start_one(number: u32, control_plane: String, token: String) -> Result<Agent> {
    let dir = tempfile::Builder::new().prefix("nkudo-load-").tempdir()?;
    let settings = Settings { state_dir: dir.path().to_owned(), simulated: true, ..Settings::default() };
    let enrolled = Box::pin(identity::enroll(&settings, &control_plane, &token, false)).await;
    let agent_id =
        enrolled.with_context(|| format!("agent {number} does not enrol"))?.identity.agent_id.to_string();
    let embedded = Embedded::start(&settings).await?;
    Ok(Agent { agent_id, number, embedded, _dir: dir })
}

/// How many the control plane takes for online.
pub(super) fn online(control: &ControlPlane) -> Result<usize> {
    let agents = control.list("/v1/agents")?;
    Ok(agents.iter().filter(|agent| agent["presence"] == "online").count())
}

/// Ends all of them.
pub(super) async fn stop(fleet: Vec<Agent>) {
    iter(fleet).for_each_concurrent(AT_ONCE, |agent| agent.embedded.stop()).await;
}
