//! One agent on its host: what runs, how it starts, how it is killed.

use std::collections::BTreeMap;
use std::path::Path;

use nkudo_domain::{ActionId, AgentId, VmId};
use nkudo_fleet::Backoff;
use nkudo_journal::{FollowedBy, Journal, Options, SimulatedDisk};
use nkudo_tracker::{Config, Input, Lost, Now, Record, Seq, Tracker, Work};

use crate::bug::Bug;
use crate::clocks::Clocks;
use crate::commands::{PROGRAM, RunningCommand, without_open_intents};
use crate::host::{Host, PROVIDER};
use crate::judge::CommandEndState;
use crate::link::Link;
use crate::plan::{Fate, Part};
use crate::world::{Event, World};

const JOURNAL: &str = "/state/journal";
/// How often VMs are looked at.
const PROBE_US: u64 = 15_000_000;
/// First and longest wait between dials, in milliseconds.
const DIAL_WAITS_MS: (u64, u64) = (500, 30_000);

/// A host, and the agent on it while that runs.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) host: Host,
    pub(crate) clocks: Clocks,
    pub(crate) disk: SimulatedDisk,
    pub(crate) run: Option<Running>,
    runs: u64,
    boot: u64,
    /// The host has to boot before the agent can start.
    is_off: bool,
    pub(crate) asleep_until_us: u64,
    /// After so many more effects the agent is killed.
    pub(crate) killed_after: Option<(u64, Part)>,
    /// The same, counted from its next start.
    pub(crate) killed_at_start: Option<(u64, Part)>,
    /// What its journal had lost, until it is on record.
    pub(crate) judged: Lost,
    /// The boot in which its journal was read last.
    read_in_boot: Option<u64>,
    /// It is its host that goes down then.
    pub(crate) dies_with_power: bool,
    /// A bit of its disk has flipped since it opened its journal without a loss.
    pub(crate) has_rotted: bool,
}

/// A run of an agent's program: everything that a `kill -9` takes.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) number: u64,
    pub(crate) tracker: Tracker,
    pub(crate) journal: Journal<SimulatedDisk>,
    pub(crate) journal_bytes: u64,
    pub(crate) appended: Seq,
    /// The last record that really is durable.
    pub(crate) durable: Seq,
    /// Once so much is durable, what was lost is on record.
    pub(crate) loss_noted_at: Option<Seq>,
    pub(crate) sync_due: bool,
    pub(crate) syncs: u64,
    pub(crate) written: Written,
    pub(crate) deeds: BTreeMap<u64, Outstanding>,
    pub(crate) commands: BTreeMap<u64, RunningCommand>,
    /// Counts deeds and commands.
    pub(crate) last_deed: u64,
    pub(crate) watches: BTreeMap<VmId, u64>,
    pub(crate) asked_by: BTreeMap<u64, (ActionId, usize)>,
    pub(crate) last_ticket: u64,
    pub(crate) tick_at_us: Option<u64>,
    pub(crate) recovering: bool,
    pub(crate) link: Link,
    pub(crate) backoff: Backoff,
}

/// The numbers of this run's records, by what they say of which action.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) accepted: BTreeMap<ActionId, Seq>,
    pub(crate) started: BTreeMap<ActionId, Seq>,
    pub(crate) ended: BTreeMap<ActionId, Seq>,
    pub(crate) last_is_end: bool,
}

/// A deed that a provider works on.
#[derive(Debug, Clone)]
pub(crate) struct Outstanding {
    pub(crate) action_id: ActionId,
    pub(crate) attempt: u32,
    pub(crate) work: Box<Work>,
    pub(crate) fate: Fate,
    pub(crate) interrupted: bool,
    /// Its end was told already.
    pub(crate) told: bool,
}

impl Running {
    /// Whether a record is durable; one that this run did not write is of an earlier one, and was read from the disk.
    pub(crate) fn is_durable(&self, seq: Option<&Seq>) -> bool {
        seq.is_none_or(|seq| *seq <= self.durable)
    }
}

/// As which agent a host reports.
pub(crate) fn agent_id(agent: usize) -> AgentId {
    let text = format!("00000000-0000-7000-8000-{:012}", agent + 1);
    text.parse().expect("it is a UUID")
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self {
            host: Host::default(),
            clocks: Clocks::new(0),
            disk: SimulatedDisk::new(),
            run: None,
            runs: 0,
            boot: 1,
            is_off: false,
            asleep_until_us: 0,
            killed_after: None,
            killed_at_start: None,
            dies_with_power: false,
            judged: Lost::Nothing,
            read_in_boot: None,
            has_rotted: false,
        }
    }

    pub(crate) fn run_number(&self) -> Option<u64> {
        self.run.as_ref().map(|run| run.number)
    }

    /// The time of a step.
    pub(crate) fn now(&self, at_us: u64, bug: Option<Bug>) -> Now {
        let now = self.clocks.now(at_us);
        if bug == Some(Bug::DeadlinesByWallClock) {
            return Now { boottime_ms: now.wall_ms.unsigned_abs(), ..now };
        }
        now
    }
}

impl World<'_> {
    pub(crate) fn edge_starts(&mut self, agent: usize) {
        let (at_us, bug) = (self.at_us, self.bug);
        let Some(edge) = self.edges.get_mut(agent).filter(|edge| edge.run.is_none()) else { return };
        if std::mem::take(&mut edge.is_off) {
            edge.boot += 1;
            edge.clocks.booted(at_us);
        } else {
            edge.clocks.started(at_us);
        }
        edge.runs += 1;
        let (number, boot) = (edge.runs, edge.boot);
        let options = Options { segment_bytes: 16 << 10, ..Options::default() };
        let opened = Journal::open(edge.disk.clone(), Path::new(JOURNAL), options);
        let (journal, replay) = match opened {
            Ok((mut journal, replay)) => {
                if bug == Some(Bug::TellsOfALossOnce) {
                    drop(journal.loss_is_on_record());
                }
                (journal, replay)
            }
            Err(error) => {
                self.tell(|| format!("agent {agent} cannot open its journal: {error}"));
                return self.after(1_000_000, Event::EdgeStarts { agent });
            }
        };
        let records: Vec<Record> = replay
            .records
            .iter()
            .map(|(_, bytes)| serde_json::from_slice(bytes).expect("the journal gives back what was written"))
            .collect();
        let has_stayed_up = edge.read_in_boot.replace(boot) == Some(boot);
        let lost = replay.discarded.as_ref().map_or(Lost::Nothing, |discarded| {
            let was_synced = discarded.followed_by == FollowedBy::Segments;
            Lost::judge(discarded.is_cut_off(), was_synced, has_stayed_up)
        });
        // What was judged before holds until it is on record.
        let lost = match &replay.discarded {
            Some(discarded) if !discarded.is_news && edge.judged != Lost::Nothing => edge.judged,
            _ => edge.judged.max(lost),
        };
        edge.judged = if bug == Some(Bug::TellsOfALossOnce) { Lost::Nothing } else { lost };
        let known = lost == Lost::Ends;
        let lost = match lost {
            Lost::Ends if bug == Some(Bug::DoesWhatMayHaveEnded) => Lost::Unwritten,
            lost => lost,
        };
        let config = Config {
            queue_max: 4,
            parallel_max: 3,
            commands_allow: vec![PROGRAM.into()],
            commands_max: 2,
            outputs_max: 300,
            providers: vec![PROVIDER],
            boot,
            outbox_id: format!("outbox-{agent}-{number}"),
            lost,
            ..Config::default()
        };
        if bug != Some(Bug::LeavesCommandsRunning) {
            edge.host.end_left_over();
        }
        let found = edge.host.found(bug);
        let read = records.len();
        let has_rotted = std::mem::take(&mut edge.has_rotted) && lost != Lost::Nothing;
        edge.has_rotted = has_rotted;
        edge.killed_after = edge.killed_at_start.take();
        if has_rotted {
            self.judge.loses(agent, &records, known);
        }
        for record in &records {
            if let Record::Ended { action_id, outcome, execution, .. } = record {
                self.judge.reads_end(agent, action_id, outcome.end());
                let ran = edge.host.command(action_id);
                if execution.as_ref().map_or(ran.times > 0, |execution| execution.vm_id.is_none()) {
                    let end = CommandEndState::of(outcome, execution.as_deref());
                    self.judge.command_ended(agent, action_id, end, ran);
                }
            }
        }
        let records =
            if bug == Some(Bug::RunsCommandsAgain) { without_open_intents(records) } else { records };
        edge.run = Some(Running {
            number,
            tracker: Tracker::replay(config, records),
            journal_bytes: journal.bytes(),
            journal,
            appended: 0,
            durable: 0,
            loss_noted_at: None,
            sync_due: false,
            syncs: 0,
            written: Written::default(),
            deeds: BTreeMap::new(),
            commands: BTreeMap::new(),
            last_deed: 0,
            watches: BTreeMap::new(),
            asked_by: BTreeMap::new(),
            last_ticket: 0,
            tick_at_us: None,
            recovering: true,
            link: Link::Down,
            backoff: Backoff::new(DIAL_WAITS_MS.0, DIAL_WAITS_MS.1),
        });
        self.restarts += u64::from(number > 1);
        self.tell(|| {
            let tail = replay.discarded.map(|discarded| format!(", and without {discarded}: {lost:?}"));
            format!("agent {agent} starts, with {read} records{}", tail.unwrap_or_default())
        });
        self.step(agent, Input::Recovered { found });
        let Some(run) = self.running(agent) else { return };
        run.recovering = false;
        run.loss_noted_at = Some(run.appended);
        self.step(agent, Input::ReportAs(Some(agent_id(agent))));
        self.after(PROBE_US, Event::Probe { agent, run: number });
        let wait_us = self.chance("dial").between(1_000, 200_000);
        self.after(wait_us, Event::Dial { agent, run: number });
    }

    pub(crate) fn running(&mut self, agent: usize) -> Option<&mut Running> {
        self.edges.get_mut(agent)?.run.as_mut()
    }

    pub(crate) fn probe(&mut self, agent: usize) {
        self.step(agent, Input::Probe);
        if let Some(run) = self.running(agent) {
            let run = run.number;
            self.after(PROBE_US, Event::Probe { agent, run });
        }
    }

    /// The agent ends where it stands; deeds under way are left at this part. With the power everything goes.
    pub(crate) fn edge_dies(&mut self, agent: usize, part: Part, with_power: bool) {
        let bug = self.bug;
        let torn = self.chance("torn").next();
        let Some(edge) = self.edges.get_mut(agent) else { return };
        edge.killed_after = None;
        let run = edge.run.take();
        let mut harmed = Vec::new();
        for deed in run.iter().flat_map(|run| run.deeds.values()) {
            edge.host.perform_part(&deed.work, part, bug);
        }
        for command in run.iter().flat_map(|run| run.commands.values()) {
            edge.host.command_left(&command.action_id, part);
        }
        if with_power {
            edge.host.booted();
            edge.disk = edge.disk.crash_torn(torn);
            edge.is_off = true;
        } else {
            edge.disk = edge.disk.kill();
            let alive: Vec<VmId> = edge.host.vm_ids().filter(|vm_id| edge.host.has_process(*vm_id)).collect();
            if bug == Some(Bug::TakesVmsAlong) {
                let exit = nkudo_domain::Exit::Died("its agent ended".to_owned());
                alive.iter().for_each(|vm_id| edge.host.dies(*vm_id, exit.clone()));
            }
            harmed.extend(alive.into_iter().filter(|vm_id| !edge.host.has_process(*vm_id)));
        }
        for vm_id in harmed {
            self.judge.breaks("VMs outlive the agent", format!("{vm_id} ended with agent {agent}"));
        }
        self.judge.restarted(agent, with_power);
        let stream = run.as_ref().and_then(|run| run.link.stream());
        if let Some(stream) = stream {
            self.link_closed_by_agent(stream, with_power);
        }
        let was_running = run.is_some();
        self.tell(|| format!("agent {agent} is killed{}", if with_power { " with its host" } else { "" }));
        let wait_us = match (with_power, was_running) {
            (true, _) => self.chance("boot").between(5_000_000, 30_000_000),
            (false, true) => self.chance("start").between(50_000, 5_000_000),
            // It is on its way already.
            (false, false) => return,
        };
        self.after(wait_us, Event::EdgeStarts { agent });
    }

    /// The journal cannot be written: the agent starts its executor anew.
    pub(crate) fn edge_gives_up(&mut self, agent: usize, why: &str) {
        self.tell(|| format!("agent {agent}: {why}"));
        self.edge_dies(agent, Part::Half, false);
    }
}
