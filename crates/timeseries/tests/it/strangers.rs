//! Directories that are not ours, or not to be written: an error with a remedy, and nothing is changed.

use std::fs;
use std::path::Path;

use nkudo_timeseries::{Config, Samples};
use sqlx::{Connection as _, SqliteConnection};

use crate::world::{START, World};

async fn refusal(dir: &Path) -> String {
    let error = Samples::open(dir, Config::default()).await.expect_err("it is refused");
    error.to_string().replace(&dir.display().to_string(), "DIR")
}

async fn sql(database: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let mut db = SqliteConnection::connect_with(&options).await.expect("it opens");
    sqlx::raw_sql(sql).execute(&mut db).await.expect("it is well");
    db.close().await.expect("it closes");
}

#[tokio::test]
async fn a_foreign_file_is_left_alone() {
    let dir = tempfile::tempdir().expect("there is a place for it");
    let database = dir.path().join("samples.db");
    let expected = "DIR/samples.db is no database of samples: give another directory, or move the file away to begin anew";
    fs::write(&database, "my diary").expect("it is written");
    assert_eq!(refusal(dir.path()).await, expected);
    assert_eq!(fs::read(&database).expect("it is there"), b"my diary");
    fs::remove_file(&database).expect("it is there");
    sql(&database, "PRAGMA journal_mode = WAL; CREATE TABLE diary (day); PRAGMA user_version = 7").await;
    let before = fs::read(&database).expect("it is there");
    assert_eq!(refusal(dir.path()).await, expected);
    assert_eq!(fs::read(&database).expect("it is there"), before);
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let mut world = World::new(Config::default()).await;
    world.close().await;
    sql(&world.database(), "PRAGMA user_version = 2").await;
    assert_eq!(
        refusal(world.dir()).await,
        "DIR/samples.db is of a newer version of this program (its format is 2, this one knows 1): run that version, \
         or move the file away to begin anew"
    );
}

#[tokio::test]
async fn a_database_has_one_program() {
    let mut world = World::new(Config::default()).await;
    let load = world.series("load", &[], nkudo_timeseries::Kind::Gauge);
    world.put(load, START, 1.0).await;
    assert_eq!(
        refusal(world.dir()).await,
        "DIR/samples.db is in use by another program: stop that, or ask it"
    );
    assert_eq!(world.raw("load").await, [(START, 1.0)]);
}

#[tokio::test]
async fn a_file_in_the_way_is_told() {
    let dir = tempfile::tempdir().expect("there is a place for it");
    fs::write(dir.path().join("samples"), "").expect("it is written");
    let error =
        Samples::open(&dir.path().join("samples"), Config::default()).await.expect_err("it is refused");
    assert!(error.to_string().starts_with("cannot use"), "{error}");
}
