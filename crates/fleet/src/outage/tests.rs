use super::*;

/// The wall clock where these tests begin.
const WALL_MS: i64 = 1_000_000;
const S: u64 = 1_000;

fn agent(number: u8) -> nkudo_domain::AgentId {
    format!("{number:08x}-0000-7000-8000-000000000000").parse().unwrap()
}

/// What happens, each so many milliseconds after the one before.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes, on all clocks.
    After(u64),
    /// The host sleeps.
    Sleep(u64),
    /// The wall clock is set.
    Set(i64),
    Heard,
    Fails(Failure, &'static str),
    Look,
    Enrolled(Option<u8>),
    /// The daemon ends in order.
    End(Option<&'static str>),
    /// The daemon begins; what was not written down is lost.
    Begin,
    /// The host boots: clocks begin anew.
    Boot,
    /// Records could not be read.
    Damage,
}

use Step::*;

/// A host, its ledger, and the records on its disk.
struct Host {
    now: Moment,
    boot: u32,
    began: u32,
    agent_id: Option<nkudo_domain::AgentId>,
    damaged: bool,
    ledger: Ledger,
    disk: Vec<Record>,
}

impl Host {
    fn new() -> Self {
        let now = Moment { wall_ms: WALL_MS, boottime_ms: 50_000, monotonic_ms: 50_000 };
        let mut host = Self {
            now,
            boot: 1,
            began: 0,
            agent_id: Some(agent(1)),
            damaged: false,
            ledger: Ledger::default(),
            disk: Vec::new(),
        };
        host.step(&Begin);
        host
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        let records = match step {
            After(ms) => {
                self.now.wall_ms += i64::try_from(*ms).unwrap();
                self.now.boottime_ms += ms;
                self.now.monotonic_ms += ms;
                Vec::new()
            }
            Sleep(ms) => {
                self.now.wall_ms += i64::try_from(*ms).unwrap();
                self.now.boottime_ms += ms;
                Vec::new()
            }
            Set(by_ms) => {
                self.now.wall_ms += by_ms;
                Vec::new()
            }
            Heard => self.ledger.heard(now),
            Fails(failure, evidence) => self.ledger.failed(now, *failure, evidence),
            Look => self.ledger.look(now),
            Enrolled(number) => {
                self.agent_id = number.map(agent);
                self.ledger.enrolled(now, self.agent_id)
            }
            End(fault) => self.ledger.end(now, *fault),
            Begin => {
                self.began += 1;
                self.ledger = Ledger::default();
                self.disk.iter().cloned().for_each(|record| self.ledger.apply(record));
                self.ledger.begin(Beginning {
                    at: now,
                    boot_id: self.boot.to_string(),
                    agent_id: self.agent_id,
                    fresh_id: format!("ledger-{}", self.began),
                    damaged: std::mem::take(&mut self.damaged),
                })
            }
            Boot => {
                self.boot += 1;
                (self.now.boottime_ms, self.now.monotonic_ms) = (7_000, 7_000);
                Vec::new()
            }
            Damage => {
                self.damaged = true;
                Vec::new()
            }
        };
        self.disk.extend(records);
        self.holds();
    }

    /// What is on the disk makes the same ledger, and so does its snapshot.
    fn holds(&self) {
        for records in [self.disk.clone(), self.ledger.snapshot()] {
            let mut again = Ledger::default();
            records.into_iter().for_each(|record| again.apply(record));
            assert_eq!((again.id(), again.last_seq()), (self.ledger.id(), self.ledger.last_seq()));
            assert!(again.outages().eq(self.ledger.outages()), "{again:?}");
            let open = |ledger: &Ledger| ledger.gap().map(|gap| (gap.cause, gap.began));
            assert_eq!(open(&again), open(&self.ledger));
            assert!(!again.is_cut());
        }
        let mut so_far = Ledger::default();
        for record in &self.disk {
            so_far.apply(record.clone());
            assert!(!so_far.is_cut(), "a kill before the next record looks like damage: {so_far:?}");
        }
        let numbers: Vec<u64> = self.ledger.outages().map(|entry| entry.seq).collect();
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
    }

    fn told(&self) -> Vec<String> {
        let line = |outage: &Outage, end: &str| {
            let Outage { cause, evidence, began_at_ms, duration_ms, by_wall_clock, failures, .. } = outage;
            let clock = if *by_wall_clock { " by the wall clock" } else { "" };
            let began_at_ms = began_at_ms - WALL_MS;
            format!("{cause} {began_at_ms}{end} {duration_ms}{clock}, {failures}: {evidence}")
        };
        let over = self.ledger.outages().map(|entry| {
            let outage = &entry.outage;
            line(outage, &format!("-{}", outage.ended_at_ms - WALL_MS))
        });
        over.chain(self.ledger.gap().map(|gap| line(&gap.until(self.now), "-"))).collect()
    }
}

fn check(steps: &[Step], expected: &[&str]) {
    let mut host = Host::new();
    steps.iter().for_each(|step| host.step(step));
    assert_eq!(host.told(), expected, "{steps:?}");
}

#[test]
fn a_gap_has_the_cause_of_its_failures() {
    for (failure, cause) in [
        (Failure::Name, "link"),
        (Failure::Unreachable, "link"),
        (Failure::NobodyListens, "control_plane"),
        (Failure::Mute, "control_plane"),
        (Failure::Foreign, "control_plane"),
        (Failure::Unavailable, "control_plane"),
        (Failure::AskedToWait, "control_plane"),
        (Failure::Closed, "control_plane"),
        (Failure::Credentials, "credentials"),
        (Failure::Broke, "link"),
        (Failure::Part, "crash"),
    ] {
        let steps = [Heard, Fails(failure, "first"), After(9 * S), Fails(failure, "last"), After(S), Heard];
        check(&steps, &[&format!("{cause} 0-10000 10000, 2: last")]);
    }
}

#[test]
fn a_gap_begins_when_the_control_plane_was_last_heard() {
    let heard = [After(S), Heard, After(10 * S)];
    let then = |steps: &[Step]| [&heard, steps].concat();
    check(&then(&[Fails(Failure::Broke, "b"), After(S), Heard]), &["link 1000-12000 11000, 1: b"]);
    check(&then(&[Fails(Failure::Closed, "c"), After(S), Heard]), &["control_plane 11000-12000 1000, 1: c"]);
    check(&[After(S), Fails(Failure::Name, "n"), After(S), Heard], &["link 0-2000 2000, 1: n"]);
    check(
        &[Enrolled(None), After(S), Enrolled(Some(1)), After(S), Fails(Failure::Name, "n"), Heard],
        &["link 1000-2000 1000, 1: n"],
    );
    check(&heard, &[]);
}

#[test]
fn what_broke_an_open_link_is_blamed_on_what_the_next_tries_meet() {
    let broke = [Heard, Fails(Failure::Broke, "broke"), After(S)];
    let then = |steps: &[Step]| [&broke, steps].concat();
    check(&then(&[Heard]), &["link 0-1000 1000, 1: broke"]);
    check(
        &then(&[Fails(Failure::NobodyListens, "refused"), After(S), Heard]),
        &["control_plane 0-2000 2000, 2: refused"],
    );
    check(&then(&[Fails(Failure::Name, "no name"), After(S), Heard]), &["link 0-2000 2000, 2: no name"]);
    // What is known already is not made doubtful again.
    check(
        &[Heard, Fails(Failure::Closed, "closed"), Fails(Failure::Broke, "broke"), After(S), Heard],
        &["control_plane 0-1000 1000, 2: closed"],
    );
}

#[test]
fn two_tries_in_a_row_with_another_cause_are_another_outage() {
    let (link, control) = (Fails(Failure::Name, "no name"), Fails(Failure::NobodyListens, "refused"));
    let tick = After(S);
    let gap = |fails: &[&Step]| {
        let fails = fails.iter().flat_map(|fail| [tick.clone(), (*fail).clone()]);
        [Heard].into_iter().chain(fails).chain([tick.clone(), Heard]).collect::<Vec<Step>>()
    };
    check(&gap(&[&link, &link, &control, &link]), &["link 0-5000 5000, 4: no name"]);
    check(
        &gap(&[&link, &link, &control, &control, &control]),
        &["link 0-3000 3000, 2: no name", "control_plane 3000-6000 3000, 3: refused"],
    );
    check(
        &gap(&[&link, &control, &Fails(Failure::Credentials, "expired"), &control, &control]),
        &["link 0-4000 4000, 3: no name", "control_plane 4000-6000 2000, 2: refused"],
    );
}

#[test]
fn a_host_that_sleeps_is_told_beside_the_gap_that_it_causes() {
    check(&[Look, After(S), Look, Sleep(999), Look], &[]);
    check(
        &[Heard, Sleep(2_400 * S), After(500), Look],
        &["suspend 500-2400500 2400000, 0: the host slept for 2400.000 s"],
    );
    check(
        &[Heard, Sleep(60 * S), Look, Fails(Failure::Broke, "broke"), After(S), Heard],
        &["suspend 0-60000 60000, 0: the host slept for 60.000 s", "link 0-61000 61000, 1: broke"],
    );
}

#[test]
fn a_daemon_that_stood_still_is_told_too() {
    check(&[Look, After(29_999), Look], &[]);
    let told = "suspend 1000-46000 45000, 0: the daemon stood still for 45.000 s: it was stopped by a signal, or the host was far too busy";
    check(&[Heard, After(S), Look, After(45 * S), Look], &[told]);
}

#[test]
fn a_clock_that_is_set_is_told_and_changes_no_duration() {
    check(&[Set(999), Look, Set(-999), Look], &[]);
    check(
        &[Set(3_600_000), Look],
        &["clock_step 3600000-3600000 0, 0: the wall clock was set ahead by 3600.000 s"],
    );
    check(
        &[Heard, Fails(Failure::Name, "n"), After(S), Set(-500_000), Look, After(S), Heard],
        &[
            "clock_step -499000--499000 0, 0: the wall clock was set back by 500.000 s",
            "link 0--498000 2000, 1: n",
        ],
    );
    check(
        &[Sleep(5 * S), Set(2_500), Look],
        &[
            "suspend 2500-7500 5000, 0: the host slept for 5.000 s",
            "clock_step 7500-7500 0, 0: the wall clock was set ahead by 2.500 s",
        ],
    );
}

#[test]
fn the_next_life_tells_how_the_last_one_ended() {
    let word = "the agent ended without a word, as when it is killed or runs out of memory, at most 60 s after it was \
         last known to live";
    let killed = format!("crash 60000-85000 25000, 0: {word}");
    check(
        &[
            After(20 * S),
            Look,
            After(20 * S),
            Look,
            After(20 * S),
            Look,
            After(20 * S),
            Look,
            After(5 * S),
            Begin,
        ],
        &[&killed],
    );
    check(
        &[After(S), End(None), After(9 * S), Begin],
        &["stopped 1000-10000 9000, 0: the agent was stopped"],
    );
    check(
        &[After(S), End(Some("executor failed for good: no disk")), After(S), Begin],
        &["crash 1000-2000 1000, 0: executor failed for good: no disk"],
    );
    let lost = "the host has booted, and the agent had not ended before: it lost power, was reset, or its kernel failed";
    check(&[After(90 * S), Boot, Begin], &[&format!("reboot 0-90000 90000 by the wall clock, 0: {lost}")]);
    let stopped = "the agent was stopped, and the host has booted since";
    check(
        &[End(None), After(S), Boot, Set(-5_000), Begin],
        &[&format!("stopped 0--4000 0 by the wall clock, 0: {stopped}")],
    );
    check(&[], &[]);
}

#[test]
fn no_outage_reaches_over_the_end_of_a_life() {
    let open = [Heard, After(S), Fails(Failure::Name, "no name"), After(S)];
    let then = |steps: &[Step]| [&open, steps].concat();
    check(&then(&[]), &["link 0- 2000, 1: no name"]);
    check(
        &then(&[End(None), After(S), Begin, After(S), Fails(Failure::Name, "still"), Heard]),
        &[
            "link 0-2000 2000, 1: no name",
            "stopped 2000-3000 1000, 0: the agent was stopped",
            "link 3000-4000 1000, 1: still",
        ],
    );
    let mut host = Host::new();
    then(&[After(20 * S), Look, After(20 * S), Look, After(20 * S), Look, After(S), Begin])
        .iter()
        .for_each(|step| host.step(step));
    let told = host.told();
    assert_eq!(told[0], "link 0-62000 62000, 1: no name", "until the last stamp");
    assert!(told[1].starts_with("crash 62000-63000 1000, 0: "), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn whoever_is_enrolled_anew_is_not_told_of_what_was_before() {
    let mut host = Host::new();
    [
        Heard,
        Fails(Failure::Name, "n"),
        After(S),
        Enrolled(Some(2)),
        Fails(Failure::Name, "m"),
        After(S),
        Heard,
    ]
    .iter()
    .for_each(|step| host.step(step));
    let untold = |number: u8| {
        let entries = host.ledger.untold(agent(number), 0, 10);
        entries.into_iter().map(|entry| (entry.seq, entry.outage.evidence)).collect::<Vec<_>>()
    };
    assert_eq!(untold(1), [(1, "n".to_owned())]);
    assert_eq!(untold(2), [(2, "m".to_owned())]);
}

#[test]
fn what_was_acknowledged_is_not_told_again() {
    let mut host = Host::new();
    for _ in 0..5 {
        [Heard, Fails(Failure::Closed, "c"), After(S), Heard].iter().for_each(|step| host.step(step));
    }
    let untold = |host: &Host, after| {
        host.ledger.untold(agent(1), after, 2).iter().map(|entry| entry.seq).collect::<Vec<u64>>()
    };
    assert_eq!(untold(&host, 0), [1, 2]);
    assert_eq!(untold(&host, 2), [3, 4], "sent, and not acknowledged yet");
    assert_eq!(host.ledger.acknowledged("another", 3), []);
    let records = host.ledger.acknowledged("ledger-1", 3);
    host.disk.extend(records);
    assert_eq!(untold(&host, 0), [4, 5]);
    assert_eq!(host.ledger.acknowledged("ledger-1", 2), [], "what is older is no news");
    host.step(&Begin);
    assert_eq!(untold(&host, 0), [4, 5], "the next life knows it");
    assert_eq!(host.ledger.acknowledged("ledger-1", 99).len(), 1);
    assert_eq!(untold(&host, 0), [0_u64; 0], "nothing is acknowledged that was never there");
    host.step(&After(S));
    host.step(&Fails(Failure::Closed, "c"));
    host.step(&Heard);
    assert_eq!(untold(&host, 0).len(), 1, "and what comes after it is told");
}

#[test]
fn a_ledger_that_lost_records_gets_another_name() {
    let mut host = Host::new();
    assert_eq!(host.ledger.id(), "ledger-1");
    host.step(&Begin);
    assert_eq!(host.ledger.id(), "ledger-1");
    host.step(&Damage);
    host.step(&Begin);
    assert_eq!(host.ledger.id(), "ledger-3");
}

#[test]
fn a_ledger_without_what_was_acknowledged_or_its_life_is_cut_and_tells_again_under_its_new_name() {
    let mut host = Host::new();
    for _ in 0..3 {
        [After(S), Fails(Failure::Closed, "c"), Heard].iter().for_each(|step| host.step(step));
    }
    assert_eq!(host.ledger.acknowledged("ledger-1", 2).len(), 1);
    // Name, what was acknowledged, three outages, the life.
    let snapshot = host.ledger.snapshot();
    for (length, expected) in [(1, false), (2, true), (3, true), (4, true), (5, true), (6, false)] {
        host.disk = snapshot.iter().take(length).cloned().collect();
        let mut read = Ledger::default();
        host.disk.iter().cloned().for_each(|record| read.apply(record));
        assert_eq!(read.is_cut(), expected, "{length} of {snapshot:?}");
    }
    host.disk = snapshot.iter().take(3).cloned().collect();
    let fresh_id = "fresh".to_owned();
    let beginning =
        Beginning { at: host.now, boot_id: String::new(), agent_id: Some(agent(1)), fresh_id, damaged: true };
    host.ledger = Ledger::default();
    host.disk.iter().cloned().for_each(|record| host.ledger.apply(record));
    let mut records = host.ledger.begin(beginning);
    records.extend(host.ledger.failed(host.now, Failure::Closed, "c"));
    records.extend(host.ledger.heard(host.now));
    host.disk.extend(records);
    let numbers: Vec<u64> = host.ledger.untold(agent(1), 0, 9).iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, [2], "it was another that was acknowledged");
    let mut again = Ledger::default();
    host.disk.iter().cloned().for_each(|record| again.apply(record));
    assert!(!again.is_cut(), "it is told once");
}

#[test]
fn the_oldest_goes_for_want_of_room_and_is_counted_where_nobody_was_told() {
    let mut ledger = Ledger::default();
    let mut now = Moment { wall_ms: 0, boottime_ms: 0, monotonic_ms: 0 };
    let boot_id = String::new();
    let beginning =
        Beginning { at: now, boot_id, agent_id: Some(agent(1)), fresh_id: "l".to_owned(), damaged: false };
    ledger.begin(beginning);
    for _ in 0..OUTAGES_MAX + 3 {
        now.wall_ms += 5_000;
        ledger.look(now);
        if ledger.last_seq() == 2 {
            ledger.acknowledged("l", 2);
        }
    }
    assert_eq!(ledger.outages().count(), OUTAGES_MAX);
    assert_eq!((ledger.outages().next().unwrap().seq, ledger.dropped()), (4, 1));
}

#[test]
fn evidence_is_cut_and_a_stamp_is_written_once_a_minute() {
    let mut host = Host::new();
    let long: &'static str = Box::leak("é".repeat(EVIDENCE_MAX_BYTES).into_boxed_str());
    host.step(&Fails(Failure::Name, long));
    assert_eq!(host.ledger.gap().unwrap().evidence.len(), EVIDENCE_MAX_BYTES);
    let before = host.disk.len();
    for _ in 0..600 {
        [After(S), Look, Fails(Failure::Name, "n")].iter().for_each(|step| host.step(step));
    }
    let written = &host.disk[before..];
    assert_eq!(written.len(), 20, "ten stamps, each with how the gap does: {written:?}");
    assert_eq!(host.ledger.gap().unwrap().failures, 601);
}
