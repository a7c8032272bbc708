//! The life of a journal on a disk that does everything a disk can do, beside a model of what it owes.

use nkudo_journal::{Deed, Journal, JournalError, Reason, Replay, Seq, SimulatedDisk};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, sample, test_runner::Config};

use crate::journals::{payloads, try_open};

/// What happens to a journal, or to the disk under it.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Append(Vec<u8>),
    Sync,
    /// To the newest records, this many.
    Compact(usize),
    /// The program ends and begins anew, on the same disk with the same faults.
    Restart,
    Kill,
    PowerLoss,
    TornPowerLoss(u64),
    Flip(u64),
    /// There is room for so many more bytes.
    Room(u64),
    Fail(Deed, u64),
    /// There is room again, and nothing fails any more.
    Heal,
}

type State = Vec<Vec<u8>>;

struct World {
    disk: SimulatedDisk,
    journal: Option<Journal<SimulatedDisk>>,
    /// What may be found, after a loss of power at least.
    possible: Vec<State>,
    current: State,
    /// All states that ever were.
    ever: Vec<State>,
    /// A sync failed, so that the disk's word is worth nothing until all was written anew.
    doubt: bool,
    /// A bit was flipped since the journal was opened last.
    flipped: bool,
    what: String,
}

/// Runs the events. Tells what was lost to flips.
pub(crate) fn check(events: &[Event]) -> usize {
    let mut world = World {
        disk: SimulatedDisk::new(),
        journal: None,
        possible: vec![Vec::new()],
        current: Vec::new(),
        ever: vec![Vec::new()],
        doubt: false,
        flipped: false,
        what: String::new(),
    };
    world.open();
    let mut lost = 0;
    let end = [Event::TornPowerLoss(7), Event::Heal, Event::Restart];
    for (number, event) in events.iter().chain(&end).enumerate() {
        world.what = format!("event {number}, {event:?}");
        lost += world.happen(event);
    }
    assert!(world.journal.is_some(), "a disk without faults opens");
    lost
}

impl World {
    fn happen(&mut self, event: &Event) -> usize {
        match event {
            Event::Append(payload) => self.append(payload),
            Event::Sync => self.sync(),
            Event::Compact(keep) => {
                let from = self.current.len().saturating_sub(*keep);
                self.compact(self.current.split_at(from).1.to_vec());
            }
            Event::Restart => return self.open(),
            Event::Kill => return self.after(self.disk.kill()),
            Event::PowerLoss => return self.after(self.disk.crash()),
            Event::TornPowerLoss(seed) => return self.after(self.disk.crash_torn(*seed)),
            Event::Flip(seed) => self.flipped |= self.disk.flip(*seed).is_some(),
            Event::Room(bytes) => self.disk.set_capacity(self.disk.used_bytes() + bytes),
            Event::Fail(deed, times) => self.disk.fail_next(*deed, *times),
            Event::Heal => {
                self.disk = self.disk.kill();
                self.disk.set_capacity(u64::MAX);
                return self.open();
            }
        }
        0
    }

    fn after(&mut self, disk: SimulatedDisk) -> usize {
        self.disk = disk;
        self.open()
    }

    /// How many records a flip has cost.
    fn open(&mut self) -> usize {
        self.journal = None;
        match try_open(&self.disk) {
            Ok((journal, replay)) => {
                self.journal = Some(journal);
                self.opened(&replay)
            }
            Err(_) => {
                // Its syncs may have failed.
                self.doubt = true;
                0
            }
        }
    }

    fn opened(&mut self, replay: &Replay) -> usize {
        let found = payloads(replay);
        let numbers = replay.records.iter().map(|(seq, _)| seq.get());
        let first = replay.records.first().map_or(Seq::new(1), |(seq, _)| *seq).get();
        assert!(numbers.zip(first..).all(|(seq, expected)| seq == expected), "{}: a gap", self.what);
        let mut lost = 0;
        if !self.possible.contains(&found) {
            let is_beginning = self.ever.iter().any(|state| state.starts_with(&found));
            assert!(self.flipped && is_beginning, "{}: {found:?} is none of {:?}", self.what, self.possible);
            assert!(replay.discarded.is_some(), "{}: a loss that is not told", self.what);
            lost = self.current.len().saturating_sub(found.len()).max(1);
        }
        if let Some(told) = &replay.discarded {
            assert!(told.reason == Reason::Unknown || !told.kept.is_empty(), "{}: {told}", self.what);
        }
        // A failure of that is told at the next opening.
        drop(self.journal.as_mut().map(Journal::loss_is_on_record));
        self.flipped = false;
        self.current.clone_from(&found);
        if self.doubt {
            self.may_be(found.clone());
            self.compact(found);
        } else {
            self.durable();
        }
        lost
    }

    fn append(&mut self, payload: &[u8]) {
        let Some(journal) = &mut self.journal else { return };
        match journal.append(payload) {
            Ok(_) => {
                self.current.push(payload.to_vec());
                self.may_be(self.current.clone());
            }
            Err(error) => self.failed(&error),
        }
    }

    fn sync(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        match journal.sync() {
            Ok(_) if self.doubt => {}
            Ok(_) => self.durable(),
            Err(error) => self.failed(&error),
        }
    }

    fn compact(&mut self, snapshot: State) {
        let Some(journal) = &mut self.journal else { return };
        let compacted = journal.compact(snapshot.clone());
        // Even when it fails, it may be in force.
        self.may_be(snapshot.clone());
        let in_force = match &compacted {
            Ok(_) => true,
            Err(JournalError::Disk { deed: Deed::Remove, path, .. }) => {
                path.extension().is_some_and(|extension| extension == "seg")
            }
            Err(_) => false,
        };
        if in_force {
            self.current = snapshot;
            self.doubt = false;
            self.durable();
        }
        if let Err(error) = compacted {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &JournalError) {
        self.doubt |= matches!(error, JournalError::Disk { deed: Deed::Sync | Deed::Rename, .. });
    }

    fn durable(&mut self) {
        self.possible = vec![self.current.clone()];
        self.ever.push(self.current.clone());
    }

    fn may_be(&mut self, state: State) {
        self.ever.push(state.clone());
        self.possible.push(state);
    }
}

fn event() -> impl Strategy<Value = Event> {
    let deeds =
        [Deed::Append, Deed::Sync, Deed::Create, Deed::Rename, Deed::Remove, Deed::Truncate, Deed::Read];
    prop_oneof![
        10 => collection::vec(any::<u8>(), 0..64).prop_map(Event::Append),
        5 => Just(Event::Sync),
        2 => (0..4_usize).prop_map(Event::Compact),
        1 => Just(Event::Restart),
        1 => Just(Event::Kill),
        1 => Just(Event::PowerLoss),
        4 => any::<u64>().prop_map(Event::TornPowerLoss),
        1 => any::<u64>().prop_map(Event::Flip),
        2 => (0..200_u64).prop_map(Event::Room),
        3 => (sample::select(deeds.to_vec()), 1..3_u64).prop_map(|(deed, times)| Event::Fail(deed, times)),
        2 => Just(Event::Heal),
    ]
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(1_000) })]

    #[test]
    fn any_life_keeps_what_was_promised(events in collection::vec(event(), 0..40)) {
        check(&events);
    }
}

/// The model is of use only while its rarest branch is taken.
#[test]
fn flips_cost_records_and_are_told() {
    let mut lost = 0;
    for seed in 0..200 {
        let append = |byte: u8| Event::Append(vec![byte; 20]);
        let mut events = vec![append(1), append(2), append(3), Event::Sync];
        events.extend([Event::Flip(seed), Event::TornPowerLoss(seed), append(4), Event::Sync]);
        lost += check(&events);
    }
    assert!(lost > 200, "{lost}");
}
