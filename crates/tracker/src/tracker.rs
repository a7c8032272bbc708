//! The state, the step, and what can be read between steps.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nkudo_domain::{ActionId, ActionType, Execution, Lane, VmId};

use crate::actions::{Phase, Tracked};
use crate::config::{Config, Now};
use crate::history::{Aggregate, History};
use crate::message::{Effect, Input, Seq};
use crate::outbox::Outbox;
use crate::outputs::Outputs;
use crate::record::{Record, Stamp, VmChange};
use crate::vms::Vm;

/// Everything known about the actions and VMs of one host.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) config: Config,
    pub(crate) actions: HashMap<ActionId, Tracked>,
    /// Actions that have not ended, by lane, in their order; the first is the one that runs or is next.
    pub(crate) lanes: BTreeMap<Lane, VecDeque<ActionId>>,
    pub(crate) vms: BTreeMap<VmId, Vm>,
    pub(crate) history: History,
    /// Actions that have ended, in the order of their end.
    pub(crate) ended: VecDeque<ActionId>,
    pub(crate) outbox: Outbox,
    pub(crate) outputs: Outputs,
    /// Whether somebody elsewhere is to be told of results.
    pub(crate) reporting: bool,
    /// Whether that was said since the program started.
    pub(crate) reporter_is_known: bool,
    /// Actions ever admitted.
    pub(crate) admitted: u64,
    /// The last record written.
    pub(crate) written: Seq,
    /// The last record known to be durable.
    pub(crate) durable: Seq,
    /// What waits for a record to be durable, in the order of the records.
    pub(crate) gated: VecDeque<(Seq, Gated)>,
    pub(crate) recovered: bool,
    pub(crate) stopping: bool,
    /// The effects of the step under way.
    pub(crate) effects: Vec<Effect>,
}

/// What goes on once a record is durable.
#[derive(Debug)]
pub(crate) enum Gated {
    Effect(Effect),
    Begin(ActionId),
    Conclude(ActionId),
}

impl Tracker {
    /// A tracker of a host on which nothing was ever done.
    pub fn new(config: Config) -> Self {
        Self { recovered: true, ..Self::replay(config, []) }
    }

    /// A tracker in the state that the records give. It begins nothing until [`Input::Recovered`].
    pub fn replay(config: Config, records: impl IntoIterator<Item = Record>) -> Self {
        let mut tracker = Self {
            config,
            actions: HashMap::new(),
            lanes: BTreeMap::new(),
            vms: BTreeMap::new(),
            history: History::default(),
            ended: VecDeque::new(),
            outbox: Outbox::default(),
            outputs: Outputs::default(),
            reporting: false,
            reporter_is_known: false,
            admitted: 0,
            written: 0,
            durable: 0,
            gated: VecDeque::new(),
            recovered: false,
            stopping: false,
            effects: Vec::new(),
        };
        records.into_iter().for_each(|record| tracker.apply(record));
        tracker
    }

    /// Takes one input and decides what is to be done, in order.
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Submit { ticket, action } => self.submit(ticket, *action, now),
            Input::Cancel { ticket, action_id } => self.cancel(ticket, &action_id, now),
            Input::Persisted(seq) => self.durable = self.durable.max(seq),
            Input::DeedEnded { action_id, attempt, report } => {
                self.deed_ended(&action_id, attempt, report, now)
            }
            Input::CommandEnded { action_id, report } => self.command_ended(&action_id, report, now),
            Input::VmEnded { vm_id, incarnation, exit } => self.vm_ended(vm_id, incarnation, exit, now),
            Input::VmObserved { vm_id, observation } => self.vm_observed(vm_id, &observation, now),
            Input::Recovered { found } => self.recover(found, now),
            Input::Acknowledged { seq } => self.acknowledge(seq),
            Input::ReportAs(reporter) => self.report_as(reporter),
            Input::Stop => self.stopping = true,
            Input::Probe => self.probe_alive(),
            Input::Tick => self.tick(now),
        }
        self.release(now);
        self.pump(now);
        std::mem::take(&mut self.effects)
    }

    /// Begins the first action of every idle lane, the earliest admitted first, as far as the bound allows. The bound is
    /// one on VMs: a command that takes its time keeps none of them waiting, nor they the commands.
    fn pump(&mut self, now: Now) {
        if self.stopping || !self.recovered {
            return;
        }
        let is_bounded = |(lane, _): &(&Lane, _)| **lane != Lane::Commands;
        let heads = self.lanes.iter().filter(is_bounded).filter_map(|(_, lane)| lane.front());
        let (begun, waiting): (Vec<&ActionId>, Vec<&ActionId>) =
            heads.partition(|id| self.actions.get(*id).is_some_and(Tracked::has_begun));
        let free = self.config.parallel_max.saturating_sub(begun.len());
        let mut waiting: Vec<(u64, ActionId)> = waiting
            .into_iter()
            .filter_map(|id| self.actions.get(id).map(|tracked| (tracked.ordinal, id.clone())))
            .collect();
        waiting.sort();
        for (_, action_id) in waiting.into_iter().take(free) {
            self.begin(&action_id, now);
        }
        let command = self.lanes.get(&Lane::Commands).and_then(VecDeque::front).cloned();
        let is_idle = |id: &ActionId| self.actions.get(id).is_some_and(|tracked| !tracked.has_begun());
        if let Some(action_id) = command.filter(is_idle) {
            self.begin(&action_id, now);
        }
    }

    /// Goes on with everything whose records are durable.
    fn release(&mut self, now: Now) {
        while self.gated.front().is_some_and(|(seq, _)| *seq <= self.durable) {
            let Some((_, gated)) = self.gated.pop_front() else { break };
            match gated {
                Gated::Effect(effect) => self.effects.push(effect),
                Gated::Begin(action_id) => self.begin_deed(&action_id, now),
                Gated::Conclude(action_id) => self.concluded(&action_id),
            }
        }
    }

    /// Has a record written. What is gated afterwards waits for it.
    pub(crate) fn write(&mut self, record: Record) {
        self.written += 1;
        self.effects.push(Effect::Persist { seq: self.written, record: Box::new(record) });
    }

    /// Does this once everything written so far is durable.
    pub(crate) fn after_written(&mut self, gated: Gated) {
        self.gated.push_back((self.written, gated));
    }

    /// Writes how the VM is now, for changes that no action brought.
    pub(crate) fn write_vm(&mut self, vm_id: VmId) {
        if let Some(change) = self.vm_change(vm_id) {
            self.write(Record::Vm(change));
            self.after_written(Gated::Effect(Effect::VmChanged { vm_id }));
        }
    }

    pub(crate) fn vm_change(&self, vm_id: VmId) -> Option<VmChange> {
        self.vms.get(&vm_id).map(|vm| VmChange::Is(vm.durable()))
    }

    /// Asks for the end of a living VM's process to be watched, once per process.
    pub(crate) fn watch(&mut self, vm_id: VmId) {
        if let Some(vm) = self.vms.get_mut(&vm_id)
            && vm.is_alive()
            && !vm.watched
        {
            vm.watched = true;
            let (incarnation, provider) = (vm.incarnation, vm.provider);
            self.effects.push(Effect::Watch { vm_id, incarnation, provider });
        }
    }

    pub(crate) fn stamp(&self, now: Now) -> Stamp {
        Stamp { wall_ms: now.wall_ms, boottime_ms: now.boottime_ms, boot: self.config.boot }
    }

    /// Actions that have not ended, lane by lane.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Tracked> {
        self.lanes.values().flatten().filter_map(|action_id| self.actions.get(action_id))
    }

    /// The action of that id, as long as it is remembered.
    pub fn action(&self, action_id: &ActionId) -> Option<&Tracked> {
        self.actions.get(action_id)
    }

    /// Every action that is remembered, in no order.
    pub fn actions(&self) -> impl Iterator<Item = &Tracked> {
        self.actions.values()
    }

    /// The VMs of this host, by their id.
    pub fn vms(&self) -> impl Iterator<Item = (VmId, &Vm)> {
        self.vms.iter().map(|(vm_id, vm)| (*vm_id, vm))
    }

    /// The VM of that id.
    pub fn vm(&self, vm_id: VmId) -> Option<&Vm> {
        self.vms.get(&vm_id)
    }

    /// The executions of the history, oldest first, then those that run.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        let running = self.live().filter(|tracked| !tracked.has_ended());
        self.history.executions.iter().chain(running.filter_map(|tracked| tracked.execution.as_ref()))
    }

    /// Everything that ever ended, by action type.
    pub fn aggregates(&self) -> BTreeMap<ActionType, Aggregate> {
        self.history.aggregates()
    }

    /// Actions admitted that have not begun.
    pub fn queue_depth(&self) -> usize {
        self.live().filter(|tracked| !tracked.has_begun()).count()
    }

    /// Whether no provider works for any action and nothing waits to be durable.
    pub fn is_idle(&self) -> bool {
        self.gated.is_empty() && !self.live().any(Tracked::has_begun)
    }

    /// Whether nothing but commands is under way, so that a [`snapshot`](Tracker::snapshot) loses nothing. A command may take
    /// a day, and the journal is not to grow all day for it.
    pub fn can_start_over(&self) -> bool {
        let is_running_command = |tracked: &Tracked| {
            tracked.action.request.lane() == Lane::Commands && matches!(tracked.phase, Phase::Running { .. })
        };
        self.gated.is_empty()
            && !self.live().any(|tracked| tracked.has_begun() && !is_running_command(tracked))
    }

    /// The actions for which a provider works now.
    pub fn performing(&self) -> impl Iterator<Item = &Tracked> {
        self.live().filter(|tracked| tracked.is_performing())
    }
}
