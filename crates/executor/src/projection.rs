//! The tracker's state in the shapes of the contract.

use nkudo_api::time::WallTime;
use nkudo_api::view::{ActionView, AggregateView, ExecutionView, StateFile, VmView, command_result};
use nkudo_domain::{ActionStatus, ActionType, CommandOutput, VmId, VmState};
use nkudo_tracker::{Aggregate, Phase, Tracked, Tracker, Vm};
use std::collections::BTreeMap;

/// An action and how it stands.
pub fn action_view(tracked: &Tracked) -> ActionView {
    view(tracked, ended_output(tracked).map(command_result))
}

/// The same among others, with no more than the beginning of what a command wrote.
pub fn listed_action_view(tracked: &Tracked) -> ActionView {
    let listed =
        |output: &CommandOutput| command_result(&output.clone().cut(CommandOutput::LISTED_MAX_BYTES));
    view(tracked, ended_output(tracked).map(listed))
}

/// What a command wrote that has ended.
fn ended_output(tracked: &Tracked) -> Option<&CommandOutput> {
    let execution = tracked.execution.as_ref().filter(|_| tracked.has_ended());
    execution.and_then(|execution| execution.output.as_deref())
}

fn view(tracked: &Tracked, result: Option<serde_json::Value>) -> ActionView {
    let action = &tracked.action;
    let execution = tracked.execution.as_ref();
    let outcome = tracked.outcome();
    let completed_at = match &tracked.phase {
        Phase::Ended { at_ms, .. } => Some(WallTime(*at_ms)),
        Phase::Queued
        | Phase::Intending
        | Phase::Running { .. }
        | Phase::TakingBack { .. }
        | Phase::Waiting { .. }
        | Phase::Concluding { .. } => None,
    };
    ActionView {
        action_id: action.action_id.clone(),
        plan_id: None,
        agent_id: None,
        action_type: action.request.action_type(),
        status: action_status(tracked),
        waiting_for: None,
        changed: outcome.map(nkudo_domain::Outcome::changed),
        error: outcome.and_then(|outcome| outcome.error()).map(str::to_owned),
        result,
        retries: execution.map_or(0, |execution| execution.retries),
        created_at: WallTime(tracked.admitted.wall_ms),
        started_at: execution.map(|execution| WallTime(execution.started_at_ms)),
        completed_at,
        duration_ms: execution.and_then(|execution| execution.duration_ms),
        trace_id: action.trace_id,
        vm_id: action.request.vm_id(),
    }
}

fn action_status(tracked: &Tracked) -> ActionStatus {
    match &tracked.phase {
        Phase::Queued => ActionStatus::Queued,
        Phase::Intending
        | Phase::Running { .. }
        | Phase::TakingBack { .. }
        | Phase::Waiting { .. }
        | Phase::Concluding { .. } => ActionStatus::Running,
        Phase::Ended { outcome, .. } => outcome.end().into(),
    }
}

/// A VM; `pid` is the process that is the VM.
pub fn vm_view(vm: &Vm, pid: Option<u32>) -> VmView {
    VmView {
        vm_id: vm.spec.vm_id,
        vm_name: vm.spec.vm_name.clone(),
        agent_id: None,
        state: vm.state,
        reason: vm.reason.clone(),
        vcpus: vm.spec.vcpus,
        memory_bytes: vm.spec.memory_bytes,
        provider: vm.provider,
        pid,
        since: WallTime(vm.since_ms),
        restarts: vm.restarts,
        labels: vm.spec.labels.clone(),
    }
}

/// How many VMs are in each state, zero included.
pub fn vms_by_state(tracker: &Tracker) -> BTreeMap<VmState, u64> {
    let mut counts: BTreeMap<VmState, u64> = VmState::ALL.into_iter().map(|state| (state, 0)).collect();
    for (_, vm) in tracker.vms() {
        *counts.entry(vm.state).or_default() += 1;
    }
    counts
}

/// What is kept of ended executions, by action type.
pub fn aggregate_views(aggregates: &BTreeMap<ActionType, Aggregate>) -> Vec<AggregateView> {
    aggregates
        .iter()
        .map(|(action_type, aggregate)| {
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
            let rate = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
            AggregateView {
                action_type: *action_type,
                success: aggregate.success,
                failure: aggregate.failure,
                cancelled: aggregate.cancelled,
                success_rate: rate(aggregate.success, aggregate.count()),
                p50_ms: aggregate.percentile_ms(50),
                p90_ms: aggregate.percentile_ms(90),
                p99_ms: aggregate.percentile_ms(99),
            }
        })
        .collect()
}

/// The whole of `edge-state.json`.
pub fn state_file(tracker: &Tracker, pid: impl Fn(VmId, &Vm) -> Option<u32>, now_ms: i64) -> StateFile {
    StateFile {
        outbox_id: tracker.outbox().id.clone(),
        version: StateFile::VERSION,
        written_at: WallTime(now_ms),
        queue_depth: tracker.queue_depth() as u64,
        vms: tracker.vms().map(|(vm_id, vm)| vm_view(vm, pid(vm_id, vm))).collect(),
        executions: tracker.executions().map(ExecutionView::from).collect(),
        aggregates: aggregate_views(&tracker.aggregates()),
    }
}
