//! The server's log files.

use std::path::PathBuf;
use std::time::Duration;

use nkudo_logging::{FilesConfig, LogHandle, RepeatLimit};

use crate::config::Settings;

/// What the files' names begin with.
pub(crate) const LOG_NAME: &str = "control-plane";
/// Most log files; when each has an hour, they are of six weeks.
const LOG_FILES_MAX: usize = 1_000;
/// The period in which the lines of a call site are counted.
const REPEATS_PER: Duration = Duration::from_secs(10);

/// Where the server's log files are.
pub(crate) fn directory(settings: &Settings) -> PathBuf {
    settings.logs_dir.clone().unwrap_or_else(|| settings.data_dir.join("logs"))
}

/// How often a call site may speak; none without a limit.
pub(crate) fn repeats(settings: &Settings) -> Option<RepeatLimit> {
    RepeatLimit::new(REPEATS_PER, settings.logs_repeats).ok()
}

/// Has the log written to its files too. Whoever calls this holds the data directory's lock: nobody else writes them.
pub(crate) fn write_files(log: &LogHandle, settings: &Settings) {
    if !settings.logs_enabled {
        return;
    }
    let files = FilesConfig {
        rotate_every: settings.logs_rotate,
        max_file_bytes: settings.logs_max_file_bytes.min(settings.logs_max_total_bytes),
        max_total_bytes: settings.logs_max_total_bytes,
        max_files: LOG_FILES_MAX,
        ..FilesConfig::new(directory(settings), LOG_NAME)
    };
    if let Err(error) = log.write_files(files) {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "no log files are written, lines go to standard error only");
    }
}
