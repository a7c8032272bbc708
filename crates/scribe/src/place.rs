//! Where an audit log stands, and its bounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The paths of an audit log in a program's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The files of the log.
    pub log: PathBuf,
    /// The key that signs it; its public half is beside it, with `.pub` after its name.
    pub key: PathBuf,
    /// Held by whoever writes.
    pub(crate) lock: PathBuf,
    /// What others left to be written.
    pub(crate) notes: PathBuf,
}

impl Place {
    /// `audit/`, `audit.key`, `audit.lock` and `audit.notes/` in this directory.
    pub fn within(dir: &Path) -> Place {
        Place {
            log: dir.join("audit"),
            key: dir.join("audit.key"),
            lock: dir.join("audit.lock"),
            notes: dir.join("audit.notes"),
        }
    }

    /// The program's directory.
    pub(crate) fn dir(&self) -> &Path {
        self.lock.parent().unwrap_or(&self.lock)
    }

    /// The public half of the key.
    pub fn public_key(&self) -> PathBuf {
        self.key.with_extension("key.pub")
    }
}

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub log: nkudo_audit::Options,
    /// Whole files are removed when all their lines are older than this.
    pub keep: Duration,
    /// Bytes of the log that only what is under way may fill.
    pub reserve_bytes: u64,
}

impl Options {
    /// A log of at most so many bytes, of which at most 8 MiB or an eighth are the reserve. Its files are an eighth of it
    /// at most, so that there is something to prune.
    pub fn bounded(log_bytes: u64, keep: Duration) -> Options {
        let log = nkudo_audit::Options::default();
        let file_bytes = log.file_bytes.min(log_bytes / 8);
        let reserve_bytes = (8 << 20).min(log_bytes / 8);
        Options { log: nkudo_audit::Options { log_bytes, file_bytes, ..log }, keep, reserve_bytes }
    }

    /// As [`Options::bounded`], with lines that are kept for so many days.
    pub fn of_days(log_bytes: u64, keep_days: u32) -> Options {
        Options::bounded(log_bytes, Duration::from_secs(u64::from(keep_days) * 24 * 3600))
    }
}

impl Default for Options {
    /// 256 MiB, 90 days.
    fn default() -> Options {
        Options::of_days(256 << 20, 90)
    }
}
