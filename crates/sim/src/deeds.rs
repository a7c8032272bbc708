//! What providers do, how it ends, and how VMs are watched.

use nkudo_domain::{ActionId, Deed, Exit, ResourceUsage, VmId};
use nkudo_tracker::{DeedFailure, DeedReport, Input, Phase, Work};

use crate::bug::Bug;
use crate::edge::Outstanding;
use crate::effects::PARTS;
use crate::judge::BeginState;
use crate::operators::number_of;
use crate::plan::{Fate, Part};
use crate::world::{Event, World};

impl World<'_> {
    pub(crate) fn deed_begins(&mut self, agent: usize, action_id: ActionId, attempt: u32, work: Box<Work>) {
        let at_us = self.at_us;
        let fate = self.fate(&action_id);
        let Some(run) = self.running(agent) else { return };
        let tracked = run.tracker.action(&action_id);
        let timeout = tracked.map_or(0, |tracked| tracked.action.timeout.as_millis());
        let taking_back = tracked.is_some_and(|tracked| matches!(tracked.phase, Phase::TakingBack { .. }));
        let state = BeginState {
            intent_durable: run.is_durable(run.written.started.get(&action_id)),
            taking_back,
            timeout_ms: u64::try_from(timeout).unwrap_or(u64::MAX),
            at_us,
        };
        let vm_id = work.spec.vm_id;
        let other = run.deeds.values().find(|other| !other.told && other.work.spec.vm_id == vm_id);
        let other = other.map(|other| other.action_id.clone());
        run.last_deed += 1;
        let (deed, number) = (run.last_deed, run.number);
        let kind = work.deed;
        self.judge.performs(agent, &action_id, &work, state);
        if let Some(other) = other {
            self.judge
                .breaks("one deed at a time on a VM", format!("{kind:?} of {action_id} beside {other}"));
        }
        self.tell(|| {
            let back = if taking_back { ", to take back" } else { "" };
            format!("agent {agent}: {kind:?} of {action_id} begins, attempt {attempt}{back} ({fate:?})")
        });
        let outstanding = Outstanding { action_id, attempt, work, fate, interrupted: false, told: false };
        if let Some(run) = self.running(agent) {
            run.deeds.insert(deed, outstanding);
        }
        if fate != Fate::Hangs {
            let longest_us = if kind == Deed::PowerOff { 3_000_000 } else { 800_000 };
            let wait_us = self.chance("deed").between(1_000, longest_us);
            self.after(wait_us, Event::DeedEnds { agent, run: number, deed });
        }
    }

    /// What becomes of the next deed of an action, or of its command.
    pub(crate) fn fate(&mut self, action_id: &ActionId) -> Fate {
        if self.healed {
            return Fate::Done;
        }
        let used = self.operators.fates_used.entry(action_id.clone()).or_default();
        let turn = *used;
        *used += 1;
        let ask = self.plan.asks.iter().find(|ask| Some(ask.number) == number_of(action_id));
        ask.and_then(|ask| ask.fates.get(turn)).copied().unwrap_or(Fate::Done)
    }

    pub(crate) fn interrupt(&mut self, agent: usize, action_id: &ActionId) {
        let bug = self.bug;
        let Some(run) = self.running(agent) else { return };
        let number = run.number;
        let found = run.deeds.iter_mut().find(|(_, deed)| deed.action_id == *action_id && !deed.told);
        let Some((deed, outstanding)) = found else {
            return self.interrupt_command(agent, action_id);
        };
        let deed = *deed;
        if bug == Some(Bug::ReportsInterruptedAtOnce) {
            outstanding.told = true;
            let outstanding = outstanding.clone();
            return self.report(agent, &outstanding, Err(DeedFailure::Interrupted));
        }
        outstanding.interrupted = true;
        let wait_us = self.chance("interrupt").between(500, 20_000);
        self.after(wait_us, Event::DeedEnds { agent, run: number, deed });
    }

    pub(crate) fn deed_ends(&mut self, agent: usize, deed: u64) {
        let bug = self.bug;
        let part = *self.chance("part").pick(&PARTS).unwrap_or(&Part::Half);
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let Some(run) = edge.run.as_mut() else { return };
        let Some(outstanding) = run.deeds.remove(&deed) else { return };
        let work = &outstanding.work;
        let result = match outstanding.fate {
            _ if outstanding.interrupted => {
                edge.host.perform_part(work, part, bug);
                Err(DeedFailure::Interrupted)
            }
            Fate::Done | Fate::Hangs => edge.host.perform(work, bug),
            Fate::Lies => Ok(()),
            Fate::FailsTransiently(left) => {
                edge.host.perform_part(work, left, bug);
                Err(DeedFailure::Failed { error: "the host is busy".to_owned(), transient: true })
            }
            Fate::Fails(left) => {
                edge.host.perform_part(work, left, bug);
                Err(DeedFailure::Failed { error: "the host is out of luck".to_owned(), transient: false })
            }
        };
        let harm = edge.host.harm.pop();
        if let Some(harm) = harm {
            self.judge.breaks("nothing foreign is touched", format!("on agent {agent}: {harm}"));
        }
        self.notice_ends(agent);
        if outstanding.told {
            return;
        }
        self.report(agent, &outstanding, result);
    }

    fn report(&mut self, agent: usize, deed: &Outstanding, result: Result<(), DeedFailure>) {
        let bug = self.bug;
        let result = result.map_err(|failure| match failure {
            DeedFailure::Failed { error, transient } => {
                if !transient {
                    self.judge.failed_for_good(agent, &deed.action_id, deed.work.deed);
                }
                let transient = transient || bug == Some(Bug::RetriesPermanentErrors);
                DeedFailure::Failed { error, transient }
            }
            DeedFailure::Interrupted => DeedFailure::Interrupted,
        });
        let jitter_permille = u16::try_from(self.chance("jitter").below(1_000)).unwrap_or(0);
        let Some(edge) = self.edges.get(agent) else { return };
        let observation = edge.host.observe(deed.work.spec.vm_id, bug);
        let (kind, action_id, attempt) = (deed.work.deed, deed.action_id.clone(), deed.attempt);
        self.tell(|| {
            format!("agent {agent}: {kind:?} of {action_id} gives {result:?}; the VM is {observation:?}")
        });
        let usage = ResourceUsage::default();
        let report = DeedReport { result, observation, usage, jitter_permille };
        self.step(agent, Input::DeedEnded { action_id: deed.action_id.clone(), attempt, report });
    }

    pub(crate) fn watch(&mut self, agent: usize, vm_id: VmId, incarnation: u64) {
        let bug = self.bug;
        let Some(run) = self.running(agent) else { return };
        if run.recovering && bug == Some(Bug::WatchesNoAdopted) {
            return;
        }
        run.watches.insert(vm_id, incarnation);
        self.notice_ends(agent);
    }

    /// Processes that are watched and are no more.
    pub(crate) fn notice_ends(&mut self, agent: usize) {
        let Some(edge) = self.edges.get_mut(agent) else { return };
        let Some(run) = edge.run.as_mut() else { return };
        let number = run.number;
        let mut ended: Vec<(VmId, u64, Exit)> = Vec::new();
        run.watches.retain(|vm_id, incarnation| {
            if edge.host.has_process(*vm_id) {
                return true;
            }
            let exit = edge.host.exit(*vm_id).unwrap_or_else(|| Exit::Died("it is gone".to_owned()));
            ended.push((*vm_id, *incarnation, exit));
            false
        });
        for (vm_id, incarnation, exit) in ended {
            let wait_us = self.chance("notice").between(0, 3_000);
            self.after(wait_us, Event::VmEnded { agent, run: number, vm_id, incarnation, exit });
        }
    }

    pub(crate) fn vm_ended(&mut self, agent: usize, vm_id: VmId, incarnation: u64, exit: Exit) {
        self.step(agent, Input::VmEnded { vm_id, incarnation, exit });
    }

    pub(crate) fn look(&mut self, agent: usize, vm_id: VmId) {
        let bug = self.bug;
        let Some(run) = self.running(agent) else { return };
        if bug == Some(Bug::WatchesNoAdopted) {
            return;
        }
        let run = run.number;
        let wait_us = self.chance("look").between(500, 50_000);
        self.after(wait_us, Event::Looked { agent, run, vm_id });
    }

    pub(crate) fn looked(&mut self, agent: usize, vm_id: VmId) {
        let Some(edge) = self.edges.get(agent) else { return };
        let observation = edge.host.observe(vm_id, self.bug);
        self.step(agent, Input::VmObserved { vm_id, observation });
    }
}
