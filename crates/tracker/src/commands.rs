//! Commands of the host: run one after another, each at most once, and never again after a doubt.

use std::collections::VecDeque;

use nkudo_domain::{ActionId, Lane, Outcome, Request};

use crate::actions::{Interruption, Phase};
use crate::admission::millis;
use crate::config::Now;
use crate::message::{Admission, CommandEnd, CommandReport, Effect};
use crate::record::Record;
use crate::tracker::{Gated, Tracker};

/// Told of a command that was begun, and of whose end there is no record.
const OUTCOME_UNKNOWN: &str = "interrupted, outcome unknown";

impl Tracker {
    /// Why another command is not taken in, if it is not.
    pub(crate) fn no_room_for_command(&self) -> Option<Admission> {
        let waiting = self.lanes.get(&Lane::Commands).map_or(0, VecDeque::len);
        if waiting >= self.config.commands_max {
            Some(Admission::CommandsFull)
        } else if self.outputs.bytes > self.config.outputs_max {
            Some(Admission::OutputsFull)
        } else {
            None
        }
    }

    /// Writes the intent; the command is run once that is durable.
    pub(crate) fn intend_command(&mut self, action_id: &ActionId) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        tracked.phase = Phase::Intending;
        tracked.has_started = true;
        let Some(execution) = tracked.execution.clone().map(Box::new) else { return };
        self.write(Record::Started { execution: execution.clone(), vm: None });
        self.after_written(Gated::Effect(Effect::Started { execution }));
        self.after_written(Gated::Begin(action_id.clone()));
    }

    /// The intent is durable.
    pub(crate) fn execute(&mut self, action_id: &ActionId, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Request::Execute(command) = &tracked.action.request else { return };
        if tracked.cancel_asked {
            return self.conclude(action_id, Outcome::Cancelled, None, now);
        }
        if tracked.deadline_ms <= now.boottime_ms {
            let outcome = self.timed_out(action_id);
            return self.conclude(action_id, outcome, None, now);
        }
        tracked.attempt += 1;
        tracked.phase = Phase::Running { interrupted: None };
        let own_deadline_ms = now.boottime_ms.saturating_add(millis(command.timeout));
        tracked.deadline_is_own = own_deadline_ms <= tracked.deadline_ms;
        tracked.deadline_ms = tracked.deadline_ms.min(own_deadline_ms);
        let command = Box::new(command.clone());
        self.effects.push(Effect::Execute { action_id: action_id.clone(), command });
    }

    /// A command has ended, one way or another.
    pub(crate) fn command_ended(&mut self, action_id: &ActionId, report: CommandReport, now: Now) {
        let Some(tracked) = self.actions.get_mut(action_id) else { return };
        let Phase::Running { interrupted } = tracked.phase else { return };
        let Request::Execute(command) = &tracked.action.request else { return };
        let timed_out = || {
            let (timeout, of_what) = if tracked.deadline_is_own {
                (command.timeout, "")
            } else {
                (tracked.action.timeout, ", the wait for its turn included")
            };
            let after_s = timeout.as_secs();
            let error =
                format!("timed out after {after_s} s{of_what}; it was ended with all that it had started");
            Outcome::Failure { error }
        };
        let outcome = match (report.end, interrupted) {
            (CommandEnd::Stuck { pids }, _) => {
                let error = format!(
                    "its processes {pids:?} cannot be ended, as the kernel holds them; does a file system or a disk of the host hang?"
                );
                Outcome::Failure { error }
            }
            (CommandEnd::Exited(0), _) => Outcome::Success { changed: true },
            (_, Some(Interruption::Cancelled)) | (CommandEnd::Interrupted, None) => Outcome::Cancelled,
            (CommandEnd::Interrupted, Some(Interruption::TimedOut)) => timed_out(),
            (CommandEnd::Exited(status), _) => {
                Outcome::Failure { error: format!("it exited with status {status}") }
            }
            (CommandEnd::Killed { signal: Some(signal) }, _) => {
                Outcome::Failure { error: format!("it was killed by signal {signal}") }
            }
            (CommandEnd::Killed { signal: None }, _) => {
                Outcome::Failure { error: "it ended, and it is not known how".to_owned() }
            }
            (CommandEnd::NotStarted { error }, _) => Outcome::Failure { error },
        };
        if let Some(execution) = &mut tracked.execution {
            execution.usage = report.usage;
            execution.output = report.output.map(Box::new);
        }
        self.conclude(action_id, outcome, None, now);
    }

    /// Nobody knows how far it came: it is not run again.
    pub(crate) fn give_up_on_command(&mut self, action_id: &ActionId, now: Now) {
        self.conclude(action_id, Outcome::Failure { error: OUTCOME_UNKNOWN.to_owned() }, None, now);
    }
}
