//! Tells other programs where the metrics are served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nkudo_journal::{JournalError, RealDisk, atomic_replace};

use crate::daemon::DaemonError;

/// The name of the file in the state directory.
pub(crate) const ADDR_FILE: &str = "edge-agent.addr.json";

/// `edge-agent.addr.json`, there while the metrics are served.
#[derive(Debug)]
pub(crate) struct AddrFile(PathBuf);

impl AddrFile {
    /// On a full disk the daemon runs without it: it is a convenience, and an address of before would mislead.
    pub(crate) fn write(state_dir: &Path, metrics_addr: SocketAddr) -> Result<Self, DaemonError> {
        let path = state_dir.join(ADDR_FILE);
        let body = serde_json::json!({ "metrics_addr": metrics_addr }).to_string();
        let replace = || atomic_replace(&RealDisk, &path, body.as_bytes());
        let mut written = replace();
        // The file of before has the room that this one needs.
        if written.as_ref().is_err_and(JournalError::is_storage_full) && std::fs::remove_file(&path).is_ok() {
            written = replace();
        }
        match written {
            Err(error) if error.is_storage_full() => tracing::warn!(
                path = %path.display(),
                error = &error as &dyn std::error::Error,
                "other programs are not told where the metrics are served"
            ),
            other => other.map_err(|source| DaemonError::AddrFile { path: path.clone(), source })?,
        }
        Ok(Self(path))
    }
}

impl Drop for AddrFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "address file not removed");
        }
    }
}
