//! Why an agent was away, as it told it when it was back.

use axum::http::StatusCode;
use nkudo_api::view::List;
use nkudo_api::view::outage::OutageView;
use nkudo_domain::AgentId;
use nkudo_store::OutageFilter;

use super::actions::no_agent;
use super::answer::{self, Answered};
use super::routes::Call;

pub(super) async fn list(call: Call) -> Answered {
    let agent_id: AgentId = call.params.require("agent_id")?;
    let filter = OutageFilter {
        cause: call.params.get("cause")?,
        since_ms: call.params.time_ms("since")?,
        until_ms: call.params.time_ms("until")?,
    };
    let (store, tenant_id) = (&call.control.store, &call.principal()?.tenant_id);
    let found = store.agent(tenant_id, agent_id).await?;
    found.filter(|record| record.unenrolled_at_ms.is_none()).ok_or_else(|| no_agent(agent_id))?;
    let listed = store.outages(tenant_id, agent_id, &filter, &call.params.page()?).await?;
    let items: Vec<OutageView> = listed.items.into_iter().map(OutageView::from).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}
