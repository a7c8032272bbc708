//! Performs the tracker's effects, checks at each one what must be so, and can crash at any of them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nkudo_domain::{Action, ActionId, Deed, Execution, Lane, Outcome, Request, VmId};
use nkudo_tracker::{
    Admission, CancelAnswer, Config, Effect, Input, Now, Record, Seq, Ticket, Tracker, Work,
};

use crate::asking::{PROGRAM, action};
use crate::provider::{Fate, KIND, Part, Provider};

mod command;
mod life;
mod looks;

pub(crate) use command::{CommandFate, Commands};
pub(crate) use looks::{failure, observable, success};

/// A deed that a provider works on.
#[derive(Debug, Clone)]
pub(crate) struct Outstanding {
    pub(crate) action_id: ActionId,
    attempt: u32,
    pub(crate) work: Box<Work>,
    fate: Fate,
    interrupted: bool,
}

/// The end of an action as it was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) action_id: ActionId,
    pub(crate) outcome: Outcome,
    pub(crate) execution: Option<Box<Execution>>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) tracker: Tracker,
    pub(crate) now: Now,
    /// Every record of every run; the first `durable` of them outlive a crash.
    pub(crate) journal: Vec<Record>,
    pub(crate) durable: usize,
    /// Records written before this run of the program.
    before: usize,
    pub(crate) provider: Provider,
    pub(crate) deeds: VecDeque<Outstanding>,
    pub(crate) commands: Commands,
    /// What becomes of the next deeds of a kind; the others are done.
    fates: HashMap<Deed, VecDeque<Fate>>,
    /// How much of an interrupted deed is done.
    pub(crate) part: Part,
    pub(crate) jitter_permille: u16,
    next_ticket: Ticket,
    asked: HashMap<Ticket, ActionId>,
    pub(crate) admissions: BTreeMap<Ticket, Admission>,
    pub(crate) cancels: BTreeMap<Ticket, CancelAnswer>,
    pub(crate) told: Vec<Told>,
    /// Each deed begun, in order.
    pub(crate) performed: Vec<(ActionId, Deed)>,
    pub(crate) interrupted: Vec<ActionId>,
    pub(crate) adopted: Vec<VmId>,
    pub(crate) gone: Vec<VmId>,
    watches: BTreeMap<VmId, u64>,
    pub(crate) observes: Vec<VmId>,
    /// A recovery goes on with everything at once.
    recovering: bool,
    pub(crate) effects_done: usize,
    pub(crate) crash_after: Option<usize>,
    pub(crate) crashed: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut config = config;
        (config.providers, config.boot) = (vec![KIND], 1);
        config.commands_allow.push(PROGRAM.into());
        Self {
            tracker: Tracker::new(config.clone()),
            config,
            now: Now { monotonic_ms: 5_000, boottime_ms: 10_000, wall_ms: 1_700_000_000_000 },
            journal: Vec::new(),
            durable: 0,
            before: 0,
            provider: Provider::default(),
            deeds: VecDeque::new(),
            commands: Commands::default(),
            fates: HashMap::new(),
            part: Part::Nothing,
            jitter_permille: 0,
            next_ticket: 0,
            asked: HashMap::new(),
            admissions: BTreeMap::new(),
            cancels: BTreeMap::new(),
            told: Vec::new(),
            performed: Vec::new(),
            interrupted: Vec::new(),
            adopted: Vec::new(),
            gone: Vec::new(),
            watches: BTreeMap::new(),
            observes: Vec::new(),
            recovering: false,
            effects_done: 0,
            crash_after: None,
            crashed: false,
        }
    }

    pub(crate) fn fate(&mut self, deed: Deed, fates: impl IntoIterator<Item = Fate>) {
        self.fates.entry(deed).or_default().extend(fates);
    }

    pub(crate) fn submit(&mut self, id: &str, request: Request) -> Ticket {
        self.submit_action(action(id, request))
    }

    pub(crate) fn submit_action(&mut self, action: Action) -> Ticket {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.asked.insert(ticket, action.action_id.clone());
        self.step(Input::Submit { ticket, action: Box::new(action) });
        ticket
    }

    /// Submits and runs until everything stands still.
    pub(crate) fn ask(&mut self, id: &str, request: Request) {
        self.submit(id, request);
        self.run();
    }

    pub(crate) fn cancel(&mut self, id: &str) -> CancelAnswer {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.step(Input::Cancel { ticket, action_id: id.parse().unwrap() });
        self.cancels[&ticket]
    }

    pub(crate) fn step(&mut self, input: Input) {
        if self.crashed {
            return;
        }
        for effect in self.tracker.step(input, self.now) {
            if self.crash_after == Some(self.effects_done) {
                self.crashed = true;
                return;
            }
            self.effects_done += 1;
            self.perform(effect);
        }
        self.check_lanes();
    }

    fn seq(&self) -> Seq {
        (self.journal.len() - self.before) as Seq
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { seq, record } => {
                self.journal.push(*record);
                assert_eq!(seq, self.seq(), "records are numbered without a gap");
            }
            Effect::Admitted { ticket, admission } => {
                let action_id = &self.asked[&ticket];
                if matches!(admission, Admission::New | Admission::Repeated) {
                    assert!(self.is_durable(|record| accepts(record, action_id)), "{action_id} acknowledged");
                }
                assert_eq!(self.admissions.insert(ticket, admission), None, "one answer to a submit");
            }
            Effect::Cancelling { ticket, answer } => {
                assert_eq!(self.cancels.insert(ticket, answer), None, "one answer to a cancel");
            }
            Effect::Perform { action_id, attempt, work } => self.begin_deed(action_id, attempt, work),
            Effect::Execute { action_id, command } => self.begin_command(action_id, &command),
            Effect::Interrupt { action_id } => {
                let deed = self.deeds.iter_mut().find(|deed| deed.action_id == action_id);
                let interrupted = deed.map(|deed| &mut deed.interrupted);
                let interrupted = interrupted.or_else(|| self.commands.interrupted(&action_id));
                *interrupted.expect("only what is performed is interrupted") = true;
                self.interrupted.push(action_id);
            }
            Effect::Watch { vm_id, incarnation, provider } => {
                assert_eq!(provider, KIND);
                self.watches.insert(vm_id, incarnation);
            }
            Effect::Observe { vm_id, provider } => {
                assert_eq!(provider, KIND);
                self.observes.push(vm_id);
            }
            Effect::Started { execution } => {
                let action_id = &execution.action_id;
                assert!(self.is_durable(|record| starts(record, action_id)), "{action_id} told as started");
            }
            Effect::Ended { action, outcome, execution } => {
                let action_id = action.action_id;
                assert!(self.is_durable(|record| ends(record, &action_id)), "{action_id} told as ended");
                self.told.push(Told { action_id, outcome, execution });
            }
            Effect::VmChanged { .. } => {}
            Effect::VmGone { vm_id, .. } => self.gone.push(vm_id),
            Effect::ReporterChanged { .. } => {}
            Effect::Adopted { vm_id } => self.adopted.push(vm_id),
        }
    }

    fn begin_deed(&mut self, action_id: ActionId, attempt: u32, work: Box<Work>) {
        let vm_id = work.spec.vm_id;
        assert!(self.is_durable(|record| starts(record, &action_id)), "{action_id}: intent before deed");
        assert!(self.deeds.iter().all(|deed| deed.work.spec.vm_id != vm_id), "{action_id}: one deed per vm");
        for other in self.started_on(vm_id).filter(|other| **other != action_id) {
            assert!(self.is_durable(|record| ends(record, other)), "{action_id} began before {other} ended");
        }
        assert!(
            self.recovering || self.deeds.len() < self.config.parallel_max,
            "{action_id}: too many at once"
        );
        self.performed.push((action_id.clone(), work.deed));
        let fate = self.fates.get_mut(&work.deed).and_then(VecDeque::pop_front).unwrap_or(Fate::Done);
        self.deeds.push_back(Outstanding { action_id, attempt, work, fate, interrupted: false });
    }

    fn started_on(&self, vm_id: VmId) -> impl Iterator<Item = &ActionId> {
        self.journal.iter().filter_map(move |record| match record {
            Record::Started { execution, .. } if execution.vm_id == Some(vm_id) => Some(&execution.action_id),
            _ => None,
        })
    }

    fn is_durable(&self, wanted: impl Fn(&Record) -> bool) -> bool {
        self.journal[..self.durable].iter().any(wanted)
    }

    fn check_lanes(&self) {
        let mut busy = BTreeMap::new();
        for tracked in self.tracker.performing() {
            let lane = tracked.action.request.lane();
            let other = busy.insert(lane, &tracked.action.action_id);
            assert_eq!(other, None, "two actions at once in {lane:?}");
        }
        let command = busy.remove(&Lane::Commands);
        assert_eq!(command, self.commands.running(), "the tracker's command is the host's");
        assert_eq!(busy.len(), self.deeds.len(), "the tracker's deeds are the provider's");
    }
}

fn accepts(record: &Record, wanted: &ActionId) -> bool {
    matches!(record, Record::Accepted { action, .. } if action.action_id == *wanted)
}

fn starts(record: &Record, wanted: &ActionId) -> bool {
    matches!(record, Record::Started { execution, .. } if execution.action_id == *wanted)
}

pub(super) fn ends(record: &Record, wanted: &ActionId) -> bool {
    matches!(record, Record::Ended { action_id, .. } if action_id == wanted)
}
