//! The state directory and its lock.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nkudo_host::lock::{self, LockedFile};
use tokio::time::{Duration, Instant, sleep};

/// The name of the lock file in the state directory.
const LOCK_NAME: &str = "lock";
/// A file that is written and removed to see whether the directory takes writes.
const PROBE_NAME: &str = ".write-probe";

/// How long readers are waited for.
const READERS_PATIENCE: Duration = Duration::from_secs(2);
/// How soon the lock is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error("state directory {} cannot be made; choose another with --state-dir, or run as a user who may", path.display())]
    CannotMake { path: PathBuf, source: io::Error },
    #[error("state directory {} is not a directory; choose another with --state-dir", path.display())]
    NotADirectory { path: PathBuf },
    #[error("state directory {} is not there; has this host an agent? choose it with --state-dir", path.display())]
    Absent { path: PathBuf },
    #[error("state directory {} is not writable; choose another with --state-dir, or run as a user who may", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("state directory {} is full; free some space on its disk", path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("state directory {} is locked by another agent ({holder}); stop it, or choose another with --state-dir", path.display())]
    Locked { path: PathBuf, holder: String },
    #[error("the lock of state directory {} cannot be taken", path.display())]
    CannotLock { path: PathBuf, source: io::Error },
}

/// A state directory whose lock is held until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: LockedFile,
}

impl StateDir {
    /// Takes the directory for writing: makes it when it is not there, and sees that it takes writes, or has a reserve for
    /// them where its disk is full. Whoever only reads it is given a moment to end.
    pub async fn exclusive(path: &Path) -> Result<Self, StateDirError> {
        let give_up_at = Instant::now() + READERS_PATIENCE;
        loop {
            match Self::try_exclusive(path) {
                Err(StateDirError::Locked { .. }) if Instant::now() < give_up_at => sleep(LOOK_AGAIN).await,
                other => return other,
            }
        }
    }

    fn try_exclusive(path: &Path) -> Result<Self, StateDirError> {
        make(path)?;
        let at = || path.to_owned();
        let locked = LockedFile::try_exclusive(&path.join(LOCK_NAME));
        let lock = match locked {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(locked_by_another(path)),
            Err(source) => return Err(refused_write(at(), source)),
        };
        written_or_reserved(path, probe(path))?;
        written_or_reserved(path, lock.write_note(&format!("pid {}", std::process::id())))?;
        Ok(Self { path: at(), _lock: lock })
    }

    /// Takes the directory for reading, beside other readers.
    pub fn shared(path: &Path) -> Result<Self, StateDirError> {
        let at = || path.to_owned();
        if !path.exists() {
            return Err(StateDirError::Absent { path: at() });
        }
        if !path.is_dir() {
            return Err(StateDirError::NotADirectory { path: at() });
        }
        match LockedFile::try_shared(&path.join(LOCK_NAME)) {
            Ok(Some(lock)) => Ok(Self { path: at(), _lock: lock }),
            Ok(None) => Err(locked_by_another(path)),
            Err(source) => Err(StateDirError::CannotLock { path: at(), source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the directory, for its owner only, when there is none.
///
/// # Errors
/// When it cannot be made, or something else is there.
pub fn make(path: &Path) -> Result<(), StateDirError> {
    if path.exists() && !path.is_dir() {
        return Err(StateDirError::NotADirectory { path: path.to_owned() });
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StateDirError::CannotMake { path: path.to_owned(), source })
}

/// Writes a little and removes it again.
fn probe(path: &Path) -> io::Result<()> {
    let probe = path.join(PROBE_NAME);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
    let written = io::Write::write_all(&mut file, &[0; 4096]).and_then(|()| file.sync_all());
    std::fs::remove_file(&probe)?;
    written
}

/// A full disk keeps nobody from starting who has a reserve to give away: only then can VMs be deleted, which makes room.
fn written_or_reserved(path: &Path, written: io::Result<()>) -> Result<(), StateDirError> {
    match written.map_err(|source| refused_write(path.to_owned(), source)) {
        Err(full @ StateDirError::Full { .. }) if nkudo_executor::has_reserve(path) => {
            tracing::warn!(error = &full as &dyn std::error::Error, "going on with the reserve");
            Ok(())
        }
        other => other,
    }
}

fn refused_write(path: PathBuf, source: io::Error) -> StateDirError {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        StateDirError::Full { path, source }
    } else {
        StateDirError::NotWritable { path, source }
    }
}

fn locked_by_another(path: &Path) -> StateDirError {
    let note = lock::read_note(&path.join(LOCK_NAME)).unwrap_or_default();
    let holder = if note.trim().is_empty() { "of unknown pid".to_owned() } else { note.trim().to_owned() };
    StateDirError::Locked { path: path.to_owned(), holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_writer_or_many_readers() {
        let dir = tempfile::tempdir().unwrap();
        let writer = StateDir::exclusive(dir.path()).await.unwrap();
        let refusal = StateDir::exclusive(dir.path()).await.unwrap_err().to_string();
        assert!(refusal.contains(&format!("pid {}", std::process::id())), "{refusal}");
        assert!(matches!(StateDir::shared(dir.path()), Err(StateDirError::Locked { .. })));
        drop(writer);
        let readers = [StateDir::shared(dir.path()).unwrap(), StateDir::shared(dir.path()).unwrap()];
        assert!(matches!(StateDir::exclusive(dir.path()).await, Err(StateDirError::Locked { .. })));
        let (writer, ()) = tokio::join!(StateDir::exclusive(dir.path()), async { drop(readers) });
        assert!(writer.is_ok(), "a reader that ends keeps no writer out");
    }

    #[tokio::test]
    async fn a_file_is_no_directory_and_nothing_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(StateDir::exclusive(&file).await, Err(StateDirError::NotADirectory { .. })));
        assert!(matches!(StateDir::shared(&dir.path().join("none")), Err(StateDirError::Absent { .. })));
        assert!(matches!(
            StateDir::exclusive(&file.join("below")).await,
            Err(StateDirError::CannotMake { .. })
        ));
    }
}
