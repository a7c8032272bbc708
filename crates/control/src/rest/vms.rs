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

/// Hosts make VMs on their own too, so that two may have the same VM id; then the caller has to say which.
pub(super) async fn show(call: Call) -> Answered {
    let vm_id: VmId = call.params.require("vm_id")?;
    let filter =
        VmFilter { vm_id: Some(vm_id), agent_id: call.params.get("agent_id")?, ..VmFilter::default() };
    let found = call.control.store.vms(&call.principal()?.tenant_id, &filter, &Page::first(2)).await?;
    let mut records = found.items.into_iter();
    match (records.next(), records.next()) {
        (None, _) => Err(Refused::not_found(format!("there is no vm {vm_id}"))),
        (Some(record), None) => answer::json(StatusCode::OK, &view(record)),
        (Some(one), Some(other)) => {
            let (one, other) = (one.agent_id, other.agent_id);
            let detail = format!(
                "agents {one} and {other} both have a vm {vm_id}; name the agent with agent_id \
                 (--agent); one whose host is no more is to be unenrolled"
            );
            Err(Refused::new(StatusCode::CONFLICT, detail))
        }
    }
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
