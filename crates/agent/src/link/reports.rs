//! What the control plane is told: results in their order, VMs as they are.

use nkudo_api::view::VmView;
use nkudo_executor::projection::vm_view;
use nkudo_executor::{Handle, NoAnswer};
use nkudo_rpc::message::{ActionResult, ExecutionReport, FromAgent, VmReport, VmStanding};
use nkudo_tracker::{Phase, Tracked, Tracker};

/// Results that are taken out of the tracker in one look, at most.
const LOOK_MAX: usize = 64;
/// VMs of one message, at most: with the longest labels and reasons these are some 1.3 MiB.
const VMS_MAX: usize = 64;

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
    let execution = tracked.execution.as_ref();
    Some(ActionResult {
        seq,
        action_id: tracked.action.action_id.clone(),
        action: Some(tracked.action.clone()),
        status: outcome.end(),
        changed: Some(outcome.changed()),
        error: outcome.error().map(str::to_owned),
        retries: execution.map_or(0, |execution| execution.retries),
        created_at_ms: tracked.admitted.wall_ms,
        completed_at_ms: *at_ms,
        execution: execution.map(|execution| ExecutionReport {
            started_at_ms: execution.started_at_ms,
            duration_ms: execution.duration_ms.unwrap_or(0),
            usage: execution.usage,
            output: execution.output.as_deref().cloned(),
        }),
    })
}

/// The result of an action that was told and acknowledged.
pub(super) fn told_before(tracker: &Tracker, tracked: &Tracked) -> Option<ActionResult> {
    let acknowledged = tracker.outbox().acknowledged;
    result(tracked.result_seq().filter(|seq| *seq <= acknowledged)?, tracked)
}

/// How everything is: all the VMs of the host, and which actions run. Its ends are told as results.
pub(super) async fn everything(executor: &Handle) -> Result<Vec<FromAgent>, NoAnswer> {
    executor.look(|tracker: &Tracker| all_vms(tracker).chain(started(tracker)).collect()).await
}

/// All the VMs, in pieces that are no larger than a message may be.
fn all_vms(tracker: &Tracker) -> impl Iterator<Item = FromAgent> {
    let vms: Vec<VmStanding> = tracker.vms().map(|(_, vm)| standing(vm_view(vm, None))).collect();
    let pieces = vms.chunks(VMS_MAX).map(<[VmStanding]>::to_vec);
    let mut reports: Vec<VmReport> =
        pieces.map(|vms| VmReport { complete: true, more: true, vms, ..VmReport::default() }).collect();
    match reports.last_mut() {
        Some(last) => last.more = false,
        None => reports.push(VmReport { complete: true, ..VmReport::default() }),
    }
    reports.into_iter().map(FromAgent::Vms)
}

/// What runs. It may have begun while nobody could be told.
fn started(tracker: &Tracker) -> impl Iterator<Item = FromAgent> + '_ {
    let running = tracker.actions().filter(|tracked| !tracked.foreign && !tracked.has_ended());
    running.filter_map(|tracked| {
        let at_ms = tracked.execution.as_ref()?.started_at_ms;
        Some(FromAgent::Started { action_id: tracked.action.action_id.clone(), at_ms })
    })
}

/// A VM that is new or has changed.
pub(super) fn changed_vm(view: VmView) -> FromAgent {
    FromAgent::Vms(VmReport { vms: vec![standing(view)], ..VmReport::default() })
}

/// A VM that is no more.
pub(super) fn gone_vm(vm_id: nkudo_domain::VmId) -> FromAgent {
    FromAgent::Vms(VmReport { gone: vec![vm_id], ..VmReport::default() })
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
