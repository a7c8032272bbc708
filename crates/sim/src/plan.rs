//! What operators ask for and what goes wrong, from a seed.

use std::fmt;

use crate::random::Random;

/// Until when asks and faults come, in milliseconds.
const SPAN_MS: u64 = 90_000;
/// VMs that the asks of one host are about.
const VMS: u32 = 4;

/// A world's whole fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Gives all chance that is not in the plan: delays and jitter.
    pub seed: u64,
    pub agents: usize,
    pub asks: Vec<Ask>,
    pub faults: Vec<Fault>,
}

/// One action that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub at_ms: u64,
    pub agent: usize,
    /// Names the action.
    pub number: u32,
    pub kind: Kind,
    /// Which of the host's VMs, from 1; a command is about none.
    pub vm: u32,
    pub timeout_ms: u64,
    /// How long after it was asked for it is still sent.
    pub expires_ms: u64,
    pub cancel_after_ms: Option<u64>,
    /// What becomes of its deeds, in their order; those after are done.
    pub fates: Vec<Fate>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    CreateStopped,
    CreateRestarting,
    Start,
    Stop,
    Pause,
    Resume,
    Delete,
    /// Of the host; its own timeout counts from its start.
    Command {
        timeout_ms: u64,
    },
    /// One that is not on the list of what hosts may run.
    ForbiddenCommand,
}

/// What becomes of a deed, or of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// A command is killed by somebody else.
    FailsTransiently(Part),
    Fails(Part),
    /// The provider says that it is done and did nothing. A command cannot be started.
    Lies,
    /// It never ends by itself.
    Hangs,
}

/// How much of a deed was done when it ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Nothing,
    Half,
    Whole,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at_ms: u64,
    pub what: What,
}

/// What goes wrong. Agents are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `kill -9`; deeds under way are left at this part.
    AgentKilled {
        agent: usize,
        part: Part,
    },
    /// The same, after so many more effects.
    AgentKilledAfter {
        agent: usize,
        effects: u64,
        part: Part,
    },
    /// Power is lost: what was not synced is gone, VMs have ended, the host boots again.
    HostLosesPower {
        agent: usize,
        part: Part,
    },
    ControlKilled,
    /// The same, after so many more steps: changes of the books and messages.
    ControlKilledAfter {
        steps: u64,
    },
    /// A stream breaks; either end learns of it when it does.
    LinkBroken {
        agent: usize,
    },
    /// Nothing passes between a host and the control plane.
    Partitioned {
        agent: usize,
        for_ms: u64,
    },
    /// A host's wall clock is set.
    WallClockSet {
        agent: usize,
        by_ms: i64,
    },
    ControlClockSet {
        by_ms: i64,
    },
    /// A host sleeps.
    Suspended {
        agent: usize,
        for_ms: u64,
    },
    /// So many operations of a host's disk fail, after so many that do not.
    DiskFails {
        agent: usize,
        after: u64,
        operations: u64,
    },
    /// A bit of a host's disk flips, and the agent is killed; its next run as well, after so many effects, or its host.
    DiskRots {
        agent: usize,
        part: Part,
        again_after: Option<u64>,
        with_power: bool,
    },
    /// A VM's process dies.
    VmDies {
        agent: usize,
        vm: u32,
    },
    /// A VM's process answers nobody for a while.
    VmHangs {
        agent: usize,
        vm: u32,
        for_ms: u64,
    },
    /// The pids of processes that have ended are given to others.
    PidsReused {
        agent: usize,
    },
}

impl Plan {
    /// The plan of this seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan");
        let agents = usize::try_from(random.between(1, 3)).unwrap_or(1);
        // Operators come in bursts, and some by themselves.
        let bursts: [u64; 3] = std::array::from_fn(|_| random.below(SPAN_MS));
        let mut asks: Vec<Ask> = (1..=random.between(10, 45))
            .map(|number| ask(&mut random, agents, u32::try_from(number).unwrap_or(0), &bursts))
            .collect();
        // Commands come by a chance of their own, so that there are as many asks about VMs.
        let mut of_commands = Random::of(seed, "commands");
        let first = u32::try_from(asks.len()).unwrap_or(0);
        asks.extend((1..=of_commands.below(9)).map(|number| {
            let number = first + u32::try_from(number).unwrap_or(0);
            let ask = ask(&mut of_commands, agents, number, &bursts);
            Ask { kind: command(&mut of_commands), ..ask }
        }));
        let faults = (0..random.between(0, 14)).map(|_| fault(&mut random, agents)).collect();
        let mut plan = Self { seed, agents, asks, faults };
        plan.asks.sort_by_key(|ask| ask.at_ms);
        plan.faults.sort_by_key(|fault| fault.at_ms);
        plan
    }
}

fn one_of(random: &mut Random, agents: usize) -> usize {
    usize::try_from(random.below(agents as u64)).unwrap_or(0)
}

fn part(random: &mut Random) -> Part {
    *random.pick(&[Part::Nothing, Part::Half, Part::Whole]).unwrap_or(&Part::Half)
}

fn ask(random: &mut Random, agents: usize, number: u32, bursts: &[u64]) -> Ask {
    use Kind::{Create, CreateRestarting, CreateStopped, Delete, Pause, Resume, Start, Stop};
    let kinds =
        [Create, Create, Create, CreateStopped, CreateRestarting, Start, Stop, Stop, Pause, Resume, Delete];
    let fates = (0..random.below(4)).map(|_| fate(random)).collect();
    let at_ms = if random.permille(500) {
        random.pick(bursts).unwrap_or(&0) + random.below(300)
    } else {
        random.below(SPAN_MS)
    };
    Ask {
        at_ms,
        agent: one_of(random, agents),
        number,
        kind: *random.pick(&kinds).unwrap_or(&Create),
        vm: u32::try_from(random.between(1, u64::from(VMS))).unwrap_or(1),
        timeout_ms: random.between(2_000, 60_000),
        expires_ms: random.between(5_000, 120_000),
        cancel_after_ms: random.permille(120).then(|| random.below(5_000)),
        fates,
    }
}

fn command(random: &mut Random) -> Kind {
    if random.permille(100) {
        Kind::ForbiddenCommand
    } else {
        Kind::Command { timeout_ms: random.between(1_000, 20_000) }
    }
}

fn fate(random: &mut Random) -> Fate {
    match random.below(20) {
        0..=11 => Fate::Done,
        12..=14 => Fate::FailsTransiently(part(random)),
        15 | 16 => Fate::Fails(part(random)),
        17 => Fate::Lies,
        _ => Fate::Hangs,
    }
}

fn fault(random: &mut Random, agents: usize) -> Fault {
    let at_ms = random.below(SPAN_MS);
    let agent = one_of(random, agents);
    let vm = u32::try_from(random.between(1, u64::from(VMS))).unwrap_or(1);
    let by_ms = {
        let far = *random.pick(&[500_i64, 30_000, 3_600_000]).unwrap_or(&500);
        if random.permille(500) { far } else { -far }
    };
    let part = part(random);
    let what = match random.below(37) {
        0..=2 => What::AgentKilled { agent, part },
        3..=7 => What::AgentKilledAfter { agent, effects: random.below(40), part },
        8 | 9 | 28 | 29 => What::HostLosesPower { agent, part },
        10 | 11 => What::ControlKilled,
        12 | 13 => What::ControlKilledAfter { steps: random.below(30) },
        14 | 15 => What::LinkBroken { agent },
        16 | 17 => What::Partitioned { agent, for_ms: random.between(500, 90_000) },
        18 => What::WallClockSet { agent, by_ms },
        19 => What::ControlClockSet { by_ms },
        20 | 21 => What::Suspended { agent, for_ms: random.between(1_000, 120_000) },
        22 | 30 | 31 => What::DiskFails { agent, after: random.below(4), operations: random.between(1, 3) },
        34..=36 => {
            let again_after = random.permille(600).then(|| random.below(3));
            What::DiskRots { agent, part, again_after, with_power: random.permille(300) }
        }
        23 | 24 => What::VmDies { agent, vm },
        25 | 26 => What::VmHangs { agent, vm, for_ms: random.between(1_000, 60_000) },
        _ => What::PidsReused { agent },
    };
    Fault { at_ms, what }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} agents", self.seed, self.agents)?;
        for ask in &self.asks {
            let Ask { at_ms, agent, number, kind, vm, timeout_ms, expires_ms, cancel_after_ms, fates } = ask;
            let on = match kind {
                Kind::Command { .. } | Kind::ForbiddenCommand => format!("on agent {agent}"),
                Kind::Create
                | Kind::CreateStopped
                | Kind::CreateRestarting
                | Kind::Start
                | Kind::Stop
                | Kind::Pause
                | Kind::Resume
                | Kind::Delete => format!("of vm {vm} of agent {agent}"),
            };
            write!(f, "  at {at_ms} ms: a{number} {kind:?} {on}, timeout {timeout_ms} ms")?;
            write!(f, ", expires after {expires_ms} ms")?;
            if let Some(after_ms) = cancel_after_ms {
                write!(f, ", cancelled after {after_ms} ms")?;
            }
            writeln!(f, "{}", if fates.is_empty() { String::new() } else { format!(", {fates:?}") })?;
        }
        for Fault { at_ms, what } in &self.faults {
            writeln!(f, "  at {at_ms} ms: {what:?}")?;
        }
        Ok(())
    }
}
