//! Reading what is stored: beside others, without permission to write, after a kill; and nothing changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nkudo_timeseries::{Config, Function, Kind, Query, Samples, SamplesError, StoredSamples};
use sqlx::{Connection as _, SqliteConnection};

use crate::full_disk::Mounted;
use crate::world::{HOUR, MINUTE, START, World};

/// Every file below a directory, with what is in it and when it was written.
fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("it is there") {
        let path = entry.expect("it is read").path();
        let written = fs::metadata(&path).and_then(|found| found.modified()).expect("it is there");
        if path.is_dir() {
            all.extend(files(&path));
            all.insert(path, (Vec::new(), written));
        } else {
            all.insert(path.clone(), (fs::read(&path).expect("it is there"), written));
        }
    }
    all
}

async fn count(stored: &mut StoredSamples) -> i64 {
    let answer = stored.query(&Query::new("load", START, START + HOUR)).await.expect("it is answered");
    answer.series.iter().map(|series| series.points.len() as i64).sum()
}

/// What is found by one who only reads; whatever it is, nothing is changed.
async fn read(dir: &Path) -> Result<i64, SamplesError> {
    let before = files(dir);
    let found = match StoredSamples::open(dir, Config::default()).await {
        Ok(mut stored) => Ok(count(&mut stored).await),
        Err(error) => Err(error),
    };
    assert_eq!(files(dir), before, "nothing is changed");
    found
}

/// Some rows that are sealed, and some that are not.
async fn world(sealed: i64, open: i64) -> World {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    let load = world.series("load", &[], Kind::Gauge);
    for tick in 0..sealed + open {
        world.put(load, START + tick * MINUTE, tick as f64 / 4.0).await;
        if tick + 1 == sealed {
            world.get().seal().await.expect("it is well");
        }
    }
    world
}

#[tokio::test]
async fn what_was_closed_or_killed_is_read_and_left_as_it_is() {
    for (sealed, open) in [(0, 0), (5, 0), (0, 5), (5, 5)] {
        let mut world = world(sealed, open).await;
        world.samples = None;
        assert_eq!(read(world.dir()).await.expect("it is read"), sealed + open, "{sealed} {open}");
        world.open().await;
        world.close().await;
        assert_eq!(read(world.dir()).await.expect("it is read"), sealed + open, "{sealed} {open}");
    }
}

#[tokio::test]
async fn where_there_is_nothing_there_is_nothing() {
    let dir = tempfile::tempdir().expect("there is a place for it");
    assert_eq!(read(dir.path()).await.expect("it is read"), 0);
    fs::write(dir.path().join("samples.db"), "").expect("it is written");
    assert_eq!(read(dir.path()).await.expect("it is read"), 0);
    assert!(StoredSamples::open(&dir.path().join("none"), Config::default()).await.is_ok());
    assert!(!dir.path().join("none").exists());
}

#[tokio::test]
async fn many_read_at_once_and_a_writer_keeps_them_away() {
    let mut world = world(5, 5).await;
    assert!(matches!(read(world.dir()).await, Err(SamplesError::InUse { .. })));
    world.close().await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(StoredSamples::open(world.dir(), world.config).await.expect("it opens"));
    }
    for reader in &mut readers {
        assert_eq!(count(reader).await, 10);
    }
    let writer = Samples::open(world.dir(), world.config).await;
    assert!(matches!(writer, Err(SamplesError::InUse { .. })));
    drop(readers);
    world.open().await;
    assert_eq!(world.raw("load").await.len(), 10);
}

/// The directory as a program leaves it that is killed while it writes to the database.
async fn cut_off(world: &World) -> tempfile::TempDir {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.database());
    let mut db = SqliteConnection::connect_with(&options).await.expect("it opens");
    let begun = "PRAGMA cache_size = 1; BEGIN IMMEDIATE; DELETE FROM recent; DELETE FROM hours;
        CREATE TABLE half (done); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
        INSERT INTO half SELECT zeroblob(1000) FROM n";
    sqlx::raw_sql(begun).execute(&mut db).await.expect("it is well");
    let killed = tempfile::tempdir().expect("there is a place for it");
    fs::create_dir(killed.path().join("rows")).expect("there is room");
    for path in files(world.dir()).into_keys().filter(|path| path.is_file()) {
        let inside = path.strip_prefix(world.dir()).expect("it is inside");
        fs::copy(&path, killed.path().join(inside)).expect("it is copied");
    }
    let journal = fs::metadata(killed.path().join("samples.db-journal")).expect("it is there");
    assert!(journal.len() > 512, "something is to be rolled back");
    // It rolls back where it was; left to a drop that would go on while others read there.
    db.close().await.expect("it is well");
    killed
}

#[tokio::test]
async fn what_was_half_written_is_read_as_if_it_had_not_been_begun() {
    let mut world = world(5, 5).await;
    world.close().await;
    let killed = cut_off(&world).await;
    assert_eq!(read(killed.path()).await.expect("it is read"), 10);
    let mut stored = StoredSamples::open(killed.path(), Config::default()).await.expect("it opens");
    let hours = Query::new("load", START, START + HOUR).each(HOUR, Function::Count);
    let answer = stored.query(&hours).await.expect("it is answered");
    assert_eq!((answer.series[0].points[0].value, answer.gaps.len()), (10.0, 0));
}

#[tokio::test]
async fn a_file_system_that_cannot_be_written_is_read() {
    let Some(disk) = Mounted::new("size=4m") else { return };
    let mut world = world(5, 5).await;
    world.close().await;
    let killed = cut_off(&world).await;
    for (from, name) in [(world.dir(), "closed"), (killed.path(), "killed")] {
        fs::create_dir_all(disk.path().join(name).join("rows")).expect("there is room");
        for path in files(from).into_keys().filter(|path| path.is_file()) {
            let inside = path.strip_prefix(from).expect("it is inside");
            fs::copy(&path, disk.path().join(name).join(inside)).expect("there is room");
        }
    }
    disk.remount("ro");
    for name in ["closed", "killed"] {
        assert_eq!(read(&disk.path().join(name)).await.expect("it is read"), 10, "{name}");
    }
}

#[tokio::test]
async fn damage_is_told_and_left_alone() {
    let mut world = world(5, 5).await;
    world.close().await;
    let whole = fs::read(world.database()).expect("it is there");
    let check = async |harmed: &[u8], sentence: &str| {
        fs::write(world.database(), harmed).expect("it is written");
        let error = read(world.dir()).await.expect_err(sentence);
        assert!(error.to_string().contains(sentence), "{error}");
    };
    check(&whole[..5_000], "is damaged and was left as it is").await;
    // The page with the schema.
    let mut flipped = whole.clone();
    flipped[100..200].fill(0x55);
    check(&flipped, "is damaged and was left as it is").await;
    check(b"my diary", "is no database of samples").await;
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
    check(&newer, "is of a newer version").await;
}

#[tokio::test]
async fn a_torn_journal_is_read_up_to_there_and_told() {
    let mut world = world(5, 5).await;
    world.samples = None;
    let segment = files(&world.dir().join("rows")).into_keys().next().expect("there is one");
    let whole = fs::read(&segment).expect("it is there");
    fs::write(&segment, &whole[..whole.len() - 3]).expect("it is written");
    assert_eq!(read(world.dir()).await.expect("it is read"), 9);
    let stored = StoredSamples::open(world.dir(), world.config).await.expect("it opens");
    assert!(stored.stats().journal_damaged_bytes > 0);
}
