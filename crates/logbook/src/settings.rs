//! What a daemon's configuration says of its log files: its table `[logs]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_logging::{FilesConfig, LogHandle, RepeatLimit, Rotation};

/// Least bound of a file, in bytes: a line takes 16 KiB for each of its long fields.
pub const FILE_MIN_BYTES: i64 = 64 << 10;
/// Highest limit on repeats, in lines of ten seconds.
pub const REPEATS_MAX: i64 = 1_000_000;
/// The period in which the lines of a call site are counted.
const REPEATS_PER: Duration = Duration::from_secs(10);
/// Most log files; when each has an hour, they are of six weeks.
const FILES_MAX: usize = 1_000;

/// How a daemon keeps its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Whether files are written.
    pub enabled: bool,
    /// Where; none for `logs` in the daemon's own directory.
    pub dir: Option<PathBuf>,
    /// Most bytes of all files.
    pub max_total_bytes: u64,
    /// Most bytes of a file; never more than all may have.
    pub max_file_bytes: u64,
    pub rotate: Rotation,
    /// Lines of one call site in ten seconds; 0 is no limit.
    pub repeats: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            dir: None,
            max_total_bytes: 64 << 20,
            max_file_bytes: 8 << 20,
            rotate: Rotation::Daily,
            repeats: 1_000,
        }
    }
}

impl LogSettings {
    /// Where the files of a daemon are whose own directory is `home`.
    pub fn directory(&self, home: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| home.join("logs"))
    }

    /// How often a call site may speak; none without a limit.
    pub fn repeat_limit(&self) -> Option<RepeatLimit> {
        RepeatLimit::new(REPEATS_PER, self.repeats).ok()
    }

    /// Has the log written to files of this name too. Whoever calls this holds the lock of `home`, so that nobody else
    /// writes them. Files that cannot be written are told in the log and stop nothing.
    pub fn write_files(&self, log: &LogHandle, home: &Path, name: &str) {
        if !self.enabled {
            return;
        }
        let files = FilesConfig {
            rotate_every: self.rotate,
            max_file_bytes: self.max_file_bytes.min(self.max_total_bytes),
            max_total_bytes: self.max_total_bytes,
            max_files: FILES_MAX,
            ..FilesConfig::new(self.directory(home), name)
        };
        if let Err(error) = log.write_files(files) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "no log files are written, lines go to standard error only");
        }
    }
}
