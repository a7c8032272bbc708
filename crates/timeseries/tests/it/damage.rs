//! Damage: the journal cut and flipped at each byte, blocks and whole databases with flipped bits.

use std::fs;
use std::path::PathBuf;

use nkudo_timeseries::{Config, Function, Kind, Now, Query};
use sqlx::{Connection as _, SqliteConnection};

use crate::world::{HOUR, MINUTE, START, World};

fn journal(world: &World) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(world.dir().join("rows"))
        .expect("it is there")
        .map(|entry| entry.expect("it is read").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[tokio::test]
async fn a_journal_cut_or_flipped_anywhere_gives_back_what_is_before() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    let a = world.series("a", &[], Kind::Gauge);
    let mut rows = Vec::new();
    world.put(a, START, 0.5).await;
    world.get().seal().await.expect("it is well");
    rows.push((START, 0.5));
    for tick in 1..6 {
        rows.push((START + tick * MINUTE, tick as f64 / 4.0));
        world.put(a, START + tick * MINUTE, tick as f64 / 4.0).await;
    }
    world.close().await;
    let file = journal(&world);
    let whole = fs::read(&file).expect("it is there");
    assert!(whole.len() < 400, "a small one");
    let mut seen = std::collections::BTreeSet::new();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        for bytes in [&whole[..at], &flipped] {
            fs::remove_dir_all(world.dir().join("rows")).expect("it is there");
            fs::create_dir(world.dir().join("rows")).expect("there is room");
            fs::write(&file, bytes).expect("it is written");
            // A version that looks newer is refused, and that is told.
            let Ok(samples) = nkudo_timeseries::Samples::open(world.dir(), world.config).await else {
                assert!((8..10).contains(&at), "{at}");
                continue;
            };
            world.samples = Some(samples);
            let back = world.raw("a").await;
            assert!(rows.starts_with(&back) && !back.is_empty(), "{at}: {back:?}");
            seen.insert(back.len());
            // What comes after is kept.
            world.get().record(START + HOUR, &[(a, 9.0)]);
            assert_eq!(world.raw("a").await.len(), back.len() + 1, "{at}");
            world.close().await;
        }
    }
    // From the one that is sealed on, but never all: something is damaged each time.
    assert!(seen.into_iter().eq(1..rows.len()));
}

async fn sealed(world: &mut World) {
    let ids = ["a", "b"].map(|name| world.series(name, &[], Kind::Counter));
    for tick in 0..120 {
        world.get().record(START + tick * MINUTE + 1, &ids.map(|id| (id, (tick * tick) as f64)));
    }
    world.get().seal().await.expect("it is well");
    world.close().await;
}

async fn change(world: &World, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.database());
    let mut db = SqliteConnection::connect_with(&options).await.expect("it opens");
    sqlx::raw_sql(sql).execute(&mut db).await.expect("it is well");
    db.close().await.expect("it closes");
}

#[tokio::test]
async fn a_damaged_block_is_a_gap() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    sealed(&mut world).await;
    change(
        &world,
        "UPDATE recent SET data = CAST(substr(data, 1, 9) || x'55' || substr(data, 11) AS BLOB)
         WHERE key = (SELECT MIN(key) FROM recent)",
    )
    .await;
    world.open().await;
    let answer = world.ask(&Query::new("a", START, START + 2 * HOUR)).await;
    assert!(answer.series.is_empty());
    let [gap] = &answer.gaps[..] else { panic!("there is one: {answer:?}") };
    assert_eq!(
        (gap.series.name.as_str(), gap.from_ms, gap.to_ms),
        ("a", START + 1, START + 119 * MINUTE + 2)
    );
    assert_eq!(world.get().stats().corrupt, 1);
    assert_eq!(world.raw("b").await.len(), 120);
    // The hours were made before, and do not depend on it.
    assert_eq!(world.each("a", (START, START + 2 * HOUR), HOUR, Function::Count).await.len(), 2);
    // It is not merged away, and does not stop the merging of others.
    let a = world.series("a", &[], Kind::Counter);
    for tick in 0..(24 * 60) {
        world.put(a, START + 2 * HOUR + tick * MINUTE, 1.0).await;
    }
    assert!(world.get().stats().merges > 0);
    assert_eq!(world.ask(&Query::new("a", START, START + HOUR)).await.gaps.len(), 1);
}

#[tokio::test]
async fn damage_in_a_bundle_costs_its_series_or_if_it_is_in_front_all_of_them() {
    let mut world =
        World::new(Config { sync_ms: i64::MAX, merge_ms: 2 * HOUR, block_ms: HOUR, ..Config::default() })
            .await;
    let ids = ["a", "b"].map(|name| world.series(name, &[], Kind::Counter));
    for tick in 0..120 {
        world.get().record(START + tick * MINUTE, &ids.map(|id| (id, (tick * tick) as f64)));
        world.get().tend(Now::of_one_clock(START + tick * MINUTE)).await.expect("it is well");
    }
    world.get().seal().await.expect("it is well");
    world.get().tend(Now::of_one_clock(START + 2 * HOUR)).await.expect("it is well");
    assert_eq!((world.get().stats().merges, world.get().stats().chunks), (1, 1));
    world.close().await;
    let flips = [
        // The last byte but some, which is the last series.
        (
            "UPDATE blocks SET data = CAST(substr(data, 1, length(data) - 9) || x'55' || substr(data, -8) AS BLOB)",
            (1, 1),
        ),
        ("UPDATE blocks SET data = CAST(substr(data, 1, 2) || x'55' || substr(data, 4) AS BLOB)", (0, 2)),
    ];
    for (sql, (series, gaps)) in flips {
        change(&world, sql).await;
        world.open().await;
        let mut found = (0, 0);
        for name in ["a", "b"] {
            let answer = world.ask(&Query::new(name, START, START + 2 * HOUR)).await;
            found = (found.0 + answer.series.len(), found.1 + answer.gaps.len());
        }
        assert_eq!(found, (series, gaps), "{sql}");
        world.close().await;
    }
}

#[tokio::test]
async fn damaged_aggregates_are_a_gap() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    sealed(&mut world).await;
    change(&world, "UPDATE hours SET data = CAST(substr(data, 1, 5) || x'aa' || substr(data, 7) AS BLOB)")
        .await;
    world.open().await;
    let answer = world.ask(&Query::new("a", START, START + HOUR).each(HOUR, Function::Max)).await;
    assert_eq!((answer.series.len(), answer.gaps.len()), (0, 1));
    assert_eq!(world.raw("a").await.len(), 120);
    // New ones begin again.
    let a = world.series("a", &[], Kind::Counter);
    world.put(a, START + 3 * HOUR, 1.0).await;
    world.get().seal().await.expect("it is well");
    assert_eq!(
        world.each("a", (START, START + 4 * HOUR), HOUR, Function::Max).await,
        [(START + 3 * HOUR, 1.0)]
    );
}

#[tokio::test]
async fn a_database_flipped_anywhere_opens_or_is_set_aside() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    sealed(&mut world).await;
    let whole = fs::read(world.database()).expect("it is there");
    let (mut aside, mut opened) = (0, 0);
    for at in (0..whole.len()).step_by(397) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(world.database(), &flipped).expect("it is written");
        let Ok(samples) = nkudo_timeseries::Samples::open(world.dir(), world.config).await else { continue };
        opened += 1;
        world.samples = Some(samples);
        aside += world.get().stats().databases_set_aside;
        for function in [Function::Raw, Function::Max] {
            for name in ["a", "b"] {
                let query = Query::new(name, START, START + 2 * HOUR).each(HOUR, function);
                drop(world.get().query(&query).await);
            }
        }
        drop(world.get().seal().await);
        world.samples = None;
    }
    assert!(opened > 20, "{opened} opened, {aside} set aside");
}

#[tokio::test]
async fn a_crash_between_sealing_and_emptying_the_journal_doubles_nothing() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    let a = world.series("a", &[], Kind::Counter);
    for tick in 0..50 {
        world.put(a, START + tick * MINUTE, tick as f64).await;
    }
    let file = journal(&world);
    let before = fs::read(&file).expect("it is there");
    world.get().seal().await.expect("it is well");
    world.close().await;
    fs::remove_dir_all(world.dir().join("rows")).expect("it is there");
    fs::create_dir(world.dir().join("rows")).expect("there is room");
    fs::write(&file, before).expect("it is written");
    world.open().await;
    assert_eq!(world.raw("a").await.len(), 50);
    world.put(a, START + 50 * MINUTE, 50.0).await;
    world.get().seal().await.expect("it is well");
    assert_eq!(world.raw("a").await.len(), 51);
    assert_eq!(world.each("a", (START, START + HOUR), HOUR, Function::Increase).await, [(START, 50.0)]);
    // A journal that was lost hides nothing that comes after.
    world.close().await;
    fs::remove_dir_all(world.dir().join("rows")).expect("it is there");
    world.open().await;
    world.put(a, START + 51 * MINUTE, 51.0).await;
    world.open().await;
    assert_eq!(world.raw("a").await.len(), 52);
}
