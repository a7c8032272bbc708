//! The life of a spool on a disk that does everything a disk can do but rot, beside a model of what it owes.

use std::collections::BTreeMap;
use std::path::Path;

use nkudo_journal::spool::{Class, Entry, Spool, SpoolError, SpoolOptions};
use nkudo_journal::{Deed, JournalError, Seq, SimulatedDisk};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, sample, test_runner::Config};

/// Segments of two or three records, and room for about twenty.
const OPTIONS: SpoolOptions = SpoolOptions { max_bytes: 900, segment_bytes: 120, max_record_bytes: 64 };

#[derive(Debug, Clone)]
enum Event {
    Push(Class, u8),
    Sync,
    /// What a reader got in pieces of this size, the first part of it, in thirds.
    Deliver {
        piece_bytes: usize,
        thirds: usize,
    },
    Save,
    /// The program ends and begins anew, on the same disk with the same faults.
    Restart,
    Kill,
    PowerLoss,
    TornPowerLoss(u64),
    /// There is room for so many more bytes.
    Room(u64),
    Fail(Deed, u64),
    /// There is room again, and nothing fails any more.
    Heal,
}

#[derive(Default)]
struct World {
    disk: SimulatedDisk,
    spool: Option<Spool<SimulatedDisk>>,
    /// What was pushed last under each number.
    pushed: BTreeMap<Seq, (Class, Vec<u8>)>,
    /// What is durable and not acknowledged.
    owed: BTreeMap<Seq, Class>,
    /// Numbers up to here were told to be durable.
    told: Seq,
    /// Dropped in all, by those spools that are no more.
    dropped: u64,
    /// A sync failed: the disk's word is worth nothing until power was lost.
    doubt: bool,
    payloads: u8,
    what: String,
}

fn check(disk: &SimulatedDisk, events: &[Event]) -> u64 {
    let mut world = World { disk: disk.clone(), ..World::default() };
    world.open();
    let end = [Event::TornPowerLoss(7), Event::Heal, Event::Deliver { piece_bytes: 100, thirds: 3 }];
    for (number, event) in events.iter().chain(&end).enumerate() {
        world.what = format!("event {number}, {event:?}");
        world.happen(event);
        world.verify();
    }
    let spool = world.spool.expect("a disk without faults opens");
    assert_eq!(spool.acknowledged(), spool.durable(), "{}", world.what);
    world.dropped + spool.dropped()
}

impl World {
    fn happen(&mut self, event: &Event) {
        match event {
            Event::Push(class, length) => self.push(*class, (*length).into()),
            Event::Sync => self.sync(),
            Event::Deliver { piece_bytes, thirds } => self.deliver(*piece_bytes, *thirds),
            Event::Save => {
                let saved = self.spool.as_mut().map(Spool::save);
                self.failed(saved.and_then(Result::err).as_ref());
            }
            Event::Restart => self.open(),
            Event::Kill => self.after(self.disk.kill()),
            Event::PowerLoss => self.after_power_loss(self.disk.crash()),
            Event::TornPowerLoss(seed) => self.after_power_loss(self.disk.crash_torn(*seed)),
            Event::Room(bytes) => self.disk.set_capacity(self.disk.used_bytes() + bytes),
            Event::Fail(deed, times) => self.disk.fail_next(*deed, *times),
            Event::Heal => {
                self.disk.set_capacity(u64::MAX);
                self.after(self.disk.kill());
            }
        }
    }

    fn push(&mut self, class: Class, length: usize) {
        let Some(spool) = &mut self.spool else { return };
        self.payloads = self.payloads.wrapping_add(1);
        let payload = vec![self.payloads; length];
        match spool.push(class, &payload) {
            Ok(seq) => {
                assert!(seq > self.told || self.doubt, "{}: {seq} was given before", self.what);
                self.pushed.insert(seq, (class, payload));
            }
            Err(SpoolError::Full { .. }) => assert_eq!(class, Class::Audit, "{}", self.what),
            Err(error) => self.failed(Some(&error)),
        }
    }

    fn sync(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        match spool.sync() {
            Ok(last) => {
                assert_eq!(last, spool.durable());
                if !self.doubt {
                    let new = self.pushed.range(self.told.max(spool.acknowledged())..=last);
                    self.owed.extend(
                        new.filter(|(seq, _)| **seq > self.told).map(|(seq, (class, _))| (*seq, *class)),
                    );
                    self.told = last;
                }
            }
            Err(error) => self.failed(Some(&error)),
        }
    }

    fn deliver(&mut self, piece_bytes: usize, thirds: usize) {
        let Some(entries) = self.read(piece_bytes) else { return };
        let Some(spool) = &mut self.spool else { return };
        let delivered = entries.len() * thirds / 3;
        let Some(last) = entries[..delivered].last() else { return };
        let seq = numbers(last).1;
        let acknowledged = spool.acknowledge(seq);
        assert_eq!(spool.acknowledged(), seq, "{}", self.what);
        self.owed.retain(|owed, _| *owed > seq);
        self.failed(acknowledged.err().as_ref());
    }

    fn after(&mut self, disk: SimulatedDisk) {
        self.dropped += self.spool.take().map_or(0, |spool| spool.dropped());
        self.disk = disk;
        self.open();
    }

    fn after_power_loss(&mut self, disk: SimulatedDisk) {
        self.doubt = false;
        self.after(disk);
    }

    fn open(&mut self) {
        self.dropped += self.spool.take().map_or(0, |spool| spool.dropped());
        match Spool::open(self.disk.clone(), Path::new("/state/spool"), OPTIONS) {
            Ok((spool, recovered)) => {
                assert!(!recovered.position_lost, "{}", self.what);
                assert!(self.doubt || spool.durable() >= self.told, "{}: numbers come again", self.what);
                self.spool = Some(spool);
                self.verify();
                let Some(entries) = self.read(300) else { return };
                if let (Some(spool), false) = (&self.spool, self.doubt) {
                    let records = entries.iter().filter(|entry| matches!(entry, Entry::Record { .. }));
                    self.owed =
                        records.map(|entry| (numbers(entry).0, self.pushed[&numbers(entry).0].0)).collect();
                    self.told = spool.durable();
                }
            }
            Err(error) => self.failed(Some(&error)),
        }
    }

    fn failed(&mut self, error: Option<&SpoolError>) {
        if let Some(SpoolError::Journal(JournalError::Disk { deed: Deed::Sync, .. })) = error {
            self.doubt = true;
        }
    }

    /// All that is to be delivered, in pieces; none when it cannot be read now.
    fn read(&self, piece_bytes: usize) -> Option<Vec<Entry>> {
        let spool = self.spool.as_ref()?;
        let (mut entries, mut after) = (Vec::new(), spool.acknowledged());
        loop {
            let piece = spool.read(after, piece_bytes).ok()?;
            let payloads = piece.iter().filter_map(|entry| match entry {
                Entry::Record { payload, .. } => Some(16 + payload.len()),
                Entry::Gap { .. } => None,
            });
            let lengths: Vec<usize> = payloads.collect();
            assert!(lengths.iter().sum::<usize>() <= piece_bytes || lengths.len() == 1, "{lengths:?}");
            let Some(last) = piece.last() else { return Some(entries) };
            after = numbers(last).1;
            entries.extend(piece);
        }
    }

    /// Every number once, every record exact, nothing owed missing.
    fn verify(&self) {
        let Some(spool) = &self.spool else { return };
        assert!(spool.bytes() <= OPTIONS.max_bytes, "{}: {} bytes", self.what, spool.bytes());
        let Some(entries) = self.read(200) else { return };
        let mut expected = spool.acknowledged().get() + 1;
        let mut missing = self.owed.clone();
        for entry in &entries {
            let (first, last) = numbers(entry);
            assert_eq!(first.get(), expected, "{}: {entries:?}", self.what);
            expected = last.get() + 1;
            if let Entry::Record { seq, class, payload } = entry {
                assert_eq!(self.pushed.get(seq), Some(&(*class, payload.clone())), "{}: {seq}", self.what);
                missing.remove(seq);
            }
        }
        assert_eq!(expected, spool.durable().get() + 1, "{}: {entries:?}", self.what);
        if !self.doubt {
            missing.retain(|seq, _| *seq > spool.acknowledged());
            assert!(missing.values().all(|class| *class == Class::Telemetry), "{}: {missing:?}", self.what);
            let dropped = self.dropped + spool.dropped();
            assert!(missing.len() as u64 <= dropped, "{}: {missing:?}, {dropped} dropped", self.what);
        }
    }
}

fn numbers(entry: &Entry) -> (Seq, Seq) {
    match entry {
        Entry::Record { seq, .. } => (*seq, *seq),
        Entry::Gap { first, last } => (*first, *last),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let deeds =
        [Deed::Append, Deed::Sync, Deed::Create, Deed::Rename, Deed::Remove, Deed::Truncate, Deed::Read];
    let class = prop_oneof![Just(Class::Audit), Just(Class::Telemetry)];
    prop_oneof![
        24 => (class, 0..64_u8).prop_map(|(class, length)| Event::Push(class, length)),
        8 => Just(Event::Sync),
        3 => (0..400_usize, 0..4_usize)
            .prop_map(|(piece_bytes, thirds)| Event::Deliver { piece_bytes, thirds }),
        1 => Just(Event::Save),
        1 => Just(Event::Restart),
        1 => Just(Event::Kill),
        1 => Just(Event::PowerLoss),
        4 => any::<u64>().prop_map(Event::TornPowerLoss),
        1 => (0..200_u64).prop_map(Event::Room),
        2 => (sample::select(deeds.to_vec()), 1..3_u64).prop_map(|(deed, times)| Event::Fail(deed, times)),
        2 => Just(Event::Heal),
    ]
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(200) })]

    #[test]
    fn any_life_of_a_spool_keeps_what_was_promised(events in collection::vec(event(), 0..80)) {
        check(&SimulatedDisk::new(), &events);
    }
}

/// Every kind of record, of segment and of removal.
fn script() -> Vec<Event> {
    let mut events = Vec::new();
    for round in 0..6 {
        events.extend((0..6).map(|_| Event::Push(Class::Telemetry, 30)));
        events.extend([Event::Push(Class::Audit, 20), Event::Sync, Event::Push(Class::Audit, 50)]);
        if round % 2 == 1 {
            events.push(Event::Deliver { piece_bytes: 260, thirds: 1 });
        }
    }
    events.extend([Event::Sync, Event::Save, Event::Deliver { piece_bytes: 260, thirds: 3 }]);
    events.extend([Event::Push(Class::Telemetry, 60), Event::Sync]);
    events
}

#[test]
fn the_disk_of_a_spool_stops_at_each_operation() {
    let whole = SimulatedDisk::new();
    assert!(check(&whole, &script()) > 8, "telemetry is dropped");
    let operations = whole.operations();
    assert!(operations > 100, "{operations}");
    for operation in 0..operations {
        for seed in 0..2 {
            let disk = SimulatedDisk::new();
            disk.fail(operation..u64::MAX);
            let mut events = script();
            events.push(Event::TornPowerLoss(seed));
            check(&disk, &events);
        }
        let disk = SimulatedDisk::new();
        disk.fail(operation..operation + 1);
        check(&disk, &script());
    }
}

#[test]
fn power_is_lost_after_each_event_of_a_spool() {
    let script = script();
    for length in 0..=script.len() {
        for seed in 0..3 {
            let (before, after) = script.split_at(length);
            let events = [before, &[Event::TornPowerLoss(seed)], after].concat();
            check(&SimulatedDisk::new(), &events);
        }
    }
}
