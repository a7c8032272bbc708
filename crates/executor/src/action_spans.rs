//! The spans of actions from their admission to their end, whatever task does a part of them.

use std::collections::HashMap;

use nkudo_domain::{Action, ActionId, Deed, HostCommand, Outcome, Request};
use nkudo_tracker::{Phase, Record, Tracked, Tracker};
use tracing::Span;
use tracing::field::Empty;

/// The span of an action's execution, named after its type.
macro_rules! execution_span {
    ($action:ident, $recovered:ident, [$($kind:ident => $name:literal),+ $(,)?]) => {
        match &$action.request {
            $(Request::$kind(_) => tracing::info_span!(
                parent: None,
                $name,
                trace_id = $action.trace_id.map(display),
                parent_span_id = $action.parent_span_id.map(display),
                action_id = %$action.action_id,
                vm_id = $action.request.vm_id().map(display),
                correlation_id = $action.correlation_id,
                recovered = $recovered,
                status = Empty,
                error = Empty,
            ),)+
        }
    };
}

/// The open spans of the actions that have not ended: as many as the tracker admits.
#[derive(Debug, Default)]
pub(crate) struct ActionSpans(HashMap<ActionId, Open>);

#[derive(Debug)]
struct Open {
    execution: Span,
    /// While it waits for its turn.
    queued: Option<Span>,
}

impl Open {
    fn of(action: &Action, recovered: bool, is_queued: bool) -> Self {
        let execution = execution_span!(action, recovered, [
            Create => "MicroVMCreate",
            Start => "MicroVMStart",
            Stop => "MicroVMStop",
            Pause => "MicroVMPause",
            Resume => "MicroVMResume",
            Delete => "MicroVMDelete",
            Execute => "CommandExecute",
        ]);
        let queued = is_queued.then(|| tracing::info_span!(parent: &execution, "waited in the lane"));
        Self { execution, queued }
    }
}

impl ActionSpans {
    /// Of the actions that a former run of the program left open. Their spans go on below the one that brought them.
    pub(crate) fn recovered(tracker: &Tracker) -> Self {
        let open = tracker.actions().filter(|tracked| !tracked.has_ended());
        let spans = |Tracked { action, phase, .. }: &Tracked| {
            (action.action_id.clone(), Open::of(action, true, *phase == Phase::Queued))
        };
        Self(open.map(spans).collect())
    }

    /// The execution of an action, for what is done for it. None of an action that has ended.
    pub(crate) fn execution(&self, action_id: &ActionId) -> Span {
        self.0.get(action_id).map_or_else(Span::none, |open| open.execution.clone())
    }

    /// One attempt of a deed.
    pub(crate) fn attempt(&self, action_id: &ActionId, number: u32, deed: Deed) -> Span {
        match self.0.get(action_id) {
            Some(open) => {
                tracing::info_span!(parent: &open.execution, "attempt", number, ?deed, error = Empty)
            }
            None => Span::none(),
        }
    }

    /// A command of the host, without its arguments: they may hold secrets.
    pub(crate) fn command(&self, action_id: &ActionId, command: &HostCommand) -> Span {
        let program = command.program.display();
        match self.0.get(action_id) {
            Some(open) => {
                tracing::info_span!(parent: &open.execution, "command", %program, exit_code = Empty, error = Empty)
            }
            None => Span::none(),
        }
    }

    /// A record goes to the journal. Answers the span of its way there, which ends when it is durable.
    pub(crate) fn record(&mut self, record: &Record) -> Span {
        let (action_id, kind) = match record {
            Record::Accepted { action, .. } => {
                self.0.insert(action.action_id.clone(), Open::of(action, false, true));
                (&action.action_id, "accepted")
            }
            Record::Started { execution, .. } => {
                self.leave_lane(&execution.action_id);
                (&execution.action_id, "started")
            }
            Record::Ended { action_id, .. } => {
                self.leave_lane(action_id);
                (action_id, "ended")
            }
            Record::Vm(_) | Record::Outbox { .. } | Record::Acknowledged { .. } | Record::Aggregates(_) => {
                return Span::none();
            }
        };
        match self.0.get(action_id) {
            Some(open) => {
                tracing::info_span!(parent: &open.execution, "journal append", record = kind, error = Empty)
            }
            None => Span::none(),
        }
    }

    fn leave_lane(&mut self, action_id: &ActionId) {
        if let Some(open) = self.0.get_mut(action_id) {
            open.queued = None;
        }
    }

    /// The outcome is durable: tells it within the execution, which ends with that.
    pub(crate) fn ended(&mut self, action_id: &ActionId, outcome: &Outcome, tell_lines: impl FnOnce()) {
        let execution = self.0.remove(action_id).map_or_else(Span::none, |open| open.execution);
        execution.record("status", outcome.status().as_str());
        if let Some(error) = outcome.error() {
            execution.record("error", error);
        }
        execution.in_scope(tell_lines);
    }
}
