//! Operators: actions at a steady rate, each followed to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use nkudo_api::view::{Accepted, ActionView};
use nkudo_client::{Client, ClientError};
use nkudo_domain::ActionStatus;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::agents::Agent;
use crate::agent::vm_id;
use crate::fleet::ControlPlane;
use crate::interrupt;

/// How long an action may take before it is an error.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// What actions took, in milliseconds, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// From the request to the answer that its agent has it.
    pub(super) delivered_ms: Vec<f64>,
    /// From the request to its success in the books.
    pub(super) completed_ms: Vec<f64>,
    pub(super) failed: Vec<String>,
}

/// Asks for actions, so many a second, at set moments; each is followed by its events.
pub(super) async fn flow(
    control: &Arc<ControlPlane>,
    fleet: &[Agent],
    per_second: u32,
    duration: Duration,
) -> Result<Flow> {
    let key = SecretString::from(control.key()?);
    let client = Client::http(&format!("http://{}", control.http_addr()), Some(&key))?;
    let (began, interval) = (Instant::now(), Duration::from_secs(1) / per_second);
    let mut following = JoinSet::new();
    let mut due = began;
    let mut turn: usize = 0;
    while due < began + duration {
        interrupt::check()?;
        tokio::time::sleep_until(due).await;
        // Agent by agent; each VM is created the first time, then halted and set going in turns.
        let agent = &fleet[turn % fleet.len()];
        let body = body(agent, turn / fleet.len());
        let path = format!("/v1/agents/{}/actions", agent.agent_id);
        let followed = tokio::time::timeout(END_DEADLINE, follow(client.clone(), path, body, due));
        let late =
            format!("an action of agent {} did not end within {} s", agent.number, END_DEADLINE.as_secs());
        following.spawn(async move { followed.await.unwrap_or(Err(late)) });
        turn += 1;
        due += interval;
    }
    let mut flow = Flow::default();
    while let Some(followed) = following.join_next().await {
        match followed? {
            Ok((delivered_ms, completed_ms)) => {
                flow.delivered_ms.push(delivered_ms);
                flow.completed_ms.push(completed_ms);
            }
            Err(error) => flow.failed.push(error),
        }
    }
    Ok(flow)
}

fn body(agent: &Agent, time: usize) -> Value {
    let id = vm_id(agent.number);
    let on = |action_type: &str| json!({"action_type": action_type, "params": {"vm_id": id}});
    match time {
        0 => json!({"action_type": "MicroVMCreate", "params": {"vm_id": id, "vm_name": "load", "vcpus": 1,
            "memory_bytes": 16 << 20, "kernel": "/bin/true", "provider": "simulated"}}),
        odd if odd % 2 == 1 => on("MicroVMPause"),
        _ => on("MicroVMResume"),
    }
}

async fn follow(client: Client, path: String, body: Value, due: Instant) -> Result<(f64, f64), String> {
    let failed = |error: ClientError| error.to_string();
    let accepted: Accepted = client.post(&path, &body).await.map_err(failed)?;
    let path = format!("/v1/actions/{}/events", accepted.action_id);
    let mut events = client.events(&path).await.map_err(failed)?;
    let mut delivered_ms = None;
    while let Some(event) = events.next().await.map_err(failed)? {
        let Ok(view) = serde_json::from_str::<ActionView>(&event.data) else { continue };
        let now_ms = due.elapsed().as_secs_f64() * 1e3;
        match view.status {
            ActionStatus::Queued => {}
            ActionStatus::Delivered | ActionStatus::Running => {
                delivered_ms.get_or_insert(now_ms);
            }
            // Where both came in one look, it was delivered by then.
            ActionStatus::Success => return Ok((delivered_ms.unwrap_or(now_ms), now_ms)),
            ActionStatus::Failure | ActionStatus::Cancelled | ActionStatus::Expired => {
                return Err(view.error.unwrap_or_else(|| format!("the action ended as {}", view.status)));
            }
        }
    }
    Err("the events ended before the action did".to_owned())
}
