//! The programs under fire: that the short version of it holds, and that the judge would have noticed if it had not.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nkudo_domain::VmState;
use xtask::agent::{Host, signal, until, vm_id};
use xtask::chaos::evidence::{Before, hypervisors, seen};
use xtask::chaos::judge::{self, Breach, End, Expected, Fault, Known, Ran, Seen, Wanted};
use xtask::chaos::real::Fire;
use xtask::chaos::{Figures, Tried};
use xtask::fleet::{ControlPlane, build};

#[test]
fn a_short_fire_breaks_nothing_and_what_is_planted_afterwards_is_found() {
    let mut fire = Fire::light(&build(false).unwrap()).unwrap();
    let told = fire.round(7_000, 5, 6).unwrap();
    assert_eq!(told.breaches, []);
    assert!((5..=6).contains(&told.killed) && told.actions > 40, "{told:?}");
    // The same host with a process, a run directory and a half-written file that nobody accounts for.
    let orphan = vm_id(99);
    let dir = fire.host().vm_dir(&orphan);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(fire.host().state_dir().join("journal/7.seg.new"), "half").unwrap();
    let mut process = sleeper().current_dir(&dir).spawn().unwrap();
    let found = fire.judge_remains().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let of = |fault| found.iter().filter(|breach| breach.fault == fault).collect::<Vec<_>>();
    assert_eq!(of(Fault::Orphan).len(), 1, "{found:?}");
    let leaks = of(Fault::Leak);
    assert_eq!(leaks.len(), 2, "{found:?}");
    assert!(leaks.iter().any(|leak| leak.what.contains(&orphan)), "{found:?}");
    assert!(leaks.iter().any(|leak| leak.what.ends_with("7.seg.new is unfinished")), "{found:?}");
}

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600").stdin(Stdio::null()).process_group(0);
    command
}

/// A host without an agent, and a control plane that was never started.
fn idle() -> (Host, ControlPlane) {
    let programs = build(false).unwrap();
    let (host, control) =
        (Host::new(&programs.edge_agent).unwrap(), ControlPlane::new(&programs, &[]).unwrap());
    std::fs::create_dir_all(host.state_dir().join("vms")).unwrap();
    (host, control)
}

#[test]
fn a_process_in_a_run_directory_is_one_that_runs_that_vm() {
    let (host, _control) = idle();
    let (first, second) = (vm_id(1), vm_id(2));
    let state_dir = host.state_dir();
    for id in [&first, &second] {
        std::fs::create_dir_all(host.vm_dir(id)).unwrap();
    }
    let mut processes = [&first, &first].map(|id| sleeper().current_dir(host.vm_dir(id)).spawn().unwrap());
    let running = hypervisors(&state_dir);
    let both = seen(&state_dir, &first, &running);
    assert_eq!(both.processes.len(), 2, "{running:?}");
    assert_eq!(seen(&state_dir, &second, &running), Seen { directory: true, ..Seen::default() });
    for process in &mut processes {
        signal(process.id(), "KILL").unwrap();
        process.wait().unwrap();
    }
    until("none to run", || hypervisors(&state_dir).is_empty().then_some(())).unwrap();
}

#[test]
fn what_a_program_adds_to_its_directory_for_good_is_a_leak() {
    let (host, control) = idle();
    let before = Before::of(&control, &host);
    assert!(before.leaks(&control, &host).is_empty());
    std::fs::write(host.state_dir().join("core"), "").unwrap();
    let leaks = before.leaks(&control, &host);
    assert!(leaks.len() == 1 && leaks.iter().all(|leak| leak.contains("core")), "{leaks:?}");
}

fn faults(breaches: &[Breach]) -> Vec<Fault> {
    breaches.iter().map(|breach| breach.fault).collect()
}

fn known(status: &str, changed: bool) -> Known {
    let one = vec![status.to_owned()];
    let in_books = Some(End { status: status.to_owned(), error: None, changed: Some(changed) });
    Known { in_books, executions: one.clone(), host_executions: one.clone(), journal: one }
}

#[test]
fn an_action_is_judged_by_what_everybody_knows_of_it() {
    let check = |expected, known: Known, broken: &[Fault]| {
        assert_eq!(faults(&judge::action("a", expected, &known)), broken, "{known:?}");
    };
    let two = || vec!["success".to_owned(); 2];
    check(Expected::Done, known("success", true), &[]);
    check(Expected::Unchanged, known("success", false), &[]);
    check(Expected::Refused, known("failure", false), &[]);
    check(Expected::Done, Known::default(), &[Fault::Lost; 4]);
    check(Expected::Done, Known { in_books: None, ..known("success", true) }, &[Fault::Lost]);
    check(Expected::Done, known("success", false), &[Fault::Lost]);
    check(Expected::Unchanged, known("success", true), &[Fault::Doubled]);
    check(Expected::Done, known("failure", false), &[Fault::Lost; 4]);
    check(Expected::Refused, known("success", true), &[Fault::Lost; 4]);
    check(Expected::Done, known("running", false), &[Fault::Lost; 4]);
    check(Expected::Done, Known { executions: vec![], ..known("success", true) }, &[Fault::Lost]);
    check(Expected::Done, Known { host_executions: vec![], ..known("success", true) }, &[Fault::Lost]);
    check(Expected::Done, Known { journal: vec![], ..known("success", true) }, &[Fault::Lost]);
    check(Expected::Done, Known { executions: two(), ..known("success", true) }, &[Fault::Doubled]);
    check(Expected::Done, Known { host_executions: two(), ..known("success", true) }, &[Fault::Doubled]);
    check(Expected::Done, Known { journal: two(), ..known("success", true) }, &[Fault::Doubled]);
}

#[test]
fn a_command_is_judged_by_what_it_wrote_and_by_what_is_told_of_it() {
    let check = |began, ended, known: Known, broken: &[Fault]| {
        let ran = Ran { began, ended };
        assert_eq!(faults(&judge::command("a", ran, &known)), broken, "{ran:?} {known:?}");
    };
    let failed = |error: &str| {
        let mut known = known("failure", false);
        known.in_books.as_mut().unwrap().error = Some(error.to_owned());
        known
    };
    let unknown = || failed("interrupted, outcome unknown");
    check(1, 1, known("success", true), &[]);
    for (began, ended) in [(0, 0), (1, 0), (1, 1)] {
        check(began, ended, unknown(), &[]);
    }
    check(2, 1, known("success", true), &[Fault::Doubled, Fault::Lost]);
    check(2, 1, unknown(), &[Fault::Doubled]);
    check(1, 0, known("success", true), &[Fault::Lost]);
    check(0, 0, known("success", true), &[Fault::Lost]);
    check(1, 0, failed("it exited with status 1"), &[Fault::Lost]);
    check(0, 0, Known::default(), &[Fault::Lost]);
    check(1, 1, Known { journal: vec![], ..known("success", true) }, &[Fault::Lost]);
}

#[test]
fn a_vm_is_judged_by_its_processes_and_by_what_its_hypervisor_has_told() {
    let check = |state, seen: Seen, broken: &[Fault]| {
        let wanted = Wanted { vm_id: vm_id(1), state, halted: 2, set_going: 1 };
        assert_eq!(faults(&judge::vm(&wanted, &seen)), broken, "{state:?} {seen:?}");
    };
    let runs = || Seen { processes: vec![7], halted: 2, set_going: 1, directory: true };
    let (running, paused) = (Some(VmState::Running), Some(VmState::Paused));
    check(running, runs(), &[]);
    check(paused, runs(), &[]);
    check(running, Seen { processes: vec![], ..runs() }, &[Fault::Lost]);
    check(running, Seen { processes: vec![7, 8], ..runs() }, &[Fault::Doubled]);
    check(running, Seen { halted: 1, ..runs() }, &[Fault::Lost]);
    check(paused, Seen { halted: 3, ..runs() }, &[Fault::Doubled]);
    check(paused, Seen { set_going: 0, ..runs() }, &[Fault::Lost]);
    check(running, Seen { set_going: 2, ..runs() }, &[Fault::Doubled]);
    check(running, Seen { directory: false, ..runs() }, &[Fault::Lost]);
    let stopped = Seen { processes: vec![], halted: 9, ..runs() };
    check(Some(VmState::Stopped), stopped.clone(), &[]);
    check(Some(VmState::Stopped), Seen { processes: vec![7, 8], ..stopped.clone() }, &[Fault::Orphan; 2]);
    check(None, Seen::default(), &[]);
    check(None, Seen { processes: vec![7], ..Seen::default() }, &[Fault::Orphan]);
    check(None, stopped, &[Fault::Leak]);
}

#[test]
fn figures_count_what_broke_and_name_each_seed_once() {
    let breach = |fault| Breach { fault, what: String::new() };
    let mut figures = Figures::new(Tried::Kills(6));
    figures.count(3, &[]);
    figures.count(4, &[breach(Fault::Lost), breach(Fault::Doubled), breach(Fault::Doubled)]);
    figures.count(4, &[breach(Fault::Orphan)]);
    figures.count(5, &[breach(Fault::Leak)]);
    let expected = serde_json::json!({"kills": 6, "actions": 0, "lost": 1, "doubled": 2, "orphans": 1, "leaks": 1,
        "failed_seeds": [4, 5]});
    assert_eq!(serde_json::to_value(&figures).unwrap(), expected);
    let seeds = serde_json::to_value(Figures::new(Tried::Seeds(9))).unwrap();
    assert_eq!(seeds["seeds"], 9);
}
