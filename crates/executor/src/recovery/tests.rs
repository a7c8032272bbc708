use std::collections::BTreeMap;
use std::time::Duration;

use nkudo_domain::{
    Action, AskedBy, Deed, ExecutionStatus, Observation, Outcome, ProviderKind, Request, ResourceUsage, VmId,
};
use nkudo_journal::{Flipped, Reason, SimulatedDisk};
use nkudo_metrics_core::Registry;
use nkudo_supervision::Supervisor;
use nkudo_tracker::{Config, DeedReport, Effect, Found, Input, Now, Phase, Tracker};

use super::*;
use crate::projection;

const STATE_DIR: &str = "/state";
const OUTCOME_UNKNOWN: &str = "interrupted, outcome unknown";

#[test]
fn the_first_record_that_is_not_known_is_named_with_a_remedy() {
    let mut decoding = Decoding::of(Path::new("/state/journal"));
    decoding.take(Seq::new(7), b"{\"from_the_future\":{}}");
    decoding.take(Seq::new(8), b"no JSON");
    let refused = decoding.end(None).unwrap_err();
    assert!(matches!(refused, ExecutorError::UnknownRecord { seq: 7, .. }), "{refused:?}");
    let expected = "record 7 of the journal in /state/journal is not one this version knows; use the version";
    assert!(refused.to_string().starts_with(expected), "{refused}");
}

/// One for all: a registry is dear.
fn operations() -> &'static Operations {
    static OPERATIONS: std::sync::LazyLock<Operations> =
        std::sync::LazyLock::new(|| Supervisor::new(&Registry::new(), "nkudo_", || 0).operations("executor"));
    &OPERATIONS
}

fn read(disk: &SimulatedDisk) -> Result<Recovered<SimulatedDisk>, ExecutorError> {
    Recovered::read(disk, Path::new(STATE_DIR), "this boot", operations(), |_| false)
}

/// An agent without its daemon: what it decides is done at once, and always works.
struct Host {
    disk: SimulatedDisk,
    journal: Journal<SimulatedDisk>,
    tracker: Tracker,
    vms: BTreeMap<VmId, Observation>,
    /// Deeds of this action never end.
    hangs: Option<&'static str>,
    performed: Vec<String>,
    records: usize,
}

impl Host {
    fn start(disk: SimulatedDisk, vms: BTreeMap<VmId, Observation>, outbox_id: &str) -> Self {
        let Recovered { journal, records, lost, .. } = read(&disk).unwrap();
        let config = Config {
            boot: 1,
            providers: vec![ProviderKind::Simulated],
            outbox_id: outbox_id.to_owned(),
            lost,
            ..Config::default()
        };
        let count = records.len();
        let tracker = Tracker::replay(config, records);
        let found = |(vm_id, observation): (&VmId, &Observation)| Found {
            vm_id: *vm_id,
            provider: ProviderKind::Simulated,
            spec: None,
            observation: observation.clone(),
        };
        let found = vms.iter().map(found).collect();
        let mut host =
            Self { disk, journal, tracker, vms, hangs: None, performed: Vec::new(), records: count };
        host.step(Input::Recovered { found });
        host
    }

    fn step(&mut self, input: Input) {
        let now = Now { monotonic_ms: 1, boottime_ms: 1, wall_ms: 1 };
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut written = None;
            for effect in self.tracker.step(input, now) {
                match effect {
                    Effect::Persist { seq, record } => {
                        self.journal.append(&serde_json::to_vec(&record).unwrap()).unwrap();
                        self.records += 1;
                        written = Some(seq);
                    }
                    Effect::Perform { action_id, attempt, work } => {
                        self.performed.push(action_id.to_string());
                        if self.hangs == Some(action_id.as_str()) {
                            continue;
                        }
                        let observation = after(work.deed);
                        self.vms.insert(work.spec.vm_id, observation.clone());
                        let report = DeedReport {
                            result: Ok(()),
                            observation,
                            usage: ResourceUsage::default(),
                            jitter_permille: 0,
                        };
                        inputs.push(Input::DeedEnded { action_id, attempt, report });
                    }
                    _ => {}
                }
            }
            if let Some(seq) = written {
                self.journal.sync().unwrap();
                inputs.push(Input::Persisted(seq));
            }
        }
    }

    fn ask(&mut self, id: &str, request: Request) {
        let action = Action {
            action_id: id.parse().unwrap(),
            request,
            timeout: Duration::from_secs(60),
            trace_id: None,
            parent_span_id: None,
            correlation_id: None,
            asked_by: AskedBy::default(),
            start_within: None,
        };
        self.step(Input::Submit { ticket: 1, action: Box::new(action) });
    }

    fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let ended = |tracked: &nkudo_tracker::Tracked| match &tracked.phase {
            Phase::Ended { outcome, .. } => Some((tracked.action.action_id.to_string(), outcome.clone())),
            _ => None,
        };
        self.tracker.actions().filter_map(ended).collect()
    }

    fn write_state_file(&self) {
        let content = projection::state_file(&self.tracker, |_, _| None, 1);
        let path = Path::new(STATE_DIR).join(state_file::FILE_NAME);
        assert!(state_file::write(&self.disk, &path, &content, operations()));
    }
}

fn after(deed: Deed) -> Observation {
    match deed {
        Deed::Create | Deed::Boot | Deed::Resume => Observation::Running,
        Deed::Pause => Observation::Paused,
        Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped => Observation::Stopped(None),
        Deed::Delete => Observation::Absent,
    }
}

fn vm_id(n: u32) -> VmId {
    format!("01890a5d-ac96-774b-bcce-{n:012}").parse().unwrap()
}

fn create(n: u32) -> Request {
    let spec = serde_json::json!({"vm_id": vm_id(n), "vm_name": format!("vm-{n}"), "vcpus": 1, "memory_bytes": 1 << 20,
        "kernel": "/kernel", "initramfs": null, "cmdline": "", "disks": [], "nics": [], "console": "log", "provider": null,
        "machine": "q35", "restart_policy": "no", "labels": {}});
    let spec = serde_json::from_value(spec).unwrap();
    Request::Create(nkudo_domain::CreateVm { spec, autostart: true })
}

/// A journal with what may stand in one: VMs that are and were, results, and an action that is under way.
fn small() -> Host {
    let mut host = Host::start(SimulatedDisk::new(), BTreeMap::new(), "a");
    host.ask("make", create(1));
    host.ask("pause", Request::Pause(vm_id(1)));
    host.ask("refused", Request::Pause(vm_id(9)));
    host.ask("resume", Request::Resume(vm_id(1)));
    host.step(Input::Acknowledged { seq: 2 });
    host.ask("other", create(2));
    host.ask("stop", Request::Stop(nkudo_domain::StopVm { vm_id: vm_id(2), grace: Duration::ZERO }));
    host.write_state_file();
    host.hangs = Some("hangs");
    host.ask("hangs", Request::Pause(vm_id(1)));
    assert_eq!(host.outcomes().len(), 6);
    host
}

fn journal_file(disk: &SimulatedDisk) -> std::path::PathBuf {
    let dir = Path::new(STATE_DIR).join("journal");
    let segments: Vec<String> =
        disk.list(&dir).unwrap().into_iter().filter(|name| name.ends_with(".seg")).collect();
    assert_eq!(segments.len(), 1);
    dir.join(&segments[0])
}

/// Starts on a damaged disk: whatever is answered is what was answered before, or that nobody knows; nothing of which the
/// end was told is done again; and a loss is told. How many records are gone.
fn check(before: &Host, damaged: SimulatedDisk, what: &str) -> usize {
    let told = before.outcomes();
    let all = before.records;
    let Recovered { records: read_back, lost, .. } = read(&damaged.kill()).unwrap();
    let ends = read_back.iter().filter(|record| matches!(record, Record::Ended { .. })).count();
    let vms: BTreeMap<VmId, Observation> = before
        .vms
        .iter()
        .filter(|(_, seen)| **seen != Observation::Absent)
        .map(|(id, seen)| (*id, seen.clone()))
        .collect();
    let mut after = Host::start(damaged, vms, "b");
    after.hangs = before.hangs;
    for (id, outcome) in after.outcomes() {
        let unknown = outcome.error().is_some_and(|error| error.starts_with(OUTCOME_UNKNOWN));
        match told.get(&id) {
            Some(said) => {
                assert!(unknown || *said == outcome, "{what}: {id} ended as {said:?} and is {outcome:?}")
            }
            // It was under way: it has ended in the way of an action that was cut off, or nobody knows.
            None => assert!(
                unknown || outcome.status() == ExecutionStatus::Success,
                "{what}: {id} is {outcome:?}"
            ),
        }
    }
    let again: Vec<&String> = after.performed.iter().filter(|id| told.contains_key(*id)).collect();
    assert!(again.is_empty(), "{what}: {again:?} are done again");
    if ends < told.len() {
        assert_eq!(lost, Lost::Ends, "{what}: {} of {} ends are left, and nobody is told", ends, told.len());
        assert_eq!(after.tracker.outbox().id, "b", "{what}: numbers are given again");
    }
    all - read_back.len()
}

#[test]
fn a_journal_with_each_byte_flipped_in_turn_answers_nothing_wrong() {
    let before = small();
    let path = journal_file(&before.disk);
    let bytes = before.disk.length(&path).unwrap();
    for offset in 0..bytes {
        let disk = before.disk.kill();
        let bit = u8::try_from(offset % 8).unwrap();
        disk.flip_at(&Flipped { path: path.clone(), offset, bit }).unwrap();
        let gone = check(&before, disk, &format!("byte {offset}"));
        assert!(gone > 0, "byte {offset}");
    }
}

#[test]
fn a_journal_that_is_cut_at_each_byte_answers_nothing_wrong() {
    let before = small();
    let path = journal_file(&before.disk);
    for length in 0..before.disk.length(&path).unwrap() {
        let disk = before.disk.kill();
        disk.truncate(&path, length).unwrap();
        check(&before, disk.kill(), &format!("cut to {length} bytes"));
    }
}

#[test]
fn what_was_judged_holds_until_it_is_on_record() {
    let news = |reason, followed_by, is_news| Discarded {
        segment: "s".to_owned(),
        offset: 1,
        bytes: 1,
        reason,
        followed_by,
        is_news,
        kept: Vec::new(),
    };
    let rotten = |is_news| news(Reason::DamagedRecord, FollowedBy::Nothing, is_news);
    let cut_off = |is_news| news(Reason::TornRecord, FollowedBy::Nothing, is_news);
    let check = |discarded: Option<Discarded>, has_stayed_up, before, expected| {
        let judged = lost(discarded.as_ref(), false, has_stayed_up, before);
        assert_eq!(judged, expected, "{discarded:?}, up {has_stayed_up}, before {before:?}");
    };
    check(Some(rotten(true)), true, Lost::Nothing, Lost::Ends);
    // The host has booted since: what is told once more is no less than it was, and no more.
    check(Some(rotten(false)), false, Lost::Ends, Lost::Ends);
    check(Some(rotten(true)), false, Lost::Nothing, Lost::Unwritten);
    check(Some(rotten(false)), true, Lost::Unwritten, Lost::Unwritten);
    // A write that is cut off after that makes it no better.
    check(Some(cut_off(true)), true, Lost::Ends, Lost::Ends);
    // Nobody had judged it: the program was killed before.
    check(Some(rotten(false)), true, Lost::Nothing, Lost::Ends);
    // The evidence is gone, and what was judged is not on record.
    check(None, true, Lost::Ends, Lost::Ends);
    check(None, true, Lost::Nothing, Lost::Nothing);
}

#[test]
fn what_was_judged_is_on_disk_before_anybody_acts_on_it() {
    let before = small();
    let path = journal_file(&before.disk);
    let disk = before.disk.kill();
    let offset = before.disk.length(&path).unwrap() - 3;
    disk.flip_at(&Flipped { path, offset, bit: 0 }).unwrap();
    assert_eq!(read(&disk).unwrap().lost, Lost::Ends);
    // The host goes down before anything is on record.
    let disk = disk.crash();
    let booted =
        Recovered::read(&disk, Path::new(STATE_DIR), "another boot", operations(), |_| false).unwrap();
    assert_eq!(booted.lost, Lost::Ends);
    let noted = BootFile { boot_id: "another boot".to_owned(), lost: Lost::Nothing };
    let mut journal = booted.journal;
    journal.loss_is_on_record().unwrap();
    noted.write(&disk, Path::new(STATE_DIR)).unwrap();
    assert_eq!(read(&disk).unwrap().lost, Lost::Nothing);
}
