//! Agents.

use axum::http::StatusCode;
use nkudo_api::time::WallTime;
use nkudo_api::view::List;
use nkudo_api::view::fleet::AgentView;
use nkudo_domain::{AgentId, Presence};
use nkudo_store::{AgentFilter, AgentRecord};

use super::actions::no_agent;
use super::answer::{self, Answered};
use super::routes::Call;
use crate::control::Control;

pub(super) async fn list(call: Call) -> Answered {
    let filter = AgentFilter { site_id: call.params.get("site_id")? };
    let listed =
        call.control.store.agents(&call.principal()?.tenant_id, &filter, &call.params.page()?).await?;
    let items: Vec<AgentView> = listed.items.into_iter().map(|record| view(&call.control, record)).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

pub(super) async fn show(call: Call) -> Answered {
    let agent_id: AgentId = call.params.require("agent_id")?;
    let found = call.control.store.agent(&call.principal()?.tenant_id, agent_id).await?;
    let record =
        found.filter(|record| record.unenrolled_at_ms.is_none()).ok_or_else(|| no_agent(agent_id))?;
    answer::json(StatusCode::OK, &view(&call.control, record))
}

/// What the books say of an agent, with what is known of it now.
fn view(control: &Control, record: AgentRecord) -> AgentView {
    let standing = control.roster.standing(record.agent_id);
    let now = standing.as_ref();
    // One that was begun anew has no line yet.
    let audit_head = control.roster.audit_head_of(record.agent_id).filter(|head| head.seq > 0);
    AgentView {
        audit_head: audit_head.map(|head| head.to_string()),
        agent_id: record.agent_id,
        tenant_id: record.tenant_id,
        site_id: record.site_id,
        hostname: record.facts.hostname,
        presence: now.map_or(Presence::Offline, |now| now.presence),
        last_seen: now.and_then(|now| now.last_seen_ms).or(record.last_seen_ms).map(WallTime),
        certificate_expires_at: WallTime(
            now.map_or(0, |now| now.certificate_expires_at_ms).max(record.certificate_expires_at_ms),
        ),
        version: record.facts.version,
        labels: record.facts.labels,
        enrolled_at: WallTime(record.enrolled_at_ms),
        goodbye: now.and_then(|now| now.goodbye.clone()),
        clock_skew_ms: now.and_then(|now| now.skew_ms),
        health: now.and_then(|now| now.health.clone()),
    }
}
