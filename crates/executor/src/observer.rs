//! What others see of the tracker's decisions: metrics, log lines, events.

use std::sync::Arc;

use nkudo_api::view::VmView;
use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Action, Execution, ExecutionStatus, Outcome, VmId, VmName, VmState};
use nkudo_supervision::Operations;
use nkudo_tracker::{Tracker, Vm};
use tokio::sync::broadcast;
use tracing::field::display;

use crate::command::Event;
use crate::projection::{action_view, vm_view, vms_by_state};
use crate::witness::Witness;

/// Tells about what happened, each thing in one method, so that log, metrics and events cannot drift apart.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) metrics: AgentMetrics,
    /// What the executor has the kernel do.
    pub(crate) operations: Operations,
    pub(crate) events: broadcast::Sender<Event>,
    /// Puts on record what becomes of actions.
    pub(crate) witness: Arc<dyn Witness>,
}

impl Observer {
    /// Told within the span of the execution, which says which action it is.
    pub(crate) fn started(&self, tracker: &Tracker, execution: &Execution) {
        tracing::info!(
            action_type = %execution.action_type,
            vm_id = execution.vm_id.map(display),
            "action started"
        );
        self.tell_action(tracker, &execution.action_id);
    }

    /// Told within the span of the execution, as its start; [`Observer::tell_action`] is for after it.
    pub(crate) fn ended(&self, action: &Action, outcome: &Outcome, execution: Option<&Execution>) {
        let action_type = action.request.action_type();
        match execution {
            Some(execution) => {
                let status = if outcome.status() == ExecutionStatus::Success { "success" } else { "failure" };
                self.metrics.action_executed(action_type, status);
                self.metrics.action_duration(action_type, execution.duration_ms.unwrap_or(0));
                self.metrics.action_retries(action_type, execution.retries);
            }
            None => {
                let status = match outcome {
                    Outcome::Cancelled => "cancelled",
                    Outcome::Expired => "expired",
                    Outcome::Success { .. } | Outcome::Failure { .. } => "timed_out",
                };
                self.metrics.action_ended(action_type, status);
            }
        }
        let duration_ms = execution.and_then(|execution| execution.duration_ms);
        let vm_id = action.request.vm_id().map(display);
        match outcome {
            Outcome::Success { changed } => {
                tracing::info!(%action_type, vm_id, changed, duration_ms, "action succeeded");
            }
            Outcome::Failure { error } => {
                tracing::warn!(%action_type, vm_id, error, duration_ms, "action failed");
            }
            Outcome::Cancelled => tracing::info!(%action_type, vm_id, duration_ms, "action cancelled"),
            Outcome::Expired => tracing::warn!(%action_type, vm_id, "action expired before its turn came"),
        }
    }

    /// The host is enrolled anew: so many results are never told.
    pub(crate) fn reporter_changed(&self, given_up: usize) {
        self.metrics.results_given_up(given_up as u64);
        if given_up > 0 {
            tracing::warn!(
                results = given_up,
                "the host was enrolled anew; results owed before are never told"
            );
        } else {
            tracing::info!("the host was enrolled anew; nothing was owed");
        }
    }

    pub(crate) fn tell_action(&self, tracker: &Tracker, action_id: &nkudo_domain::ActionId) {
        if let Some(tracked) = tracker.action(action_id) {
            self.tell(Event::Action { view: Box::new(action_view(tracked)), foreign: tracked.foreign });
        }
    }

    pub(crate) fn vm_changed(&self, tracker: &Tracker, vm: &Vm, pid: Option<u32>) {
        let (vm_id, vm_name) = (vm.spec.vm_id, &vm.spec.vm_name);
        let reason = vm.reason.as_deref();
        if vm.state == VmState::Failed {
            tracing::error!(%vm_id, %vm_name, state = %vm.state, reason, "vm changed state");
        } else {
            tracing::info!(%vm_id, %vm_name, state = %vm.state, reason, "vm changed state");
        }
        self.show_vm(vm);
        if !vm.is_alive() {
            self.metrics.vm_process_ended(vm_id, vm_name);
        }
        self.count_vms(tracker);
        let view: VmView = vm_view(vm, pid);
        self.tell(Event::Vm(Box::new(view)));
    }

    pub(crate) fn show_vm(&self, vm: &Vm) {
        let (vm_id, vm_name) = (vm.spec.vm_id, &vm.spec.vm_name);
        self.metrics.vm_configured(vm_id, vm_name, vm.spec.vcpus, vm.spec.memory_bytes);
        self.metrics.vm_restarts(vm_id, vm_name, vm.restarts);
    }

    pub(crate) fn vm_gone(&self, tracker: &Tracker, vm_id: VmId, vm_name: &VmName) {
        tracing::info!(%vm_id, %vm_name, "vm is gone");
        self.metrics.forget_vm(vm_id, vm_name);
        self.count_vms(tracker);
        self.tell(Event::VmGone(vm_id));
    }

    pub(crate) fn adopted(&self, vm: &Vm, pid: Option<u32>) {
        tracing::info!(
            vm_id = %vm.spec.vm_id, vm_name = %vm.spec.vm_name, state = %vm.state, pid, "vm adopted"
        );
    }

    pub(crate) fn count_vms(&self, tracker: &Tracker) {
        for (state, count) in vms_by_state(tracker) {
            self.metrics.vms(state, count);
        }
    }

    /// What ended while the executor was being restarted was told to nobody.
    pub(crate) fn look_again(&self) {
        self.tell(Event::LookAgain);
    }

    /// Nobody listening is fine.
    fn tell(&self, event: Event) {
        drop(self.events.send(event));
    }
}
