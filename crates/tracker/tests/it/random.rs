//! Anything, in any order: what must be so is so after each step, and everything comes to an end.

use nkudo_domain::{Deed, Exit, Lane, Observation, Request, RestartPolicy, VmId, VmState};
use nkudo_tracker::{Config, Input, Tracked};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::{collection::vec, sample::select};

use crate::asking::{
    command, create, create_restarting, create_stopped, delete, execute, pause, resume, start, stop, vm_id,
};
use crate::provider::{Fate, Part, killed};
use crate::world::{CommandFate, World};

#[derive(Debug, Clone)]
enum Event {
    Submit { action: u8, kind: u8, vm: u32 },
    Cancel { action: u8 },
    Sync,
    EndDeed { index: usize },
    EndCommand,
    Fate { deed: Deed, fate: Fate },
    CommandFate { fate: CommandFate },
    Die { vm: u32, powered_off: bool },
    Hang { vm: u32 },
    StaleEnd { vm: u32, incarnation: u64 },
    Look { vm: u32 },
    Advance { ms: u64 },
    Crash { keep_undurable: bool, part: Part, reboot: bool },
}

const VMS: u32 = 4;
const PARALLEL_MAX: usize = 2;
const COMMANDS_MAX: usize = 3;

fn request(kind: u8, n: u32) -> Request {
    match kind {
        0 => create(n),
        1 => create_stopped(n),
        2 => create_restarting(n, RestartPolicy::Always),
        3 => start(n),
        4 => stop(n),
        5 => pause(n),
        6 => resume(n),
        7 | 8 => execute(),
        9 => command("/bin/sh"),
        _ => delete(n),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let parts = || select(vec![Part::Nothing, Part::Half, Part::Whole]);
    let fates = prop_oneof![
        (any::<bool>(), parts()).prop_map(|(transient, left)| Fate::Fails { transient, left }),
        Just(Fate::Lies),
        Just(Fate::Hangs),
    ];
    let deeds = select(vec![
        Deed::Create,
        Deed::Boot,
        Deed::PowerOff,
        Deed::Pause,
        Deed::Delete,
        Deed::ForceOff,
        Deed::Resume,
        Deed::SettleStopped,
    ]);
    let command_fates = select(vec![
        CommandFate::Exits(1),
        CommandFate::Killed(Some(9)),
        CommandFate::Killed(None),
        CommandFate::NotStarted,
        CommandFate::EndsFirst(0),
        CommandFate::EndsFirst(1),
        CommandFate::Hangs,
    ]);
    let vms = || 1..=VMS;
    prop_oneof![
        12 => (0..40_u8, 0..12_u8, vms()).prop_map(|(action, kind, vm)| Event::Submit { action, kind, vm }),
        2 => (0..40_u8).prop_map(|action| Event::Cancel { action }),
        8 => Just(Event::Sync),
        10 => (0..4_usize).prop_map(|index| Event::EndDeed { index }),
        4 => Just(Event::EndCommand),
        2 => command_fates.prop_map(|fate| Event::CommandFate { fate }),
        3 => (deeds, fates).prop_map(|(deed, fate)| Event::Fate { deed, fate }),
        2 => (vms(), any::<bool>()).prop_map(|(vm, powered_off)| Event::Die { vm, powered_off }),
        1 => vms().prop_map(|vm| Event::Hang { vm }),
        1 => (vms(), 0..4_u64).prop_map(|(vm, incarnation)| Event::StaleEnd { vm, incarnation }),
        2 => vms().prop_map(|vm| Event::Look { vm }),
        4 => select(vec![0, 1, 100, 200, 1_000, 10_000, 40_000, 200_000]).prop_map(|ms| Event::Advance { ms }),
        1 => (any::<bool>(), parts(), any::<bool>())
            .prop_map(|(keep_undurable, part, reboot)| Event::Crash { keep_undurable, part, reboot }),
    ]
}

fn play(world: &mut World, event: &Event) {
    match event {
        Event::Submit { action, kind, vm } => {
            world.submit(&format!("a{action}"), request(*kind, *vm));
        }
        Event::Cancel { action } => {
            world.cancel(&format!("a{action}"));
        }
        Event::Sync => world.sync(),
        Event::EndDeed { index } => {
            if world.can_end(*index) {
                world.end_deed_at(*index);
            }
        }
        Event::EndCommand => {
            world.end_command();
        }
        Event::Fate { deed, fate } => world.fate(*deed, [*fate]),
        Event::CommandFate { fate } => world.commands.fates.push_back(*fate),
        Event::Die { vm, powered_off } => {
            world.die(*vm, if *powered_off { Exit::GuestPoweredOff } else { killed() });
        }
        Event::Hang { vm } => {
            if world.provider.observe(vm_id(*vm)) == Observation::Running {
                world.provider.set(vm_id(*vm), Observation::Unresponsive);
            }
        }
        Event::StaleEnd { vm, incarnation } => {
            let vm_id = vm_id(*vm);
            let current = world.tracker.vm(vm_id).map(|vm| vm.incarnation);
            if current.is_some_and(|current| *incarnation < current) {
                world.step(Input::VmEnded { vm_id, incarnation: *incarnation, exit: killed() });
            }
        }
        Event::Look { vm } => {
            let (vm_id, observation) = (vm_id(*vm), world.provider.observe(vm_id(*vm)));
            world.step(Input::VmObserved { vm_id, observation });
        }
        Event::Advance { ms } => world.advance(*ms),
        Event::Crash { keep_undurable, part, reboot } => {
            world.crash(*keep_undurable, *part);
            if *reboot {
                world.reboot();
            }
            world.recover();
        }
    }
}

fn settle(world: &mut World) {
    // What became unresponsive answers again, and deeds that hang are interrupted by their deadlines.
    let silent: Vec<VmId> = world
        .provider
        .vms
        .iter()
        .filter(|(_, vm)| vm.observation == Observation::Unresponsive)
        .map(|(vm_id, _)| *vm_id)
        .collect();
    world.end_hangs();
    for vm_id in silent {
        world.provider.set(vm_id, Observation::Running);
    }
    world.drain();
}

/// Nothing runs that is not held, and nothing is held as running that does not. A VM is held as failed while it runs
/// only where a provider could not remove the remains of its creation.
fn check_vms(world: &World) {
    for (vm_id, vm) in &world.provider.vms {
        let held = world.tracker.vm(*vm_id).unwrap_or_else(|| panic!("{vm_id} is an orphan: {vm:?}"));
        let remains = held.reason.as_deref() == Some("its creation failed and could not be taken back");
        let expected = match vm.observation {
            Observation::Running => held.state == VmState::Running,
            Observation::Paused => held.state == VmState::Paused,
            Observation::Stopped(_) => matches!(held.state, VmState::Stopped | VmState::Failed),
            Observation::Absent | Observation::Unresponsive => false,
        };
        assert!(expected || remains, "{vm_id} is {:?}, held as {held:?}", vm.observation);
    }
    for (vm_id, vm) in world.tracker.vms() {
        assert!(world.provider.vms.contains_key(&vm_id) || !vm.is_alive(), "{vm_id} is gone, held as {vm:?}");
    }
}

/// Whatever is told of a command says as much of its run as there was. The world sees to it that none is begun twice.
fn check_command(world: &World, tracked: &Tracked) {
    let has_begun = world.commands.has_begun(tracked.action.action_id.as_str());
    let has_run = tracked.execution.as_ref().is_some_and(|execution| execution.output.is_some());
    let is_changed = tracked.outcome().is_some_and(nkudo_domain::Outcome::changed);
    assert!(has_begun || !has_run && !is_changed, "it was not run: {tracked:?}");
    // One that could not be started was asked for as well.
    let error = tracked.outcome().and_then(nkudo_domain::Outcome::error).unwrap_or_default();
    let never = error.starts_with("timed out before") || error.contains("allow");
    assert!(!has_begun || !never, "it was run: {tracked:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_admitted_ends(events in vec(event(), 1..120)) {
        let bounds =
            Config { parallel_max: PARALLEL_MAX, queue_max: 20, commands_max: COMMANDS_MAX, ..Config::default() };
        let mut world = World::with(bounds);
        for event in &events {
            play(&mut world, event);
        }
        settle(&mut world);
        for tracked in world.tracker.actions() {
            assert!(tracked.has_ended(), "{tracked:?}");
            assert_eq!(world.ends_of(&tracked.action.action_id), 1, "{}", tracked.action.action_id);
            if tracked.action.request.lane() == Lane::Commands {
                check_command(&world, tracked);
            }
        }
        assert!(world.tracker.is_idle());
        check_vms(&world);
        let replayed = nkudo_tracker::Tracker::replay(world.config.clone(), world.journal.clone());
        assert_eq!(crate::world::observable(&replayed), crate::world::observable(&world.tracker));
        let compacted = nkudo_tracker::Tracker::replay(world.config.clone(), world.tracker.snapshot());
        assert_eq!(crate::world::observable(&compacted), crate::world::observable(&world.tracker));
    }
}
