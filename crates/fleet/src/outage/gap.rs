//! A gap that is open: since when, and what it is blamed on so far.

use nkudo_domain::{AgentId, OutageCause};
use serde::{Deserialize, Serialize};

use super::{EVIDENCE_MAX_BYTES, Failure, Moment, Outage};

/// Some time without the control plane that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub agent_id: Option<AgentId>,
    pub cause: OutageCause,
    pub evidence: String,
    pub began: Moment,
    pub failures: u32,
    /// The cause is a guess until a failure that is not doubtful.
    pub doubtful: bool,
    /// One try in a row failed for another cause.
    other: Option<Other>,
}

/// The last try, which failed for another cause than the gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Other {
    cause: OutageCause,
    evidence: String,
    at: Moment,
}

/// What a failure made of a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The cause is the same; only its evidence is newer.
    Same,
    /// The cause is known now.
    Cause,
    /// The gap was over at this time, and this one goes on from there.
    Followed(Moment, Box<Gap>),
}

impl Gap {
    pub(super) fn begin(began: Moment, agent_id: Option<AgentId>, failure: Failure, evidence: &str) -> Self {
        Self {
            agent_id,
            cause: failure.cause(),
            evidence: cut(evidence),
            began,
            failures: 1,
            doubtful: failure.is_doubtful(),
            other: None,
        }
    }

    /// Another try failed.
    pub(super) fn failed(&mut self, now: Moment, failure: Failure, evidence: &str) -> Change {
        let cause = failure.cause();
        self.failures = self.failures.saturating_add(1);
        if failure.is_doubtful() && !self.doubtful {
            return Change::Same;
        }
        if cause == self.cause || self.doubtful {
            let is_news = cause != self.cause || self.doubtful != failure.is_doubtful();
            (self.cause, self.evidence) = (cause, cut(evidence));
            (self.doubtful, self.other) = (failure.is_doubtful(), None);
            return if is_news { Change::Cause } else { Change::Same };
        }
        match self.other.take() {
            Some(other) if other.cause == cause => {
                // Both tries are of the gap that follows.
                self.failures = self.failures.saturating_sub(2);
                let mut next = Self::begin(other.at, self.agent_id, failure, evidence);
                next.failures = 2;
                Change::Followed(other.at, Box::new(next))
            }
            Some(_) | None => {
                self.other = Some(Other { cause, evidence: cut(evidence), at: now });
                Change::Same
            }
        }
    }

    /// As an outage that was over at this time.
    pub fn until(&self, end: Moment) -> Outage {
        Outage {
            cause: self.cause,
            evidence: self.evidence.clone(),
            began_at_ms: self.began.wall_ms,
            ended_at_ms: end.wall_ms,
            duration_ms: end.boottime_ms.saturating_sub(self.began.boottime_ms),
            by_wall_clock: false,
            failures: self.failures,
        }
    }
}

pub(super) fn cut(evidence: &str) -> String {
    let mut evidence = evidence.to_owned();
    evidence.truncate(evidence.floor_char_boundary(EVIDENCE_MAX_BYTES));
    evidence
}
