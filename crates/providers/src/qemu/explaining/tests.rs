use nkudo_domain::Observation;
use serde_json::json;

use super::*;

fn record(now: Option<Identity>, names_vm: bool) -> Record {
    let record = VmmRecord {
        identity: Identity { pid: 7, start_ticks: 70 },
        boot_id: String::new(),
        args: Vec::new(),
        qemu_version: "7.2".to_owned(),
        accel: "tcg".to_owned(),
        started_at_ms: 0,
    };
    Record::Read { record: Box::new(record), now, names_vm }
}

fn running() -> Seen {
    Seen {
        path: "/vms/x".into(),
        there: There::RunDirectory,
        lock: Ok(true),
        holders: vec![Holder { pid: 7, program: "qemu".to_owned(), as_input: true }],
        record: record(Some(Identity { pid: 7, start_ticks: 70 }), true),
        process: Some(7),
        child: false,
        socket: true,
        monitor: Some(Ok(json!({"status": "running"}))),
        host_rebooted: false,
        farewell: None,
        console_bytes: (5, 0),
    }
}

fn ended() -> Seen {
    Seen {
        lock: Ok(false),
        holders: Vec::new(),
        record: record(None, false),
        process: None,
        monitor: None,
        farewell: Some(Exit::GuestPoweredOff),
        ..running()
    }
}

fn check(seen: &Seen, expected: &Observation, why: &str, facts: &[(&str, &str)]) {
    assert_eq!(seen.evidence().judge(), *expected, "{seen:?}");
    assert!(seen.why().contains(why), "`{}` lacks `{why}`", seen.why());
    let told = seen.facts();
    for (name, detail) in facts {
        let fact = told.iter().find(|fact| fact.name == *name);
        assert!(fact.is_some_and(|fact| fact.detail.contains(detail)), "{name} lacks `{detail}`: {told:?}");
    }
}

#[test]
fn every_judgement_has_a_sentence_and_the_facts_it_stands_on() {
    let silent = Observation::Unresponsive;
    check(
        &running(),
        &Observation::Running,
        "pid 7 is its process and holds the lock of its run directory, and QEMU says that the guest runs",
        &[
            ("lock", "pid 7 (qemu), as its standard input"),
            ("pid", "tick 70"),
            ("uuid", "bears the VM's UUID"),
        ],
    );
    let answered = |status: &str| Some(Ok(json!({"status": status})));
    let check_monitor = |monitor, expected: &Observation, why: &str, fact: &str| {
        check(&Seen { monitor, ..running() }, expected, why, &[("monitor", fact)]);
    };
    check_monitor(answered("io-error"), &Observation::Paused, "does not run on", "io-error");
    check_monitor(answered("prelaunch"), &silent, "neither running nor paused", "prelaunch");
    check_monitor(Some(Err("no answer".to_owned())), &silent, "how the guest is: no answer", "no answer");
    let lone_lock = Seen { process: None, monitor: None, record: record(None, false), ..running() };
    check(&lone_lock, &silent, "by no process that is known", &[("pid", "pid 7 is gone")]);
    let unseen = Seen { holders: Vec::new(), ..lone_lock.clone() };
    check(&unseen, &silent, "it may be alive", &[("lock", "by whom cannot be seen")]);
    let closed = Seen { lock: Err("denied".to_owned()), ..lone_lock };
    check(&closed, &silent, "it may be alive", &[("lock", "cannot be looked at: denied")]);
    let loose = Seen { lock: Ok(false), holders: Vec::new(), ..running() };
    check(&loose, &silent, "does not hold the lock", &[("lock", "nobody")]);
    let taken_away = Seen { there: There::Nothing, ..loose };
    check(&taken_away, &silent, "was taken away", &[("directory", "is not there")]);
}

#[test]
fn an_end_is_told_with_what_is_left_of_it() {
    let exit = |exit: Exit| Observation::Stopped(Some(exit));
    let off = exit(Exit::GuestPoweredOff);
    check(
        &ended(),
        &off,
        "has ended: the guest powered off",
        &[("end", "powered off"), ("process", "no process")],
    );
    let died = Seen { farewell: Some(Exit::Died("signal 9".to_owned())), ..ended() };
    check(&died, &exit(Exit::Died("signal 9".to_owned())), "signal 9", &[("socket", "is there")]);
    let rebooted = Seen { host_rebooted: true, farewell: Some(Exit::HostRebooted), ..ended() };
    check(&rebooted, &exit(Exit::HostRebooted), "the host rebooted", &[("boot", "has rebooted since")]);
    let reused = Seen { record: record(Some(Identity { pid: 7, start_ticks: 71 }), false), ..ended() };
    check(&reused, &off, "powered off", &[("pid", "another process now: it began at tick 71")]);
    let spoilt = Seen { record: Record::Unreadable("EOF".to_owned()), ..ended() };
    check(&spoilt, &off, "powered off", &[("record", "cannot be understood: EOF")]);
    let never = Seen { record: Record::Absent, socket: false, ..ended() };
    check(
        &never,
        &Observation::Stopped(None),
        "never started",
        &[("record", "no start"), ("socket", "no qmp.sock")],
    );
    let absent = Seen { there: There::Nothing, ..never };
    check(&absent, &Observation::Absent, "nothing of it is on this host", &[("directory", "is not there")]);
    let in_the_way = Seen { there: There::InTheWay, ..absent };
    check(&in_the_way, &Observation::Absent, "nothing of it", &[("directory", "move it away")]);
}
