//! MicroVMs as their agents reported them.

use axum::http::StatusCode;
use nkudo_api::time::WallTime;
use nkudo_api::view::{List, VmView};
use nkudo_domain::VmId;
use nkudo_store::{Page, VmFilter, VmRecord};

use super::answer::{self, Answered, Refused};
use super::routes::Call;

pub(super) async fn list(call: Call) -> Answered {
    let filter =
        VmFilter { agent_id: call.params.get("agent_id")?, state: call.params.get("state")?, vm_id: None };
    let listed = call.control.store.vms(&call.principal()?.tenant_id, &filter, &call.params.page()?).await?;
    let items: Vec<VmView> = listed.items.into_iter().map(view).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

/// The same VM id on two hosts is a mistake somewhere else: one of them is shown.
pub(super) async fn show(call: Call) -> Answered {
    let vm_id: VmId = call.params.require("vm_id")?;
    let filter = VmFilter { vm_id: Some(vm_id), ..VmFilter::default() };
    let found = call.control.store.vms(&call.principal()?.tenant_id, &filter, &Page::first(1)).await?;
    let record = found.items.into_iter().next();
    let record = record.ok_or_else(|| Refused::not_found(format!("there is no vm {vm_id}")))?;
    answer::json(StatusCode::OK, &view(record))
}

fn view(record: VmRecord) -> VmView {
    VmView {
        vm_id: record.vm_id,
        vm_name: record.vm_name,
        agent_id: Some(record.agent_id.to_string()),
        state: record.state,
        reason: record.reason,
        vcpus: record.vcpus,
        memory_bytes: record.memory_bytes,
        provider: record.provider,
        pid: record.pid,
        since: WallTime(record.since_ms),
        restarts: record.restarts,
        labels: record.labels,
    }
}
