//! What goes wrong, when it does.

use nkudo_domain::Exit;

use crate::effects::disk_fails;
use crate::link::Link;
use crate::operators::vm_id;
use crate::plan::What;
use crate::world::{Event, World};

/// A partition that is at least so long breaks the streams over it, in microseconds.
const BREAKS_US: u64 = 15_000_000;

impl World<'_> {
    pub(crate) fn fault(&mut self, number: usize) {
        let Some(fault) = self.plan.faults.get(number) else { return };
        let what = fault.what;
        self.tell(|| format!("FAULT {what:?}"));
        match what {
            What::AgentKilled { agent, part } => self.edge_dies(agent, part, false),
            What::AgentKilledAfter { agent, effects, part } => {
                if let Some(edge) = self.edges.get_mut(agent).filter(|edge| edge.run.is_some()) {
                    edge.killed_after = Some((effects, part));
                }
            }
            What::HostLosesPower { agent, part } => self.edge_dies(agent, part, true),
            What::ControlKilled => self.control_dies(),
            What::ControlKilledAfter { steps } => {
                if self.control.run.is_some() {
                    self.control.killed_after = Some(steps);
                }
            }
            What::LinkBroken { agent } => self.break_link(agent),
            What::Partitioned { agent, for_ms } => {
                let for_us = for_ms * 1_000;
                self.network.block(agent, self.at_us + for_us);
                if for_us >= BREAKS_US {
                    self.break_link(agent);
                }
            }
            What::WallClockSet { agent, by_ms } => {
                if let Some(edge) = self.edges.get_mut(agent) {
                    edge.clocks.set(by_ms);
                }
            }
            What::ControlClockSet { by_ms } => {
                self.control_clock_set_at_us = Some(self.at_us);
                self.control.clocks.set(by_ms);
            }
            What::Suspended { agent, for_ms } => {
                let at_us = self.at_us;
                if let Some(edge) = self.edges.get_mut(agent).filter(|edge| edge.asleep_until_us <= at_us) {
                    edge.asleep_until_us = at_us + for_ms * 1_000;
                    edge.clocks.slept(for_ms * 1_000);
                    // The machine does not answer: what is said to it waits, and its end of a stream may be given up.
                    self.network.block(agent, at_us + for_ms * 1_000);
                    if for_ms * 1_000 >= BREAKS_US {
                        self.break_link(agent);
                    }
                }
            }
            What::DiskFails { agent, after, operations } => {
                if let Some(edge) = self.edges.get(agent) {
                    disk_fails(&edge.disk, after, operations);
                }
            }
            What::DiskRots { agent, part, again_after, with_power } => {
                let seed = self.chance("rot").next();
                if let Some(edge) = self.edges.get_mut(agent) {
                    let flipped = edge.disk.flip(seed);
                    edge.has_rotted |= flipped.is_some();
                    edge.dies_with_power = with_power && again_after.is_some();
                    edge.killed_at_start = again_after.map(|effects| (effects, part));
                    self.tell(|| format!("agent {agent} has lost {flipped:?}"));
                }
                self.edge_dies(agent, part, false);
            }
            What::VmDies { agent, vm } => {
                if let Some(edge) = self.edges.get_mut(agent) {
                    edge.host.dies(vm_id(agent, vm), Exit::Died("the guest crashed it".to_owned()));
                    self.notice_ends(agent);
                }
            }
            What::VmHangs { agent, vm, for_ms } => {
                let vm_id = vm_id(agent, vm);
                if let Some(edge) = self.edges.get_mut(agent) {
                    edge.host.set_silent(vm_id, true);
                    self.after(for_ms * 1_000, Event::VmAnswers { agent, vm_id });
                }
            }
            What::PidsReused { agent } => {
                if let Some(edge) = self.edges.get_mut(agent) {
                    edge.host.reuse_pids();
                }
            }
        }
    }

    /// A stream breaks under its two ends, which learn of it at different times.
    fn break_link(&mut self, agent: usize) {
        let Some(run) = self.running(agent) else { return };
        let number = run.number;
        let (Link::Hello { stream, .. } | Link::Open { stream, .. }) = run.link else { return };
        let (agent_us, control_us) = {
            let chance = self.chance("keep-alive");
            (chance.between(1_000, 30_000_000), chance.between(1_000, 30_000_000))
        };
        let Some(broken) = self.network.stream(stream) else { return };
        broken.broken = true;
        let control_run = broken.control_run;
        self.after(agent_us, Event::LinkLost { agent, run: number, stream });
        self.after(control_us, Event::SessionLost { run: control_run, stream });
    }
}
