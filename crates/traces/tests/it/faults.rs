//! The disk does not work, wholly or for a while.

use std::fs;
use std::path::Path;
use std::time::Instant;

use nkudo_journal::SimulatedDisk;
use nkudo_traces::{Config, Recent, Stats};

use crate::spans::{of_trace, span, trace_id};
use crate::world::{World, pair};

fn small() -> Config {
    Config { memory_bytes: 64 << 10, traces: 100, trace_bytes: 4 << 10, ..Config::default() }
}

#[test]
fn traces_wait_in_memory_and_are_written_when_the_disk_works_again() {
    let mut world = World::new(Config::default());
    world.keep(pair(1));
    world.disk.fail(world.disk.operations()..u64::MAX);
    world.keep(pair(2));
    let told = world.recent.failure().expect("the disk failed").to_string();
    assert_eq!(told, "cannot append to /state/traces/0000000001.seg");
    assert_eq!(world.recent.next_due(), Some(world.now + world.config.retry));
    world.offer([of_trace(2, span("late", "a", 5, 6))]);
    assert_eq!(world.ids(), [trace_id(2), trace_id(1)]);
    assert_eq!(world.names(2), ["a", "b", "late"]);
    assert_eq!(world.killed().ids(), [trace_id(1)]);
    world.disk.fail(0..0);
    world.after(world.config.quiet);
    assert!(world.recent.failure().is_some(), "it is not tried again at once");
    world.after(world.config.retry);
    assert!(world.recent.failure().is_none());
    let after = world.killed();
    assert_eq!(after.ids(), [trace_id(2), trace_id(1)]);
    assert_eq!(after.names(2), ["a", "b", "late"]);
    assert_eq!(world.recent.stats().write_failures, 1);
}

#[test]
fn a_disk_that_never_works_costs_the_oldest_traces_within_the_bound_of_memory() {
    let disk = SimulatedDisk::new();
    disk.fail(0..u64::MAX);
    let mut world = World::on(disk, small());
    for number in 0..2_000 {
        world.keep(pair(number));
    }
    let stats = world.recent.stats();
    let ids = world.ids();
    assert_eq!(ids.len() as u64 + stats.dropped_memory, 2_000);
    assert_eq!(stats.kept_sampled, 2_000);
    assert!(ids.len() > 100, "{}", ids.len());
    assert!(ids.iter().eq((2_000 - ids.len() as u64..2_000).rev().map(trace_id).collect::<Vec<_>>().iter()));
    assert!(stats.write_failures > 1);
    assert!(world.killed().ids().is_empty());
}

/// One operation of the disk fails, each in turn: nothing that was written is lost, and the rest is written later.
#[test]
fn whatever_operation_fails_no_trace_is_lost() {
    let config = Config { traces: 32, ..Config::default() };
    let run = |fail_at: Option<u64>| {
        let mut world = World::new(config);
        fail_at.into_iter().for_each(|at| world.disk.fail(at..at + 1));
        for number in 0..8 {
            world.keep(pair(number));
            world.keep([of_trace(number, span("late", "a", 30, 31))]);
        }
        world.after(config.retry);
        world
    };
    let operations = run(None).disk.operations();
    assert!(operations > 16);
    for at in 0..operations {
        let world = run(Some(at));
        assert!(world.recent.failure().is_none(), "operation {at}");
        let after = world.killed();
        for world in [&world, &after] {
            assert_eq!(world.ids().len(), 8, "operation {at}");
            for number in 0..8 {
                assert_eq!(world.names(number).len(), 3, "operation {at}, trace {number}");
            }
        }
        let stats = world.recent.stats();
        let expected =
            Stats { received: 24, late: 8, kept_sampled: 8, write_failures: 1, ..Stats::default() };
        assert_eq!(stats, expected, "operation {at}");
    }
}

#[test]
fn a_loss_of_power_costs_the_last_segment_at_most() {
    let mut world = World::new(Config { traces: 64, ..Config::default() });
    for number in 0..30 {
        world.keep(pair(number));
        let after = World::on(world.disk.crash(), world.config);
        assert_eq!(after.recent.stats().damaged, 0);
        let ids = after.ids();
        // Four records make a segment here.
        assert!(ids.len() as u64 >= number / 4 * 4, "{} of {number}", ids.len());
        assert!(ids.iter().rev().eq((0..ids.len() as u64).map(trace_id).collect::<Vec<_>>().iter()));
    }
}

#[test]
fn a_directory_that_was_removed_is_made_anew() {
    let dir = tempfile::tempdir().expect("there is a place for it");
    let dir = dir.path().join("below/traces");
    let (mut recent, now) = (open(&dir), Instant::now());
    let keep = |recent: &mut Recent, number| {
        recent.offer(now, pair(number));
        recent.flush(now);
        assert!(recent.failure().is_none());
    };
    keep(&mut recent, 1);
    keep(&mut recent, 2);
    fs::remove_dir_all(dir.parent().expect("it has one")).expect("it is removed");
    keep(&mut recent, 3);
    assert_eq!(recent.stats().vanished, 2);
    let here = |recent: &Recent| [1, 2, 3].map(|number| recent.trace(trace_id(number)).is_some());
    assert_eq!(here(&recent), [false, false, true]);
    assert_eq!(here(&open(&dir)), [false, false, true]);
}

#[test]
fn a_file_in_place_of_the_directory_is_told() {
    let dir = tempfile::tempdir().expect("there is a place for it");
    let dir = dir.path().join("traces");
    fs::write(&dir, "my diary").expect("it is written");
    let mut recent = open(&dir);
    assert!(recent.failure().is_some());
    recent.offer(Instant::now(), pair(1));
    recent.flush(Instant::now());
    let told = recent.failure().expect("it cannot be written").to_string();
    assert!(told.ends_with(&dir.display().to_string()), "{told}");
    assert!(recent.trace(trace_id(1)).is_some(), "it waits in memory");
    assert_eq!(fs::read(&dir).expect("it is there"), b"my diary");
}

fn open(dir: &Path) -> Recent {
    Recent::open(dir, Config::default()).expect("the bounds make sense")
}
