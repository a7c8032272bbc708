//! What the control plane is told: results in their order, VMs as they are.

use nkudo_api::view::VmView;
use nkudo_domain::{ActionStatus, ExecutionStatus};
use nkudo_executor::projection::vm_view;
use nkudo_executor::{Handle, NoAnswer};
use nkudo_rpc::message::{ActionResult, ExecutionReport, FromAgent, VmReport, VmStanding};
use nkudo_tracker::{Phase, Tracked, Tracker};

/// Results that are taken out of the tracker in one look, at most.
const LOOK_MAX: usize = 64;

/// The results after `seq`, at most `count`.
pub(super) async fn results(
    executor: &Handle,
    seq: u64,
    count: usize,
) -> Result<Vec<ActionResult>, NoAnswer> {
    let count = count.min(LOOK_MAX);
    let look = move |tracker: &Tracker| {
        let after = tracker.results_after(seq);
        after.filter_map(|(seq, tracked)| result(seq, tracked)).take(count).collect()
    };
    executor.look(look).await
}

fn result(seq: u64, tracked: &Tracked) -> Option<ActionResult> {
    let Phase::Ended { outcome, at_ms } = &tracked.phase else { return None };
    let status = match outcome.status() {
        ExecutionStatus::Success => ActionStatus::Success,
        ExecutionStatus::Failure => ActionStatus::Failure,
        ExecutionStatus::Cancelled => ActionStatus::Cancelled,
        ExecutionStatus::Running => return None,
    };
    let execution = tracked.execution.as_ref();
    Some(ActionResult {
        seq,
        action_id: tracked.action.action_id.clone(),
        action: Some(tracked.action.clone()),
        status,
        changed: Some(outcome.changed()),
        error: outcome.error().map(str::to_owned),
        retries: execution.map_or(0, |execution| execution.retries),
        created_at_ms: tracked.admitted.wall_ms,
        completed_at_ms: *at_ms,
        execution: execution.map(|execution| ExecutionReport {
            started_at_ms: execution.started_at_ms,
            duration_ms: execution.duration_ms.unwrap_or(0),
            usage: execution.usage,
        }),
    })
}

/// All the VMs of the host.
pub(super) async fn all_vms(executor: &Handle) -> Result<FromAgent, NoAnswer> {
    let look = |tracker: &Tracker| tracker.vms().map(|(_, vm)| standing(vm_view(vm, None))).collect();
    let vms = executor.look(look).await?;
    Ok(FromAgent::Vms(VmReport { complete: true, vms, gone: Vec::new() }))
}

/// A VM that is new or has changed.
pub(super) fn changed_vm(view: VmView) -> FromAgent {
    FromAgent::Vms(VmReport { complete: false, vms: vec![standing(view)], gone: Vec::new() })
}

/// A VM that is no more.
pub(super) fn gone_vm(vm_id: nkudo_domain::VmId) -> FromAgent {
    FromAgent::Vms(VmReport { complete: false, vms: Vec::new(), gone: vec![vm_id] })
}

fn standing(view: VmView) -> VmStanding {
    VmStanding {
        vm_id: view.vm_id,
        vm_name: view.vm_name,
        state: view.state,
        reason: view.reason,
        vcpus: view.vcpus,
        memory_bytes: view.memory_bytes,
        provider: view.provider,
        pid: view.pid,
        since_ms: view.since.0,
        restarts: view.restarts,
        labels: view.labels,
    }
}
