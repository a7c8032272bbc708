//! The end: all is healed, everything comes to rest, and what is then so is judged.

use nkudo_domain::{ActionId, ActionStatus, Observation, VmState};

use crate::effects::disk_fails;
use crate::host::PROVIDER;
use crate::link::{Link, Standing};
use crate::plan::Fate;
use crate::world::{Event, World};

/// How long after the last ask and fault all is healed.
const HEALS_AFTER_US: u64 = 5_000_000;
/// How long it must be quiet: until every VM was looked at once more, and the last word about it has arrived.
const QUIET_US: u64 = 40_000_000;
/// Until then everything has to have come to rest: the longest wait between dials, restarts and retries many times over.
const REST_US: u64 = 3_600_000_000;
/// How long after its clock was set an agent may not know yet what the control plane's says.
const CLOCK_UNKNOWN_US: u64 = 60_000_000;

impl World<'_> {
    /// Whether all has come to rest.
    pub(crate) fn is_over(&mut self) -> bool {
        if !self.healed {
            let last_ms = self.plan.asks.iter().map(|ask| ask.at_ms + ask.cancel_after_ms.unwrap_or(0));
            let last_ms = last_ms.chain(self.plan.faults.iter().map(|fault| fault.at_ms)).max().unwrap_or(0);
            if self.at_us < last_ms * 1_000 + HEALS_AFTER_US {
                return false;
            }
            self.heal();
        }
        if let Some(lacking) = self.lacking() {
            self.quiet_since_us = None;
            if self.at_us > self.healed_at_us + REST_US {
                self.judge.breaks("everything comes to rest", lacking);
            }
            return false;
        }
        let since_us = *self.quiet_since_us.get_or_insert(self.at_us);
        self.at_us >= since_us + QUIET_US
    }

    fn heal(&mut self) {
        self.healed = true;
        self.healed_at_us = self.at_us;
        self.network.heal();
        self.control.killed_after = None;
        for agent in 0..self.edges.len() {
            let Some(edge) = self.edges.get_mut(agent) else { continue };
            edge.killed_after = None;
            edge.host.all_answer();
            disk_fails(&edge.disk, 0, 0);
            let Some(run) = edge.run.as_mut() else { continue };
            let number = run.number;
            let hanging: Vec<u64> = run
                .deeds
                .iter()
                .filter(|(_, deed)| deed.fate == Fate::Hangs)
                .map(|(deed, _)| *deed)
                .collect();
            for deed in hanging {
                self.after(1_000, Event::DeedEnds { agent, run: number, deed });
            }
        }
        self.tell(|| "all is healed".to_owned());
    }

    /// What is still to come, in words; none when all is at rest.
    fn lacking(&self) -> Option<String> {
        if let Some(action_id) = self.operators.unanswered.first() {
            return Some(format!("{action_id} was not answered"));
        }
        if self.control.run.is_none() {
            return Some("the control plane does not run".to_owned());
        }
        if let Some(entry) = self.books.entries.values().find(|entry| entry.is_open()) {
            return Some(format!("{} is still {} in the books", entry.action.action_id, entry.status));
        }
        self.edges.iter().enumerate().find_map(|(agent, edge)| {
            let lacks = |what: &str| Some(format!("agent {agent} {what}"));
            let Some(run) = &edge.run else { return lacks("does not run") };
            if !matches!(run.link, Link::Open { .. }) {
                return lacks("is not linked");
            }
            if !run.tracker.is_idle() || !run.deeds.is_empty() || !run.commands.is_empty() {
                return lacks("is at work");
            }
            let outbox = run.tracker.outbox();
            if run.tracker.results_after(outbox.acknowledged).next().is_some() {
                return lacks("has results to tell");
            }
            (!self.control.is_online(agent)).then(|| format!("agent {agent} is not online")).or_else(|| {
                let vms: Standing = run.tracker.vms().map(|(vm_id, vm)| (vm_id, vm.state)).collect();
                let known = self.books.vms.get(&agent).cloned().unwrap_or_default();
                (vms != known).then(|| format!("agent {agent} has {vms:?}, and the books {known:?}"))
            })
        })
    }

    pub(crate) fn judge_the_end(&mut self) {
        let accepted: Vec<ActionId> = self.judge.all_accepted().cloned().collect();
        for action_id in accepted {
            if !self.books.entries.contains_key(&action_id) {
                self.judge.breaks("nothing is lost", format!("{action_id} is not in the books"));
            }
        }
        let entries: Vec<(ActionId, usize, ActionStatus)> = self
            .books
            .entries
            .iter()
            .map(|(action_id, entry)| (action_id.clone(), entry.agent, entry.status))
            .collect();
        for (action_id, agent, status) in entries {
            self.judge.unrun_did_nothing(&action_id, agent, status);
        }
        for agent in 0..self.edges.len() {
            self.judge_vms(agent);
        }
    }

    /// Nothing runs that is not held, and nothing is held as running that does not.
    fn judge_vms(&mut self, agent: usize) {
        let Some(edge) = self.edges.get(agent) else { return };
        let Some(run) = &edge.run else { return };
        let mut wrong = Vec::new();
        if let Some(command) = edge.host.running_command() {
            wrong.push(format!("command {command} runs, and nobody waits for it"));
        }
        for vm_id in edge.host.vm_ids() {
            let observation = edge.host.observe(vm_id, None);
            let Some(vm) = run.tracker.vm(vm_id) else {
                wrong.push(format!("{vm_id} is an orphan: {observation:?}"));
                continue;
            };
            let fits = match observation {
                Observation::Running => vm.state == VmState::Running,
                Observation::Paused => vm.state == VmState::Paused,
                Observation::Stopped(_) => matches!(vm.state, VmState::Stopped | VmState::Failed),
                Observation::Unresponsive => vm.state == VmState::Unknown,
                Observation::Absent => false,
            };
            // Where a provider could not remove what a failed creation left, it says so.
            let remains = vm.state == VmState::Failed
                && vm.reason.as_deref() == Some("its creation failed and could not be taken back");
            if !fits && !remains {
                wrong.push(format!("{vm_id} is {observation:?} and held as {}", vm.state));
            }
        }
        for (vm_id, vm) in run.tracker.vms() {
            // A delete of which the record is lost: it says so, and can be asked again.
            let told =
                self.judge.has_lost(agent) && vm.reason.as_deref() == Some("its run directory is gone");
            if !told && vm.provider == PROVIDER && edge.host.observe(vm_id, None) == Observation::Absent {
                wrong.push(format!("{vm_id} is held as {} and is not there", vm.state));
            }
        }
        if let Some(wrong) = wrong.into_iter().next() {
            self.judge.breaks("what is held is what is there", format!("on agent {agent} {wrong}"));
        }
    }

    /// An agent says that an action came too late.
    pub(crate) fn judge_expiry(&mut self, agent: usize, action_id: &ActionId, now_ms: i64) {
        let clocks_known =
            self.control_clock_set_at_us.is_none_or(|at_us| self.at_us > at_us + CLOCK_UNKNOWN_US);
        let Some(entry) = self.books.entries.get(action_id) else { return };
        let early_ms = entry.expires_at_ms - now_ms;
        // A round trip bounds what an agent can know of the other's clock.
        if clocks_known && early_ms > 1_000 {
            let what = format!("{action_id} was called expired by agent {agent}, {early_ms} ms before");
            self.judge.breaks("nothing expires early", what);
        }
    }
}
