//! Each action on a VM in each state, which is reached the way it is reached in life.

use nkudo_domain::{CreateVm, Deed, Observation, Outcome, Request, VmSpec, VmState};

use crate::asking::{create, create_stopped, delete, pause, resume, spec, start, stop, vm_id};
use crate::provider::{Fate, killed};
use crate::world::{World, failure, success};

fn vm_in(state: VmState) -> World {
    let mut world = World::new();
    match state {
        VmState::Stopped => world.ask("make", create_stopped(1)),
        VmState::Running => world.ask("make", create(1)),
        VmState::Paused => {
            world.ask("make", create(1));
            world.ask("make-paused", pause(1));
        }
        VmState::Failed => {
            world.ask("make", create(1));
            world.die(1, killed());
            world.run();
        }
        VmState::Unknown => {
            world.ask("make", create(1));
            world.provider.set(vm_id(1), Observation::Unresponsive);
            world.fate(Deed::Pause, [Fate::Lies]);
            world.ask("make-unknown", pause(1));
        }
        VmState::Creating => {
            world.fate(Deed::Create, [Fate::Hangs]);
            world.ask("make", create(1));
        }
    }
    assert_eq!(world.state(1), Some(state));
    world
}

/// The request, on a VM in this state, comes to this outcome and leaves the VM in that state.
#[track_caller]
fn check(request: &Request, state: VmState, outcome: &Outcome, after: Option<VmState>) {
    let mut world = vm_in(state);
    let deeds = world.performed.len();
    world.ask("asked", request.clone());
    let context = format!("{} on a {state} vm", request.action_type());
    assert_eq!(world.outcome("asked"), Some(outcome), "{context}");
    assert_eq!(world.state(1), after, "{context}");
    assert_eq!(world.performed.len() - deeds, usize::from(outcome.changed()), "{context}: deeds");
    assert_eq!(world.told.iter().filter(|told| told.action_id.as_str() == "asked").count(), 1, "{context}");
    assert_eq!(world.execution("asked").status, outcome.status(), "{context}");
    if outcome.changed() {
        world.check_vms();
    }
}

/// Whether an action changes the VM and the state it leaves it in; none where it is refused.
type Cell = Option<(bool, Option<VmState>)>;

#[test]
fn every_action_on_every_state() {
    use VmState::{Failed, Paused, Running, Stopped, Unknown};
    let states = [Running, Paused, Stopped, Failed, Unknown];
    let other = Request::Create(CreateVm { spec: VmSpec { vcpus: 2, ..spec(1) }, autostart: true });
    let other_spec =
        "cannot create vm web-1: it exists with another specification; delete it first or use another vm_id";
    let rows: [(Request, [Cell; 5]); 6] = [
        (
            start(1),
            [
                Some((false, Some(Running))),
                None,
                Some((true, Some(Running))),
                Some((true, Some(Running))),
                None,
            ],
        ),
        (
            stop(1),
            [
                Some((true, Some(Stopped))),
                Some((true, Some(Stopped))),
                Some((false, Some(Stopped))),
                Some((true, Some(Stopped))),
                Some((true, Some(Stopped))),
            ],
        ),
        (pause(1), [Some((true, Some(Paused))), Some((false, Some(Paused))), None, None, None]),
        (resume(1), [Some((false, Some(Running))), Some((true, Some(Running))), None, None, None]),
        (delete(1), [Some((true, None)); 5]),
        (other, [None; 5]),
    ];
    for (request, row) in rows {
        for (state, cell) in states.into_iter().zip(row) {
            match (cell, &request) {
                (Some((changed, after)), _) => check(&request, state, &success(changed), after),
                (None, Request::Create(_)) => check(&request, state, &failure(other_spec), Some(state)),
                (None, _) => {
                    let verb = request.action_type().as_str().trim_start_matches("MicroVM").to_lowercase();
                    let error = format!("cannot {verb} vm web-1: it is {state}");
                    check(&request, state, &failure(&error), Some(state));
                }
            }
        }
    }
}

#[test]
fn a_refusal_reads_like_this() {
    check(
        &pause(1),
        VmState::Stopped,
        &failure("cannot pause vm web-1: it is stopped"),
        Some(VmState::Stopped),
    );
}

#[test]
fn an_unchanged_create_boots_nothing() {
    for state in [VmState::Running, VmState::Paused, VmState::Failed, VmState::Unknown] {
        check(&create(1), state, &success(false), Some(state));
    }
    check(&create_stopped(1), VmState::Stopped, &success(false), Some(VmState::Stopped));
    check(&create(1), VmState::Stopped, &success(false), Some(VmState::Stopped));
}

#[test]
fn a_vm_that_is_not_there() {
    for (request, verb) in
        [(start(7), "start"), (stop(7), "stop"), (pause(7), "pause"), (resume(7), "resume")]
    {
        let mut world = World::new();
        world.ask("asked", request);
        let error = format!("cannot {verb} vm {}: no such vm on this host", vm_id(7));
        assert_eq!(world.outcome("asked"), Some(&failure(&error)));
    }
    let mut world = World::new();
    world.ask("asked", delete(7));
    assert_eq!(world.outcome("asked"), Some(&success(false)));
    assert_eq!(world.performed, []);
}

#[test]
fn a_host_without_room() {
    let asks = |change: &dyn Fn(&mut VmSpec)| {
        let mut spec = spec(2);
        change(&mut spec);
        Request::Create(CreateVm { spec, autostart: true })
    };
    let cases: [(Request, &str); 3] = [
        (
            asks(&|spec| spec.vm_name = "web-1".parse().unwrap()),
            "cannot create vm web-1: another vm on this host has that name; take another one",
        ),
        (
            asks(&|spec| spec.memory_bytes = 1 << 40),
            "cannot create vm web-2: it asks for 1099511627776 bytes of memory and this host has 1073741824",
        ),
        (
            asks(&|spec| spec.provider = Some(nkudo_domain::ProviderKind::Qemu)),
            "cannot create vm web-2: provider qemu cannot be used on this host; `edge-agent check` tells more",
        ),
    ];
    for (request, error) in cases {
        let mut world =
            World::with(nkudo_tracker::Config { memory_bytes: 1 << 30, ..nkudo_tracker::Config::default() });
        world.ask("first", create(1));
        world.ask("asked", request);
        assert_eq!(world.outcome("asked"), Some(&failure(error)));
        assert_eq!(world.state(2), None);
    }
}

#[test]
fn a_deed_that_was_not_done_is_a_failure_that_says_so() {
    let cases: [(VmState, Request, Deed, &str); 6] = [
        (VmState::Stopped, start(1), Deed::Boot, "it has no process"),
        (VmState::Running, stop(1), Deed::PowerOff, "it is running"),
        (VmState::Paused, stop(1), Deed::ForceOff, "it is paused"),
        (VmState::Running, pause(1), Deed::Pause, "it is running"),
        (VmState::Paused, resume(1), Deed::Resume, "it is paused"),
        (VmState::Running, delete(1), Deed::Delete, "it is running"),
    ];
    for (state, request, deed, found) in cases {
        let mut world = vm_in(state);
        // A start that only seems to succeed looks like a guest that ended at once, unless it was never started.
        world.fate(deed, [Fate::Lies]);
        world.ask("asked", request.clone());
        let error = format!("simulated said that it was done with vm web-1, but {found}");
        assert_eq!(world.outcome("asked"), Some(&failure(&error)), "{request:?}");
        assert_eq!(world.state(1), Some(state), "{request:?}");
        world.check_vms();
    }
    let mut world = World::new();
    world.fate(Deed::Create, [Fate::Lies]);
    world.ask("asked", create(1));
    let error = "simulated said that it was done with vm web-1, but nothing of it is there";
    assert_eq!(world.outcome("asked"), Some(&failure(error)));
    assert_eq!(world.state(1), None);
}
