//! Executions as agents reported them.

use axum::http::StatusCode;
use nkudo_api::time::WallTime;
use nkudo_api::view::{ExecutionView, List};
use nkudo_store::{ExecutionFilter, ExecutionRecord};

use super::answer::{self, Answered};
use super::routes::Call;

pub(super) async fn list(call: Call) -> Answered {
    let filter = ExecutionFilter {
        agent_id: call.params.get("agent_id")?,
        status: call.params.get("status")?,
        action_type: call.params.get("action_type")?,
        vm_id: call.params.get("vm_id")?,
        since_ms: call.params.time_ms("since")?,
        until_ms: call.params.time_ms("until")?,
    };
    let tenant_id = &call.principal()?.tenant_id;
    let listed = call.control.store.executions(tenant_id, &filter, &call.params.page()?).await?;
    let items: Vec<ExecutionView> = listed.items.into_iter().map(view).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

fn view(record: ExecutionRecord) -> ExecutionView {
    ExecutionView {
        agent_id: Some(record.agent_id.to_string()),
        action_id: record.action_id,
        action_type: record.action_type,
        started_at: WallTime(record.started_at_ms),
        completed_at: Some(WallTime(record.completed_at_ms)),
        duration_ms: Some(record.duration_ms),
        status: record.status,
        error: record.error,
        retries: record.retries,
        resource_usage: record.usage,
        vm_id: record.vm_id,
        trace_id: record.trace_id,
    }
}
