//! The world: its time, what is due, and the loop that plays it.

use std::collections::{BTreeMap, VecDeque};

use nkudo_domain::{ActionId, Exit, VmId};

use crate::books::Books;
use crate::bug::Bug;
use crate::control::Control;
use crate::edge::Edge;
use crate::judge::{Broken, Judge};
use crate::network::{FromAgent, Network, ToAgent};
use crate::operators::Operators;
use crate::plan::Plan;
use crate::random::Random;

/// Lines of history that a failure tells, the last ones.
const HISTORY_MAX: usize = 400;
/// Events of one world; more is a world that turns on the spot.
const EVENTS_MAX: u64 = 2_000_000;

/// How a world that held came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub events: u64,
    /// Actions whose end was told.
    pub ended: usize,
    /// How often programs were started again.
    pub restarts: u64,
    /// Until everything had come to rest, in milliseconds of the world's time.
    pub rested_at_ms: u64,
}

/// A world in which an invariant did not hold.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {}: {broken}", plan.seed)]
pub struct Failure {
    pub broken: Broken,
    pub plan: Plan,
    /// What happened, the last of it, a line each.
    pub history: Vec<String>,
}

/// Something that is due. What belongs to a run of a program names it, and is void when that run is over.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Ask { ask: usize },
    Cancel { ask: usize },
    Fault { fault: usize },
    EdgeStarts { agent: usize },
    Sync { agent: usize, run: u64 },
    DeedEnds { agent: usize, run: u64, deed: u64 },
    CommandEnds { agent: usize, run: u64, command: u64 },
    Looked { agent: usize, run: u64, vm_id: VmId },
    VmEnded { agent: usize, run: u64, vm_id: VmId, incarnation: u64, exit: Exit },
    Tick { agent: usize, run: u64 },
    Probe { agent: usize, run: u64 },
    Dial { agent: usize, run: u64 },
    Heartbeat { agent: usize, run: u64, stream: usize },
    LinkLost { agent: usize, run: u64, stream: usize },
    HelloDeadline { agent: usize, run: u64, stream: usize },
    ToAgent { agent: usize, run: u64, stream: usize, message: ToAgent },
    VmAnswers { agent: usize, vm_id: VmId },
    ControlStarts,
    ToControl { run: u64, stream: usize, message: FromAgent },
    SessionLost { run: u64, stream: usize },
    SessionWakes { run: u64, agent: usize },
    Housekeeping { run: u64 },
}

impl Event {
    /// The host that has to be awake for it.
    fn on_host(&self) -> Option<usize> {
        match self {
            Self::EdgeStarts { agent }
            | Self::Sync { agent, .. }
            | Self::DeedEnds { agent, .. }
            | Self::CommandEnds { agent, .. }
            | Self::Looked { agent, .. }
            | Self::VmEnded { agent, .. }
            | Self::Tick { agent, .. }
            | Self::Probe { agent, .. }
            | Self::Dial { agent, .. }
            | Self::Heartbeat { agent, .. }
            | Self::LinkLost { agent, .. }
            | Self::HelloDeadline { agent, .. }
            | Self::ToAgent { agent, .. } => Some(*agent),
            Self::Ask { .. }
            | Self::Cancel { .. }
            | Self::Fault { .. }
            | Self::VmAnswers { .. }
            | Self::ControlStarts
            | Self::ToControl { .. }
            | Self::SessionLost { .. }
            | Self::SessionWakes { .. }
            | Self::Housekeeping { .. } => None,
        }
    }
}

pub(crate) struct World<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) bug: Option<Bug>,
    pub(crate) at_us: u64,
    due: BTreeMap<(u64, u64), Event>,
    last_event: u64,
    pub(crate) edges: Vec<Edge>,
    pub(crate) control: Control,
    pub(crate) books: Books,
    pub(crate) network: Network,
    pub(crate) operators: Operators,
    pub(crate) judge: Judge,
    pub(crate) restarts: u64,
    /// Faults come no more.
    pub(crate) healed: bool,
    pub(crate) healed_at_us: u64,
    pub(crate) quiet_since_us: Option<u64>,
    /// When somebody last set a clock.
    pub(crate) control_clock_set_at_us: Option<u64>,
    history: VecDeque<String>,
    chances: BTreeMap<String, Random>,
}

/// Plays a plan to its end.
///
/// # Errors
/// When an invariant does not hold, with all that is needed to see why.
pub fn run(plan: &Plan, bug: Option<Bug>) -> Result<Report, Box<Failure>> {
    let mut world = World::new(plan, bug);
    let played = world.play();
    let history = world.history.into();
    played.map_err(|broken| Box::new(Failure { broken, plan: plan.clone(), history }))
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, bug: Option<Bug>) -> Self {
        let mut world = Self {
            plan,
            bug,
            at_us: 0,
            due: BTreeMap::new(),
            last_event: 0,
            edges: (0..plan.agents).map(|_| Edge::new()).collect(),
            control: Control::new(),
            books: Books::default(),
            network: Network::default(),
            operators: Operators::default(),
            judge: Judge::default(),
            restarts: 0,
            healed: false,
            healed_at_us: 0,
            quiet_since_us: None,
            control_clock_set_at_us: None,
            history: VecDeque::new(),
            chances: BTreeMap::new(),
        };
        world.after(0, Event::ControlStarts);
        (0..plan.agents).for_each(|agent| world.after(1_000, Event::EdgeStarts { agent }));
        for (ask, asked) in plan.asks.iter().enumerate() {
            world.after(asked.at_ms * 1_000, Event::Ask { ask });
            if let Some(after_ms) = asked.cancel_after_ms {
                world.after((asked.at_ms + after_ms) * 1_000, Event::Cancel { ask });
            }
        }
        for (fault, what) in plan.faults.iter().enumerate() {
            world.after(what.at_ms * 1_000, Event::Fault { fault });
        }
        world
    }

    /// Something is due in so many microseconds.
    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.last_event += 1;
        self.due.insert((self.at_us.saturating_add(us), self.last_event), event);
    }

    /// Chance for one purpose.
    pub(crate) fn chance(&mut self, purpose: &str) -> &mut Random {
        let seed = self.plan.seed;
        self.chances.entry(purpose.to_owned()).or_insert_with(|| Random::of(seed, purpose))
    }

    /// Writes a line of history.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        let (seconds, millis) = (self.at_us / 1_000_000, self.at_us / 1_000 % 1_000);
        self.history.push_back(format!("{seconds:>5}.{millis:03} {}", line()));
    }

    fn play(&mut self) -> Result<Report, Broken> {
        let mut events = 0;
        while let Some(((at_us, _), event)) = self.due.pop_first() {
            self.at_us = at_us;
            events += 1;
            if events > EVENTS_MAX {
                self.judge.breaks("everything comes to rest", format!("after {EVENTS_MAX} events"));
            }
            self.happens(event);
            if let Some(broken) = self.judge.broken.clone() {
                self.tell(|| format!("BROKEN: {broken}"));
                return Err(broken);
            }
            if self.is_over() {
                break;
            }
        }
        self.judge_the_end();
        if let Some(broken) = self.judge.broken.clone() {
            self.tell(|| format!("BROKEN: {broken}"));
            return Err(broken);
        }
        Ok(Report {
            events,
            ended: self.judge.how_many_ended(),
            restarts: self.restarts,
            rested_at_ms: self.at_us / 1_000,
        })
    }

    fn happens(&mut self, event: Event) {
        // A host that sleeps does what is due when it wakes.
        if let Some(edge) = event.on_host().and_then(|agent| self.edges.get(agent))
            && edge.asleep_until_us > self.at_us
        {
            let wait_us = edge.asleep_until_us - self.at_us;
            return self.after(wait_us, event);
        }
        match event {
            Event::Ask { ask } => self.ask(ask),
            Event::Cancel { ask } => self.cancel(ask),
            Event::Fault { fault } => self.fault(fault),
            Event::EdgeStarts { agent } => self.edge_starts(agent),
            Event::Sync { agent, run } => self.in_run(agent, run, Self::sync),
            Event::DeedEnds { agent, run, deed } => {
                self.in_run(agent, run, |world, agent| world.deed_ends(agent, deed))
            }
            Event::CommandEnds { agent, run, command } => {
                self.in_run(agent, run, |world, agent| world.command_ends(agent, command));
            }
            Event::Looked { agent, run, vm_id } => {
                self.in_run(agent, run, |world, agent| world.looked(agent, vm_id))
            }
            Event::VmEnded { agent, run, vm_id, incarnation, exit } => {
                self.in_run(agent, run, |world, agent| world.vm_ended(agent, vm_id, incarnation, exit));
            }
            Event::Tick { agent, run } => self.in_run(agent, run, Self::tick),
            Event::Probe { agent, run } => self.in_run(agent, run, Self::probe),
            Event::Dial { agent, run } => self.in_run(agent, run, Self::dial),
            Event::Heartbeat { agent, run, stream } => {
                self.in_run(agent, run, |world, agent| world.heartbeat(agent, stream));
            }
            Event::LinkLost { agent, run, stream } => {
                self.in_run(agent, run, |world, agent| world.link_lost(agent, stream));
            }
            Event::HelloDeadline { agent, run, stream } => {
                self.in_run(agent, run, |world, agent| world.hello_deadline(agent, stream));
            }
            Event::ToAgent { agent, run, stream, message } => {
                self.in_run(agent, run, |world, agent| world.control_says(agent, stream, message));
            }
            Event::VmAnswers { agent, vm_id } => {
                if let Some(edge) = self.edges.get_mut(agent) {
                    edge.host.set_silent(vm_id, false);
                }
            }
            Event::ControlStarts => self.control_starts(),
            Event::ToControl { run, stream, message } => self.agent_says(run, stream, message),
            Event::SessionLost { run, stream } => self.session_lost(run, stream),
            Event::SessionWakes { run, agent } => {
                if self.control.run == Some(run) {
                    self.fetch(agent);
                }
            }
            Event::Housekeeping { run } => self.housekeeping(run),
        }
    }

    /// Does something in a run of an agent that is still going on.
    fn in_run(&mut self, agent: usize, run: u64, work: impl FnOnce(&mut Self, usize)) {
        if self.edges.get(agent).and_then(Edge::run_number) == Some(run) {
            work(self, agent);
        }
    }

    /// The status of an action in the books is shown to the judge.
    pub(crate) fn books_changed(&mut self, action_id: &ActionId) {
        if let Some(entry) = self.books.entries.get(action_id) {
            let (agent, status) = (entry.agent, entry.status);
            self.judge.books_say(action_id, agent, status);
        }
    }
}
