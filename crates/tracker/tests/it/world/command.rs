//! The commands that a [`World`]'s host runs: each is counted over all runs of the program.

use std::collections::VecDeque;

use nkudo_domain::{ActionId, CommandOutput, HostCommand, ResourceUsage};
use nkudo_tracker::{CommandEnd, CommandReport, Input, Record};

use crate::world::{World, accepts, ends, starts};

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandFate {
    Exits(i32),
    /// Somebody else ends it.
    Killed(Option<i32>),
    NotStarted,
    /// It exits just before it would be ended, and never without that.
    EndsFirst(i32),
    /// It never ends by itself.
    Hangs,
}

#[derive(Debug)]
struct RunningCommand {
    action_id: ActionId,
    fate: CommandFate,
    interrupted: bool,
}

/// What a host has run, and what it runs.
#[derive(Debug)]
pub(crate) struct Commands {
    running: Option<RunningCommand>,
    /// What becomes of the next; the others exit well.
    pub(crate) fates: VecDeque<CommandFate>,
    /// Every one that was begun, in order, whatever became of it.
    pub(crate) begun: Vec<ActionId>,
    /// Bytes that each writes.
    pub(crate) writes: usize,
}

impl Default for Commands {
    fn default() -> Self {
        Self { running: None, fates: VecDeque::new(), begun: Vec::new(), writes: 3 }
    }
}

impl Commands {
    pub(crate) fn running(&self) -> Option<&ActionId> {
        self.running.as_ref().map(|command| &command.action_id)
    }

    pub(crate) fn interrupted(&mut self, action_id: &ActionId) -> Option<&mut bool> {
        let running = self.running.as_mut().filter(|command| command.action_id == *action_id);
        running.map(|command| &mut command.interrupted)
    }

    pub(crate) fn has_begun(&self, id: &str) -> bool {
        self.begun.iter().any(|begun| begun.as_str() == id)
    }

    /// A command ends with the program, or before its next run.
    pub(crate) fn killed(&mut self) {
        self.running = None;
    }

    pub(crate) fn end_hangs(&mut self) {
        self.fates.clear();
        if let Some(command) = &mut self.running {
            command.fate = CommandFate::Exits(0);
        }
    }
}

impl World {
    pub(crate) fn begin_command(&mut self, action_id: ActionId, command: &HostCommand) {
        assert!(self.is_durable(|record| starts(record, &action_id)), "{action_id}: intent before command");
        assert!(!self.commands.begun.contains(&action_id), "{action_id}: a second time");
        assert_eq!(self.commands.running(), None, "{action_id}: beside another");
        assert!(self.config.commands_allow.contains(&command.program), "{command:?} may not be run");
        for other in self.commands_before(&action_id) {
            assert!(self.is_durable(|record| ends(record, other)), "{action_id} began before {other} ended");
        }
        self.commands.begun.push(action_id.clone());
        let fate = self.commands.fates.pop_front().unwrap_or(CommandFate::Exits(0));
        self.commands.running = Some(RunningCommand { action_id, fate, interrupted: false });
    }

    /// Commands that were admitted before this one.
    fn commands_before<'w>(&'w self, action_id: &'w ActionId) -> impl Iterator<Item = &'w ActionId> {
        let before = self.journal.iter().take_while(move |record| !accepts(record, action_id));
        before.filter_map(|record| match record {
            Record::Accepted { action, .. } if action.request.vm_id().is_none() => Some(&action.action_id),
            _ => None,
        })
    }

    /// Ends the command if it can end; false when none does.
    pub(crate) fn end_command(&mut self) -> bool {
        let Some(RunningCommand { action_id, fate, interrupted }) = &self.commands.running else {
            return false;
        };
        let end = match (*fate, *interrupted) {
            (CommandFate::EndsFirst(status), true) => CommandEnd::Exited(status),
            (CommandFate::NotStarted, _) => CommandEnd::NotStarted { error: "no such file".to_owned() },
            (_, true) => CommandEnd::Interrupted,
            (CommandFate::Exits(status), false) => CommandEnd::Exited(status),
            (CommandFate::Killed(signal), false) => CommandEnd::Killed { signal },
            (CommandFate::Hangs | CommandFate::EndsFirst(_), false) => return false,
        };
        let action_id = action_id.clone();
        self.report_command(action_id, end);
        true
    }

    /// The command has ended so, with all that it had started.
    pub(crate) fn report_command(&mut self, action_id: ActionId, end: CommandEnd) {
        self.commands.running = None;
        let exit_code = if let CommandEnd::Exited(status) = end { Some(status) } else { None };
        let started = !matches!(end, CommandEnd::NotStarted { .. });
        let output = started.then(|| CommandOutput {
            exit_code,
            stdout: "x".repeat(self.commands.writes),
            ..CommandOutput::default()
        });
        let usage = ResourceUsage { cpu_percent: 50.0, memory_bytes: 1 << 20 };
        self.step(Input::CommandEnded { action_id, report: CommandReport { end, output, usage } });
    }
}
