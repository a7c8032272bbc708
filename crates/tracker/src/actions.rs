//! Actions from their admission until their results may be forgotten.

use nkudo_domain::{Action, Deed, Execution, Outcome};

use crate::admission::millis;
use crate::record::Stamp;

/// How far an action is.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// It waits in its lane.
    Queued,
    /// Its intent is written and not yet durable.
    Intending,
    /// A deed is being done.
    Running {
        interrupted: Option<Interruption>,
    },
    /// Its failed or interrupted deed is being taken back; then it ends with this outcome.
    TakingBack {
        outcome: Outcome,
        tries: u32,
    },
    /// It waits for its next attempt, until this time on the boot-time clock.
    Waiting {
        until_ms: u64,
    },
    /// Its outcome is written and not yet durable, so that nobody may know it yet.
    Concluding {
        outcome: Outcome,
        at_ms: i64,
        execution: Option<Box<Execution>>,
    },
    Ended {
        outcome: Outcome,
        at_ms: i64,
    },
}

/// Why a deed is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    Cancelled,
    TimedOut,
}

/// An action and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    pub action: Action,
    pub admitted: Stamp,
    /// Its place in the order of admission.
    pub(crate) ordinal: u64,
    pub phase: Phase,
    /// From its start on.
    pub execution: Option<Execution>,
    /// What a provider is to do for it, once that is decided.
    pub(crate) deed: Option<Deed>,
    /// Attempts begun, takings back included.
    pub attempt: u32,
    /// When the execution started, on the monotonic clock of this run of the program.
    pub(crate) started_monotonic_ms: u64,
    /// Its place among the results that are told elsewhere, once its end is written.
    pub(crate) result_seq: Option<u64>,
    /// It was taken in while the host reported as another agent, which alone had to be told of it.
    pub foreign: bool,
    /// Cancelled while its intent was not durable.
    pub(crate) cancel_asked: bool,
    /// On the boot-time clock.
    pub(crate) deadline_ms: u64,
    /// It is that of a command's own timeout, which counts from its start.
    pub(crate) deadline_is_own: bool,
    /// When it is too old to be started, on the boot-time clock.
    pub(crate) expires_ms: Option<u64>,
    /// There was a record of its start.
    pub has_started: bool,
}

impl Tracked {
    /// An action that waits in its lane.
    pub(crate) fn queued(action: Action, admitted: Stamp, ordinal: u64) -> Self {
        let after = |duration| admitted.boottime_ms.saturating_add(millis(duration));
        Self {
            deadline_ms: after(action.timeout),
            expires_ms: action.start_within.map(after),
            action,
            admitted,
            ordinal,
            phase: Phase::Queued,
            execution: None,
            deed: None,
            attempt: 0,
            started_monotonic_ms: 0,
            result_seq: None,
            foreign: false,
            cancel_asked: false,
            deadline_is_own: false,
            has_started: false,
        }
    }

    /// When it is not to be started any more, and whether that is because it expires.
    pub(crate) fn start_by(&self) -> (u64, bool) {
        match self.expires_ms {
            Some(expires_ms) if expires_ms < self.deadline_ms => (expires_ms, true),
            Some(_) | None => (self.deadline_ms, false),
        }
    }

    /// Its place among the results that are told elsewhere, once its end is durable.
    pub fn result_seq(&self) -> Option<u64> {
        self.result_seq.filter(|_| self.has_ended())
    }

    /// Whether it ended and everybody may know.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Its outcome, once it is durable.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Ended { outcome, .. } => Some(outcome),
            Phase::Queued
            | Phase::Intending
            | Phase::Running { .. }
            | Phase::TakingBack { .. }
            | Phase::Waiting { .. }
            | Phase::Concluding { .. } => None,
        }
    }

    /// Whether it holds its lane: it began and its outcome is not yet durable.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Queued | Phase::Ended { .. })
    }

    /// Whether a provider works for it.
    pub(crate) fn is_performing(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::TakingBack { .. })
    }
}
