//! How a [`World`] goes on: what is durable, deeds that end, time, crashes.

use nkudo_domain::{Exit, Observation, ResourceUsage, VmId};
use nkudo_tracker::{DeedFailure, DeedReport, Input, Tracker};

use crate::asking::vm_id;
use crate::provider::{Fate, Part, killed};
use crate::world::World;

impl World {
    /// Everything written so far is durable.
    pub(crate) fn sync(&mut self) {
        if !self.crashed {
            self.durable = self.journal.len();
            self.step(Input::Persisted(self.seq()));
        }
    }

    /// Ends the first deed that can end; false when there is none.
    pub(crate) fn end_deed(&mut self) -> bool {
        let Some(index) = (0..self.deeds.len()).find(|index| self.can_end(*index)) else { return false };
        self.end_deed_at(index);
        true
    }

    pub(crate) fn end_deed_at(&mut self, index: usize) {
        if self.crashed {
            return;
        }
        let deed = self.deeds[index].clone();
        let vm_id = deed.work.spec.vm_id;
        let result = if deed.interrupted {
            self.provider.perform_part(&deed.work, self.part);
            Err(DeedFailure::Interrupted)
        } else {
            self.provider.end(&deed.work, deed.fate)
        };
        // The notice of an end that the deed brought comes while it is still performed.
        self.notice(vm_id);
        self.deeds.remove(index);
        let report = DeedReport {
            result,
            observation: self.provider.observe(vm_id),
            usage: ResourceUsage { cpu_percent: 50.0, memory_bytes: 1 << 20 },
            jitter_permille: self.jitter_permille,
        };
        self.step(Input::DeedEnded { action_id: deed.action_id, attempt: deed.attempt, report });
    }

    /// The watched process of a VM that is no more.
    fn lost_process(&self, vm_id: VmId) -> Option<Exit> {
        self.watches.get(&vm_id)?;
        match self.provider.observe(vm_id) {
            Observation::Stopped(exit) => Some(exit.unwrap_or(Exit::GuestPoweredOff)),
            Observation::Absent => Some(killed()),
            Observation::Running | Observation::Paused | Observation::Unresponsive => None,
        }
    }

    fn notice(&mut self, vm_id: VmId) {
        if let Some(exit) = self.lost_process(vm_id)
            && let Some(incarnation) = self.watches.remove(&vm_id)
        {
            self.step(Input::VmEnded { vm_id, incarnation, exit });
        }
    }

    /// A VM's process ends by itself.
    pub(crate) fn die(&mut self, n: u32, exit: Exit) {
        if self.crashed
            || !matches!(self.provider.observe(vm_id(n)), Observation::Running | Observation::Paused)
        {
            return;
        }
        self.provider.set(vm_id(n), Observation::Stopped(Some(exit)));
        self.notice(vm_id(n));
    }

    /// Syncs, ends deeds and commands and answers looks until nothing moves but time.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            let looked = std::mem::take(&mut self.observes);
            let moved = !looked.is_empty() || self.durable < self.journal.len();
            self.sync();
            for vm_id in looked {
                let observation = self.provider.observe(vm_id);
                self.step(Input::VmObserved { vm_id, observation });
            }
            let ended = self.end_deed() || self.end_command();
            if !ended && !moved || self.crashed {
                return;
            }
        }
        panic!("it never stands still: {:?}", self.tracker);
    }

    /// Runs until time, too, has nothing left to bring.
    pub(crate) fn drain(&mut self) {
        for _ in 0..1_000 {
            self.run();
            let Some(at_ms) = self.tracker.next_wake().filter(|_| !self.crashed) else { return };
            self.advance(at_ms.saturating_sub(self.now.boottime_ms));
        }
        panic!("it never comes to an end: {:?}", self.tracker);
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.boottime_ms += ms;
        self.now.wall_ms += i64::try_from(ms).unwrap();
        self.step(Input::Tick);
        if !self.crashed {
            let wake = self.tracker.next_wake();
            assert!(wake.is_none_or(|at_ms| at_ms > self.now.boottime_ms), "a tick leaves nothing due");
        }
    }

    pub(crate) fn can_end(&self, index: usize) -> bool {
        self.deeds.get(index).is_some_and(|deed| deed.interrupted || deed.fate != Fate::Hangs)
    }

    /// From here on every deed ends, and well.
    pub(crate) fn end_hangs(&mut self) {
        self.fates.clear();
        for deed in &mut self.deeds {
            deed.fate = Fate::Done;
        }
        self.commands.end_hangs();
    }

    /// The host booted again while the program was down.
    pub(crate) fn reboot(&mut self) {
        self.config.boot += 1;
        self.now.boottime_ms = 10_000;
        for vm in self.provider.vms.values_mut() {
            if matches!(
                vm.observation,
                Observation::Running | Observation::Paused | Observation::Unresponsive
            ) {
                vm.observation = Observation::Stopped(Some(Exit::HostRebooted));
            }
        }
    }

    /// The program ends where it stands. What was not durable may have reached the disk or not; what providers were
    /// doing is done to this part.
    pub(crate) fn crash(&mut self, keep_undurable: bool, part: Part) {
        if !keep_undurable {
            self.journal.truncate(self.durable);
        }
        self.durable = self.journal.len();
        for deed in std::mem::take(&mut self.deeds) {
            self.provider.perform_part(&deed.work, part);
        }
        self.commands.killed();
        self.crashed = false;
        self.crash_after = None;
        self.watches.clear();
        self.observes.clear();
        self.told.clear();
        self.adopted.clear();
        self.before = self.journal.len();
        self.now.monotonic_ms = 100;
    }

    /// The program starts again: replay, look, go on.
    pub(crate) fn recover(&mut self) {
        self.tracker = Tracker::replay(self.config.clone(), self.journal.iter().cloned());
        assert_eq!(self.tracker.next_wake(), None, "nothing is due before the host was looked over");
        self.recovering = true;
        self.step(Input::Recovered { found: self.provider.found() });
        self.run();
        self.recovering = false;
    }
}
