//! Steps of actions as lines.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use nkudo_domain::{ActionId, ActionType, Outcome};
use nkudo_executor::{OnRecord, Room, Step, Witness, Witnessed};
use nkudo_journal::RealDisk;
use nkudo_scribe::{Entry, Kept, Scribe};

use super::{at, with_known};

/// Lines that are read back at a start to find out what a crash took. More than the steps of all actions whose results
/// are kept on a host that is not very busy; older steps are taken to be on record.
const READ_BACK_MAX: usize = 50_000;
/// A reason is cut after so many bytes, so that the reserve lasts for what is under way.
const REASON_MAX_BYTES: usize = 2_048;

/// Puts steps of actions on record.
#[derive(Debug)]
pub(super) struct Steps {
    scribe: Scribe,
    wall_ms: fn() -> i64,
    /// The steps of before this run of the program were looked at. Of an executor that starts again within it no step is missing:
    /// the scribe has them all.
    compared: AtomicBool,
    /// Actions that were begun by the lines, and of which the journal knew nothing at the last look.
    outlived: Mutex<HashSet<String>>,
}

/// What tells a step from all others: an action takes each of them once.
type Key = (String, &'static str);

/// The steps that the newest lines tell.
#[derive(Debug, Default)]
struct OnRecordAlready {
    steps: HashSet<Key>,
    /// What was begun for sure, and not so long ago that the journal may have forgotten it in its time.
    begun: HashSet<String>,
    /// When the oldest line that was read was written, where there are older ones, or were: steps of before are taken to
    /// be on record.
    from: Option<Timestamp>,
}

/// The first line of a log is a checkpoint, and the second its first entry: nothing comes before that.
const FIRST_ENTRY_SEQ: u64 = 2;

impl Steps {
    pub(super) fn new(scribe: Scribe, wall_ms: fn() -> i64) -> Self {
        Self { scribe, wall_ms, compared: AtomicBool::new(false), outlived: Mutex::default() }
    }

    fn lock_outlived(&self) -> MutexGuard<'_, HashSet<String>> {
        // A panic while it was locked left one set or the other.
        self.outlived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_back(&self) -> OnRecordAlready {
        let keep = SignedDuration::from_millis(results_keep_ms());
        let (mut already, mut lines, mut oldest) = (OnRecordAlready::default(), 0, None);
        // A clock that is behind the log makes nothing younger.
        let mut now = at((self.wall_ms)());
        let read = nkudo_audit::newest_first(&RealDisk, &self.scribe.place().log, |record| {
            lines += 1;
            oldest = Some((record.seq, record.timestamp));
            now = now.max(record.timestamp);
            let text = |name: &str| record.fields.get(name).and_then(serde_json::Value::as_str);
            let action_id = text("action_id");
            let operation = OPERATIONS.into_iter().find(|operation| *operation == record.operation);
            // What was refused under an id is not what was taken in under it later.
            if let (Some(action_id), Some(operation), true) =
                (action_id, operation, record.outcome != "refused")
            {
                already.steps.insert((action_id.to_owned(), operation));
                // A line and the record that it tells of are written at the same time, and the power may have gone before
                // the record was durable: only the end proves that the intent was. Of a command the doubt is enough.
                let is_begun = || {
                    already.steps.contains(&(action_id.to_owned(), END))
                        || text("action_type") == Some(ActionType::CommandExecute.as_str())
                };
                if operation == START && now.duration_since(record.timestamp) < keep && is_begun() {
                    already.begun.insert(action_id.to_owned());
                }
            }
            if lines < READ_BACK_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // Older ones may have been passed over, pruned, or in a file that cannot be read.
        let older = oldest.filter(|(seq, _)| read.is_err() || *seq > FIRST_ENTRY_SEQ);
        already.from = older.map(|(_, timestamp)| timestamp);
        if let Err(error) = read {
            tracing::warn!(error = &error as &dyn std::error::Error, "the audit log cannot be read back");
        }
        already
    }
}

impl Witness for Steps {
    fn room(&self) -> Room {
        match self.scribe.room() {
            nkudo_scribe::Room::Free => Room::Free,
            nkudo_scribe::Room::Reserve => Room::ForDeletes,
            nkudo_scribe::Room::None => Room::None,
            nkudo_scribe::Room::Broken => Room::Broken,
        }
    }

    fn witness(&self, steps: Vec<Witnessed>) -> OnRecord {
        let written = self.scribe.hand_over_blocking(steps.into_iter().map(entry).collect());
        Box::new(move || match written.kept_blocking() {
            // What waits in memory is told in health, and nothing new is taken in.
            Kept::OnDisk | Kept::Not => {}
        })
    }

    fn missing(&self, steps: &mut dyn Iterator<Item = Witnessed>) -> Vec<Witnessed> {
        let OnRecordAlready { steps: written, from, mut begun } = self.read_back();
        let is_there =
            |step: &Witnessed, operation| written.contains(&(step.action_id.to_string(), operation));
        let mut missing: Vec<Witnessed> = steps
            .inspect(|step| {
                begun.remove(step.action_id.as_str());
            })
            .filter(|step| from.is_none_or(|from| at(step.at_ms) >= from))
            // Steps are written in their order: before one that is there nothing is missing. What ended the moment its turn
            // came was never begun.
            .filter(|step| !is_there(step, operation(&step.step)) && !is_there(step, END))
            .collect();
        if !begun.is_empty() {
            let actions = begun.len();
            tracing::warn!(
                actions,
                "actions are in the audit log and not in the journal, whose records were lost: they are not begun again"
            );
        }
        *self.lock_outlived() = begun;
        if self.compared.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        missing.sort_by_key(|step| step.at_ms);
        if !missing.is_empty() {
            let steps = missing.len();
            tracing::warn!(
                steps,
                "steps of actions are in the journal and not in the audit log: they are written now"
            );
        }
        missing
    }

    fn outlived(&self, action_id: &ActionId) -> bool {
        self.lock_outlived().contains(action_id.as_str())
    }
}

const ACCEPT: &str = "action.accept";
const START: &str = "action.start";
const END: &str = "action.end";
const OPERATIONS: [&str; 3] = [ACCEPT, START, END];

/// How long the journal keeps the result of an action at least. What ended before that it may have forgotten.
fn results_keep_ms() -> i64 {
    i64::try_from(nkudo_tracker::Config::default().results_keep_ms).unwrap_or(i64::MAX)
}

const fn operation(step: &Step) -> &'static str {
    match step {
        Step::Accepted => ACCEPT,
        Step::Started => START,
        Step::Ended { .. } => END,
    }
}

fn entry(step: Witnessed) -> Entry<'static> {
    let operation = operation(&step.step);
    let (trace_id, correlation_id) = (step.trace_id, step.correlation_id.clone());
    let Witnessed { step, at_ms, action_id, action_type, vm_id, command, vm_name, asked_by, .. } = step;
    let outcome = match &step {
        Step::Accepted => "accepted",
        Step::Started => "started",
        Step::Ended { outcome: Outcome::Success { .. }, .. } => "success",
        Step::Ended { outcome: Outcome::Failure { .. }, .. } => "failure",
        Step::Ended { outcome: Outcome::Cancelled, .. } => "cancelled",
        Step::Ended { outcome: Outcome::Expired, .. } => "expired",
    };
    let entry = Entry::new(at(at_ms), "executor", operation, asked_by.as_str(), outcome)
        .field("action_id", action_id.to_string())
        .field("action_type", action_type.as_str());
    let optional = [
        ("vm_id", vm_id.map(|vm_id| vm_id.to_string())),
        ("command", command.map(|program| program.display().to_string())),
        ("vm_name", vm_name.map(|name| name.to_string())),
        ("trace_id", trace_id.map(|id| id.to_string())),
        ("correlation_id", correlation_id),
    ];
    let entry = with_known(entry, optional);
    let Step::Ended { outcome, duration_ms } = step else { return entry };
    let entry = match duration_ms {
        Some(duration_ms) => entry.field("duration_ms", duration_ms),
        None => entry,
    };
    match outcome {
        Outcome::Success { changed } => entry.field("changed", changed),
        Outcome::Failure { mut error } => {
            error.truncate(error.floor_char_boundary(REASON_MAX_BYTES));
            entry.field("reason", error)
        }
        Outcome::Cancelled | Outcome::Expired => entry,
    }
}

#[cfg(test)]
mod tests;
