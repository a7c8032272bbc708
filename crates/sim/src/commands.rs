//! Commands that hosts run: how they begin and end, and what is told of them.

use nkudo_domain::{ActionId, CommandOutput, HostCommand, Request, ResourceUsage};
use nkudo_tracker::{CommandEnd, CommandReport, Input, Record};

use crate::bug::Bug;
use crate::effects::PARTS;
use crate::judge::BeginState;
use crate::plan::{Fate, Part};
use crate::world::{Event, World};

/// What commands may run on these hosts.
pub(crate) const PROGRAM: &str = "/usr/bin/report";
/// The most that one writes, in bytes.
const WRITES_MAX: u64 = 400;

/// A command that runs, as the agent knows it.
#[derive(Debug, Clone)]
pub(crate) struct RunningCommand {
    pub(crate) action_id: ActionId,
    fate: Fate,
    interrupted: bool,
    /// Its end was told already.
    told: bool,
}

impl World<'_> {
    pub(crate) fn command_begins(&mut self, agent: usize, action_id: &ActionId, command: &HostCommand) {
        let at_us = self.at_us;
        let fate = self.fate(action_id);
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let Some(run) = edge.run.as_mut() else { return };
        let timeout = run.tracker.action(action_id).map_or(0, |tracked| tracked.action.timeout.as_millis());
        let state = BeginState {
            intent_durable: run.is_durable(run.written.started.get(action_id)),
            taking_back: false,
            timeout_ms: u64::try_from(timeout).unwrap_or(u64::MAX),
            at_us,
        };
        // A file that cannot be run is none that began.
        let begins = fate != Fate::Lies;
        let beside = if begins { edge.host.command_begins(action_id) } else { None };
        let times = edge.host.command(action_id).times;
        run.last_deed += 1;
        let (command_number, number) = (run.last_deed, run.number);
        let running = RunningCommand { action_id: action_id.clone(), fate, interrupted: false, told: false };
        run.commands.insert(command_number, running);
        if let Some(beside) = beside {
            let what = format!("{action_id} beside {beside} on agent {agent}");
            self.judge.breaks("one command at a time on a host", what);
        }
        if begins {
            self.judge.runs(agent, action_id, times, state);
        }
        let may_take_s = command.timeout.as_secs();
        self.tell(|| format!("agent {agent}: command {action_id} begins, for {may_take_s} s ({fate:?})"));
        if fate != Fate::Hangs {
            let wait_us = self.chance("command").between(5_000, 4_000_000);
            self.after(wait_us, Event::CommandEnds { agent, run: number, command: command_number });
        }
    }

    /// Asks for the end of a command that runs.
    pub(crate) fn interrupt_command(&mut self, agent: usize, action_id: &ActionId) {
        let bug = self.bug;
        let Some(run) = self.running(agent) else { return };
        let number = run.number;
        let found = run.commands.iter_mut().find(|(_, running)| running.action_id == *action_id);
        let Some((command, running)) = found else { return };
        let command = *command;
        running.interrupted = true;
        let wait_us = self.chance("interrupt").between(500, 20_000);
        self.after(wait_us, Event::CommandEnds { agent, run: number, command });
        if bug == Some(Bug::ReportsCommandsAtOnce) {
            if let Some(running) = self.running(agent).and_then(|run| run.commands.get_mut(&command)) {
                running.told = true;
            }
            self.report_command(agent, action_id, CommandEnd::Interrupted);
        }
    }

    pub(crate) fn command_ends(&mut self, agent: usize, command: u64) {
        let bug = self.bug;
        let interrupted_at = *self.chance("part").pick(&PARTS).unwrap_or(&Part::Half);
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let Some(run) = edge.run.as_mut() else { return };
        let Some(running) = run.commands.remove(&command) else { return };
        let (part, end) = match running.fate {
            Fate::Lies => (Part::Nothing, CommandEnd::NotStarted { error: "no such file".to_owned() }),
            _ if running.interrupted && bug == Some(Bug::CallsEndedNotStarted) => {
                (interrupted_at, CommandEnd::NotStarted { error: "it did not run".to_owned() })
            }
            _ if running.interrupted => (interrupted_at, CommandEnd::Interrupted),
            Fate::Done | Fate::Hangs => (Part::Whole, CommandEnd::Exited(0)),
            Fate::FailsTransiently(part) => (part, CommandEnd::Killed { signal: Some(15) }),
            Fate::Fails(part) => (part, CommandEnd::Exited(1)),
        };
        let end = match end {
            CommandEnd::Exited(_) if bug == Some(Bug::IgnoresExitStatus) => CommandEnd::Exited(0),
            end => end,
        };
        edge.host.command_ends(&running.action_id, part);
        if !running.told {
            self.report_command(agent, &running.action_id, end);
        }
    }

    fn report_command(&mut self, agent: usize, action_id: &ActionId, end: CommandEnd) {
        let writes = usize::try_from(self.chance("output").below(WRITES_MAX)).unwrap_or(0);
        let has_run = !matches!(end, CommandEnd::NotStarted { .. });
        let exit_code = if let CommandEnd::Exited(status) = end { Some(status) } else { None };
        let stdout = "x".repeat(writes);
        let output = has_run.then(|| CommandOutput { exit_code, stdout, ..CommandOutput::default() });
        self.tell(|| format!("agent {agent}: command {action_id} gives {end:?}"));
        let report = CommandReport { end, output, usage: ResourceUsage::default() };
        self.step(agent, Input::CommandEnded { action_id: action_id.clone(), report });
    }
}

/// The command of an action, if it is one.
pub(crate) fn command_of(request: &Request) -> Option<&HostCommand> {
    match request {
        Request::Execute(command) => Some(command),
        Request::Create(_)
        | Request::Start(_)
        | Request::Stop(_)
        | Request::Delete(_)
        | Request::Pause(_)
        | Request::Resume(_) => None,
    }
}

/// The records without the intents of commands that have not ended: as if they had never begun.
pub(crate) fn without_open_intents(records: Vec<Record>) -> Vec<Record> {
    let ended: Vec<ActionId> = records
        .iter()
        .filter_map(|record| match record {
            Record::Ended { action_id, .. } => Some(action_id.clone()),
            Record::Accepted { .. }
            | Record::Started { .. }
            | Record::Vm(_)
            | Record::Outbox { .. }
            | Record::Acknowledged { .. }
            | Record::Aggregates(_) => None,
        })
        .collect();
    let is_open = |record: &Record| {
        matches!(record, Record::Started { execution, .. }
            if execution.vm_id.is_none() && !ended.contains(&execution.action_id))
    };
    records.into_iter().filter(|record| !is_open(record)).collect()
}
