//! What VMs do by themselves.

use nkudo_domain::{Deed, Exit, Observation, ProviderKind, Request, RestartPolicy, VmSpec, VmState};
use nkudo_tracker::{Found, Input, Tracker};

use crate::asking::{
    create, create_restarting, create_stopped, delete, pause, resume, spec, start, stop, vm_id,
};
use crate::provider::{Fate, Part, killed};
use crate::world::{World, success};

/// A running VM with this restart policy.
pub(crate) fn running(policy: RestartPolicy) -> World {
    let mut world = World::new();
    world.ask("make", create_restarting(1, policy));
    assert_eq!(world.state(1), Some(VmState::Running));
    world
}

#[test]
fn each_exit_has_its_state_reason_and_restarts() {
    use RestartPolicy::{Always, No, OnFailure};
    let cases = [
        (
            Exit::GuestPoweredOff,
            VmState::Stopped,
            "the guest powered off",
            [No, OnFailure, Always],
            [false, false, true],
        ),
        (
            Exit::HostRebooted,
            VmState::Stopped,
            "host rebooted",
            [No, OnFailure, Always],
            [false, false, true],
        ),
        (killed(), VmState::Failed, "killed by signal 9", [No, OnFailure, Always], [false, true, true]),
    ];
    for (exit, state, reason, policies, restarts) in cases {
        for (policy, restarts) in policies.into_iter().zip(restarts) {
            let mut world = running(policy);
            world.die(1, exit.clone());
            world.run();
            assert_eq!((world.state(1), world.reason(1)), (Some(state), Some(reason)), "{policy}");
            let due = restarts.then_some(world.now.boottime_ms + 1_000);
            assert_eq!(world.tracker.next_wake(), due, "{exit:?} with {policy}");
            world.drain();
            let after = if restarts { VmState::Running } else { state };
            assert_eq!(world.state(1), Some(after), "{exit:?} with {policy}");
            assert_eq!(world.tracker.vm(vm_id(1)).unwrap().restarts, u64::from(restarts));
            world.check_vms();
        }
    }
}

#[test]
fn the_end_of_an_earlier_process_is_not_the_end_of_this_one() {
    let mut world = running(RestartPolicy::Always);
    let incarnation = world.tracker.vm(vm_id(1)).unwrap().incarnation;
    world.ask("stop", stop(1));
    world.ask("start", start(1));
    world.step(Input::VmEnded { vm_id: vm_id(1), incarnation, exit: killed() });
    assert_eq!(world.state(1), Some(VmState::Running));
    world.step(Input::VmEnded { vm_id: vm_id(9), incarnation, exit: killed() });
    world.check_vms();
}

/// The process ends while a stop or a delete is at any point of its way.
#[test]
fn an_end_that_was_asked_for_is_no_death() {
    for request in [stop(1), delete(1)] {
        let after = match request {
            Request::Stop(_) => Some(VmState::Stopped),
            _ => None,
        };
        for steps in 0..3 {
            let mut world = running(RestartPolicy::Always);
            world.submit("end", request.clone());
            if steps > 0 {
                world.sync();
            }
            if steps > 1 {
                assert!(world.end_deed());
            } else {
                world.die(1, killed());
            }
            world.drain();
            assert_eq!(world.state(1), after, "{request:?}, {steps} steps");
            assert_eq!(world.tracker.next_wake(), None, "{request:?}, {steps} steps: no restart");
            world.crash(false, Part::Nothing);
            world.recover();
            world.drain();
            assert_eq!(world.state(1), after, "{request:?}, {steps} steps");
        }
    }
}

#[test]
fn a_delete_that_fails_half_way_restarts_nothing() {
    let mut world = running(RestartPolicy::Always);
    world.fate(Deed::Delete, [Fate::Fails { transient: false, left: Part::Half }]);
    world.ask("delete", delete(1));
    world.drain();
    assert_eq!(world.state(1), Some(VmState::Stopped));
    world.check_vms();
}

#[test]
fn a_delete_that_fails_leaves_the_reason_of_an_end() {
    let mut world = running(RestartPolicy::No);
    world.die(1, killed());
    world.fate(Deed::Delete, [Fate::Fails { transient: true, left: Part::Nothing }; 3]);
    world.ask("delete", delete(1));
    world.drain();
    assert_eq!((world.state(1), world.reason(1)), (Some(VmState::Failed), Some("killed by signal 9")));
}

#[test]
fn an_unknown_vm_is_looked_at_until_it_is_known() {
    let known = [
        (Observation::Running, VmState::Running),
        (Observation::Paused, VmState::Paused),
        (Observation::Stopped(Some(killed())), VmState::Failed),
    ];
    for (observation, state) in known {
        let mut world = World::new();
        world.ask("make", create(1));
        world.provider.set(vm_id(1), Observation::Unresponsive);
        world.fate(Deed::Pause, [Fate::Lies]);
        world.ask("pause", pause(1));
        assert_eq!(world.state(1), Some(VmState::Unknown));
        for _ in 0..3 {
            assert_eq!(world.tracker.next_wake(), Some(world.now.boottime_ms + 2_000));
            world.advance(2_000);
            assert_eq!(world.observes, [vm_id(1)]);
            world.run();
            assert_eq!(world.state(1), Some(VmState::Unknown));
        }
        world.provider.set(vm_id(1), observation);
        world.drain();
        assert_eq!(world.state(1), Some(state));
        world.check_vms();
    }
}

/// A look that took longer than what was done meanwhile tells of the past.
#[test]
fn a_look_that_comes_too_late_does_not_count() {
    let mut world = World::new();
    world.ask("make", create(1));
    world.provider.set(vm_id(1), Observation::Unresponsive);
    world.fate(Deed::Pause, [Fate::Lies]);
    world.ask("pause", pause(1));
    world.advance(2_000);
    world.observes.clear();
    world.ask("stop", stop(1));
    assert_eq!(world.state(1), Some(VmState::Stopped));
    world.step(Input::VmObserved { vm_id: vm_id(1), observation: Observation::Running });
    assert_eq!(world.state(1), Some(VmState::Stopped));
    world.check_vms();
}

/// What hangs, or was steered by somebody else, is found by a look that nobody's action caused.
#[test]
fn a_look_at_what_runs_finds_what_changed_behind_our_back() {
    let changes = [
        (Observation::Unresponsive, VmState::Unknown),
        (Observation::Paused, VmState::Paused),
        (Observation::Stopped(Some(killed())), VmState::Failed),
        (Observation::Running, VmState::Running),
    ];
    for (observation, state) in changes {
        let mut world = World::new();
        world.ask("make", create(1));
        world.ask("other", create_stopped(2));
        world.provider.set(vm_id(1), observation);
        world.step(Input::Probe);
        assert_eq!(world.observes, [vm_id(1)], "only what is taken to run");
        world.run();
        assert_eq!(world.state(1), Some(state));
        world.check_vms();
    }
}

#[test]
fn a_look_that_a_deed_made_old_does_not_count() {
    let mut world = World::new();
    world.ask("make", create(1));
    world.step(Input::Probe);
    world.observes.clear();
    world.ask("pause", pause(1));
    world.step(Input::VmObserved { vm_id: vm_id(1), observation: Observation::Running });
    assert_eq!(world.state(1), Some(VmState::Paused));
    world.check_vms();
}

#[test]
fn what_runs_is_adopted() {
    let mut world = World::new();
    world.ask("a", create(1));
    world.ask("b", create_stopped(2));
    world.ask("c", create(3));
    world.ask("d", pause(3));
    world.ask("e", create(4));
    world.ask("f", create(5));
    world.crash(false, Part::Nothing);
    world.provider.set(vm_id(4), Observation::Stopped(Some(killed())));
    world.provider.vms.remove(&vm_id(5));
    world.recover();
    assert_eq!(world.adopted, [vm_id(1), vm_id(3)]);
    let states: Vec<_> = (1..=5).map(|n| world.state(n).unwrap()).collect();
    use VmState::{Failed, Paused, Running, Stopped};
    assert_eq!(states, [Running, Stopped, Paused, Failed, Failed]);
    assert_eq!(world.reason(4), Some("killed by signal 9"));
    assert_eq!(world.reason(5), Some("its run directory is gone"));
    assert_eq!(world.provider.boots, 4, "nothing is booted again");
    world.ask("g", resume(3));
    assert_eq!(world.outcome("g"), Some(&success(true)));
}

/// Another provider knows nothing of a VM that is not its own, whatever it says.
#[test]
fn of_a_known_vm_only_its_own_provider_is_asked() {
    let mut world = World::new();
    world.ask("a", create(1));
    let records = world.journal.clone();
    let mut tracker = Tracker::replay(world.config.clone(), records);
    let own = world.provider.found().remove(0);
    let other =
        Found { provider: ProviderKind::Qemu, observation: Observation::Stopped(None), ..own.clone() };
    tracker.step(Input::Recovered { found: vec![own, other] }, world.now);
    assert_eq!(tracker.vm(vm_id(1)).unwrap().state, VmState::Running);
}

#[test]
fn a_vm_unknown_to_the_records_is_adopted_from_its_directory() {
    let mut world = World::new();
    world.ask("a", create(1));
    world.journal.clear();
    world.durable = 0;
    world.crash(false, Part::Nothing);
    world.recover();
    assert_eq!(world.adopted, [vm_id(1)]);
    let filled_in = VmSpec { provider: Some(ProviderKind::Simulated), ..spec(1) };
    assert_eq!(*world.tracker.vm(vm_id(1)).unwrap().spec, filled_in);
    world.check_vms();
    world.die(1, killed());
    world.run();
    assert_eq!(world.state(1), Some(VmState::Failed), "it is watched");
    world.ask("b", delete(1));
    world.check_vms();
}
