//! Tells other programs where the metrics are served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nkudo_journal::{RealDisk, atomic_replace};

use crate::daemon::DaemonError;

/// The name of the file in the state directory.
pub(crate) const ADDR_FILE: &str = "edge-agent.addr.json";

/// `edge-agent.addr.json`, there while the metrics are served.
#[derive(Debug)]
pub(crate) struct AddrFile(PathBuf);

impl AddrFile {
    pub(crate) fn write(state_dir: &Path, metrics_addr: SocketAddr) -> Result<Self, DaemonError> {
        let path = state_dir.join(ADDR_FILE);
        let body = serde_json::json!({ "metrics_addr": metrics_addr }).to_string();
        atomic_replace(&RealDisk, &path, body.as_bytes())
            .map_err(|source| DaemonError::AddrFile { path: path.clone(), source })?;
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
