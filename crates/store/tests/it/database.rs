//! The file: kept over a restart, and every way in which it cannot be used.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nkudo_store::{AgentFilter, Asked, Page, SqliteStore, Store, StoreError};
use sqlx::{Connection as _, SqliteConnection};

use crate::{address, asked, enrol, pause, tenant};

pub(crate) async fn raw(dir: &Path) -> SqliteConnection {
    SqliteConnection::connect(&address(dir)).await.unwrap()
}

#[tokio::test]
async fn the_books_are_there_after_a_restart_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let a = tenant("a");
    let store = SqliteStore::open(&address(dir.path())).await.unwrap();
    let id = enrol(&store, &a, 1).await;
    store.ask(&asked(&a, id, pause("x", 1), 10), 9).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&address(dir.path())).await.unwrap();
    assert!(store.action(&a, &"x".parse().unwrap()).await.unwrap().is_some());
    assert_eq!(store.agents(&a, &AgentFilter::default(), &Page::first(9)).await.unwrap().items.len(), 1);
    for entry in std::fs::read_dir(dir.path()).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    let (active, idle) = store.connections();
    assert!(active + idle >= 2, "one that writes, and those that read");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_its_secret() {
    for text in ["", "sqlite:", "mysql://u:hunter2@db/x", "/var/lib/x.db", "postgres://u:hunter2@db/x"] {
        let error = SqliteStore::open(text).await.unwrap_err();
        assert!(matches!(error, StoreError::Address(_)), "{text}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    SqliteStore::open(&address(dir.path())).await.unwrap().close().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (999, 'later', TRUE, x'00', 0)";
    sqlx::query(later).execute(&mut raw(dir.path()).await).await.unwrap();
    let error = SqliteStore::open(&address(dir.path())).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 999, known: 5 }), "{error:?}");
    assert!(error.to_string().contains("run that version, or restore a backup"), "{error}");
}

#[tokio::test]
async fn a_locked_database_is_told_and_works_again_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_patient(&address(dir.path()), Duration::from_millis(100)).await.unwrap();
    let mut other = raw(dir.path()).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let error = store.create_tenant(&tenant("a"), 0).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked), "{error:?}");
    store.ping().await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(store.create_tenant(&tenant("a"), 0).await.unwrap());
}

#[tokio::test]
async fn what_is_no_database_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("books.db"),
        "this is text, and longer than a header of SQLite would have to be",
    )
    .unwrap();
    let error = SqliteStore::open(&address(dir.path())).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. } | StoreError::Migrate { .. }), "{error:?}");
    let absent = format!("sqlite:{}", dir.path().join("none/books.db").display());
    assert!(matches!(SqliteStore::open(&absent).await, Err(StoreError::Open { .. })));
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    SqliteStore::open(&address(dir.path())).await.unwrap().close().await;
    let read_only = format!("{}?mode=ro", address(dir.path()));
    match SqliteStore::open(&read_only).await {
        Err(error) => assert!(matches!(error, StoreError::ReadOnly), "{error:?}"),
        Ok(store) => {
            let error = store.create_tenant(&tenant("a"), 0).await.unwrap_err();
            assert!(matches!(error, StoreError::ReadOnly), "{error:?}");
        }
    }
}

/// A file system of one mebibyte, for as long as this lives.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "nkudo-test"])
            .arg(dir.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_each_time_and_nothing_is_half_written_and_with_room_all_goes_on() {
    let Some(small) = Small::mount() else {
        eprintln!("SKIPPED: no small file system can be mounted here (root is needed)");
        return;
    };
    let store = SqliteStore::open(&address(small.0.path())).await.unwrap();
    let a = tenant("a");
    let id = enrol(&store, &a, 1).await;
    let filler = small.0.path().join("fill");
    let mut fill = std::fs::File::create(&filler).unwrap();
    fill.write_all(&[1; 256 * 1024]).unwrap();
    let mut taken = 0;
    let error = loop {
        let action = pause(&format!("x{taken:0>100}"), 1);
        match store.ask(&asked(&a, id, action, taken), u32::MAX).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10_000, "a mebibyte is full by now");
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    // The rest of the disk, so that the log of SQLite grows by nothing.
    while fill.write_all(&[1; 512]).is_ok() {}
    let refused = asked(&a, id, pause(&format!("x{taken:0>100}"), 1), taken);
    for _ in 0..3 {
        let error = store.ask(&refused, u32::MAX).await.unwrap_err();
        assert!(matches!(error, StoreError::Full), "{error:?}");
        let error = store.ping().await.unwrap_err();
        assert!(matches!(error, StoreError::Full), "{error:?}");
    }
    assert_eq!(store.counts().await.unwrap().open_actions, u64::try_from(taken).unwrap());
    std::fs::remove_file(&filler).unwrap();
    drop(fill);
    store.ping().await.unwrap();
    assert_eq!(store.ask(&refused, u32::MAX).await.unwrap(), Asked::New);
    assert_eq!(store.counts().await.unwrap().open_actions, u64::try_from(taken + 1).unwrap());
    store.close().await;
}
