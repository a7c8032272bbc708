//! Pre-flight: can this host run microVMs, and what is missing.
//!
//! Facts are gathered first and judged by pure functions then. Only what stops this host fails; what it can do without is
//! a warning.
//!
//! **Invariant:** a check alters nothing of the agent's: it makes no state directory, waits for no lock and leaves no
//! file.

mod gather;
mod judge;
mod program;
mod trial;

use nkudo_api::view::{CheckStatus, CheckView};

use crate::config::Settings;

pub use program::installed_hypervisors;

/// Every check, in the order of the contract.
pub async fn run(settings: &Settings) -> CheckView {
    let facts = gather::facts(settings).await;
    let checks = judge::all(&facts);
    CheckView { ok: checks.iter().all(|check| check.status != CheckStatus::Fail), checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_without_qemu_is_stopped_by_that_alone_and_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            state_dir: dir.path().join("state"),
            qemu_program: dir.path().join("no-qemu"),
            min_disk_bytes: 0,
            min_memory_bytes: 0,
            ..Settings::default()
        };
        let view = run(&settings).await;
        let failed: Vec<&str> = view
            .checks
            .iter()
            .filter(|check| check.status == CheckStatus::Fail)
            .map(|check| check.name.as_str())
            .collect();
        assert_eq!((view.ok, failed), (false, vec!["qemu"]), "{view:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made");
    }
}
