//! Who puts on record what becomes of actions.

use std::fmt;
use std::path::{Path, PathBuf};

use nkudo_domain::{Action, ActionId, ActionType, AskedBy, Outcome, Request, TraceId, VmId, VmName};
use nkudo_tracker::{Phase, Record, Tracked, Tracker};

/// Whether there is room to put another action on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Free,
    /// Only for what makes an end of a VM.
    ForDeletes,
    None,
    /// Nothing can be put on record at all.
    Broken,
}

/// A step of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Accepted,
    /// Its deed is about to be done.
    Started,
    Ended {
        outcome: Outcome,
        /// None where it never began.
        duration_ms: Option<u64>,
    },
}

/// A step of an action, with what tells which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    pub step: Step,
    pub at_ms: i64,
    pub action_id: ActionId,
    pub action_type: ActionType,
    /// None where it is about no VM.
    pub vm_id: Option<VmId>,
    /// The program of a command.
    pub command: Option<PathBuf>,
    /// Where the action names it.
    pub vm_name: Option<VmName>,
    pub asked_by: AskedBy,
    pub trace_id: Option<TraceId>,
    pub correlation_id: Option<String>,
}

/// Waits until steps are on record, or it is known that they are not.
pub type OnRecord = Box<dyn FnOnce() + Send>;

/// Puts steps of actions on record.
///
/// A step is handed over when its record goes to the journal, and what follows from the record waits for both: an action
/// is on record before it is begun, and its end before anybody hears of it. Both are written at the same time.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Whether another action may be taken in.
    fn room(&self) -> Room;

    /// Takes steps in their order. Called where it may block.
    fn witness(&self, steps: Vec<Witnessed>) -> OnRecord;

    /// Those of the steps that are not on record: a crash may have come between the journal and the record. Called with
    /// all that the journal tells, each time an executor starts.
    fn missing(&self, steps: &mut dyn Iterator<Item = Witnessed>) -> Vec<Witnessed>;

    /// Whether it is on record that an action was begun or has ended of which the journal told nothing: its records were lost.
    fn outlived(&self, action_id: &ActionId) -> bool;
}

/// Nobody puts anything on record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nobody;

impl Witness for Nobody {
    fn room(&self) -> Room {
        Room::Free
    }

    fn witness(&self, _steps: Vec<Witnessed>) -> OnRecord {
        Box::new(|| ())
    }

    fn missing(&self, _steps: &mut dyn Iterator<Item = Witnessed>) -> Vec<Witnessed> {
        Vec::new()
    }

    fn outlived(&self, _action_id: &ActionId) -> bool {
        false
    }
}

impl Witnessed {
    fn of(action: &Action, step: Step, at_ms: i64) -> Self {
        let vm_name = match &action.request {
            Request::Create(create) => Some(create.spec.vm_name.clone()),
            Request::Start(_)
            | Request::Stop(_)
            | Request::Delete(_)
            | Request::Pause(_)
            | Request::Resume(_)
            | Request::Execute(_) => None,
        };
        Self {
            step,
            at_ms,
            action_id: action.action_id.clone(),
            action_type: action.request.action_type(),
            vm_id: action.request.vm_id(),
            command: action.request.program().map(Path::to_owned),
            vm_name,
            asked_by: action.asked_by,
            trace_id: action.trace_id,
            correlation_id: action.correlation_id.clone(),
        }
    }

    /// The step that a record tells of an action; none where it is of something else.
    pub(crate) fn told_by(record: &Record, tracker: &Tracker) -> Option<Self> {
        let of = |action_id, step, at_ms| {
            let tracked = tracker.action(action_id)?;
            Some(Self::of(&tracked.action, step, at_ms))
        };
        match record {
            Record::Accepted { action, admitted, foreign: false } => {
                Some(Self::of(action, Step::Accepted, admitted.wall_ms))
            }
            Record::Started { execution, vm: _ } => {
                of(&execution.action_id, Step::Started, execution.started_at_ms)
            }
            Record::Ended { action_id, outcome, at_ms, execution, .. } => {
                let duration_ms = execution.as_ref().and_then(|execution| execution.duration_ms);
                of(action_id, Step::Ended { outcome: outcome.clone(), duration_ms }, *at_ms)
            }
            // What was taken in as another agent was on record before it was called so.
            Record::Accepted { foreign: true, .. }
            | Record::Vm(_)
            | Record::Outbox { .. }
            | Record::Acknowledged { .. }
            | Record::Aggregates(_) => None,
        }
    }

    /// Every step that the journal knows.
    pub(crate) fn all(tracker: &Tracker) -> impl Iterator<Item = Self> + '_ {
        tracker.actions().flat_map(|tracked: &Tracked| {
            let Tracked { action, admitted, phase, execution, .. } = tracked;
            let accepted = Some(Self::of(action, Step::Accepted, admitted.wall_ms));
            let began = execution.as_ref();
            // What ended the moment its turn came was not begun.
            let started = began
                .filter(|_| tracked.has_started)
                .map(|execution| Self::of(action, Step::Started, execution.started_at_ms));
            let ended = match phase {
                Phase::Ended { outcome, at_ms } => {
                    let duration_ms = began.and_then(|execution| execution.duration_ms);
                    let step = Step::Ended { outcome: outcome.clone(), duration_ms };
                    Some(Self::of(action, step, *at_ms))
                }
                Phase::Queued
                | Phase::Intending
                | Phase::Running { .. }
                | Phase::TakingBack { .. }
                | Phase::Waiting { .. }
                | Phase::Concluding { .. } => None,
            };
            [accepted, started, ended].into_iter().flatten()
        })
    }
}
