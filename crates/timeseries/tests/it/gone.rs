//! Files that are deleted or replaced while the store is open: noticed, told, and gone on from what is in memory.

use std::fs;

use nkudo_timeseries::{Config, Kind, Now, Samples, SamplesError};

use crate::world::{HOUR, MINUTE, START, World};

/// Ten rows that are sealed and ten that are not, then the files are harmed; what is there after going on.
async fn check(harm: impl FnOnce(&World), named: &str, kept: usize) {
    let mut world = World::new(Config::default()).await;
    let load = world.series("load", &[("cpu", "0")], Kind::Gauge);
    for tick in 0..10 {
        world.put(load, START + tick * MINUTE, tick as f64).await;
    }
    world.get().seal().await.expect("it is well");
    for tick in 10..20 {
        world.put(load, START + tick * MINUTE, tick as f64).await;
    }
    harm(&world);
    let at_ms = START + 20 * MINUTE;
    world.get().record(at_ms, &[(load, 20.0)]);
    for _ in 0..2 {
        let error = world.get().tend(Now::of_one_clock(at_ms)).await.expect_err("it is told, each time");
        assert!(matches!(&error, SamplesError::Gone { path } if path.ends_with(named)), "{error}");
    }
    let before = world.get().stats();
    let samples = world.samples.take().expect("it is open").reopen().await.expect("it goes on");
    world.samples = Some(samples);
    let stats = world.get().stats();
    assert_eq!((stats.directories_gone, stats.recorded, stats.seals), (1, before.recorded, before.seals));
    // It is on the disk again: a kill loses nothing of it.
    world.open().await;
    let load = world.series("load", &[("cpu", "0")], Kind::Gauge);
    world.put(load, at_ms + MINUTE, 21.0).await;
    let expected: Vec<_> = (22 - kept as i64..22).map(|tick| (START + tick * MINUTE, tick as f64)).collect();
    assert_eq!(world.raw("load").await, expected);
    world.get().seal().await.expect("it is well");
    world.open().await;
    assert_eq!(world.raw("load").await, expected);
}

#[tokio::test]
async fn a_deleted_directory_is_noticed_and_what_is_in_memory_is_kept() {
    check(|world| fs::remove_dir_all(world.dir()).expect("it is there"), "samples.db", 12).await;
}

#[tokio::test]
async fn a_deleted_database_is_noticed() {
    check(|world| fs::remove_file(world.database()).expect("it is there"), "samples.db", 12).await;
}

#[tokio::test]
async fn a_deleted_journal_is_noticed_and_written_anew() {
    check(|world| fs::remove_dir_all(world.dir().join("rows")).expect("it is there"), "rows", 22).await;
}

#[tokio::test]
async fn a_copy_in_place_of_the_database_is_noticed_and_taken() {
    let copy_and_swap = |world: &World| {
        let copy = world.dir().join("copy");
        fs::copy(world.database(), &copy).expect("it is copied");
        fs::rename(&copy, world.database()).expect("it is put in its place");
    };
    check(copy_and_swap, "samples.db", 22).await;
}

#[tokio::test]
async fn where_nothing_can_be_made_in_its_place_that_is_told() {
    let mut world = World::new(Config::default()).await;
    let load = world.series("load", &[], Kind::Gauge);
    world.put(load, START, 1.0).await;
    fs::remove_dir_all(world.dir()).expect("it is there");
    fs::write(world.dir(), "in the way").expect("it is written");
    let samples = world.samples.take().expect("it is open");
    assert!(samples.reopen().await.is_err());
    fs::remove_file(world.dir()).expect("it is there");
    let mut samples = Samples::open(world.dir(), world.config).await.expect("it opens");
    samples.tend(Now::of_one_clock(START + HOUR)).await.expect("it is well");
}
