//! Pre-flight: can this host run microVMs, and what is missing.
//!
//! Facts are gathered first and judged by pure functions then. Only what stops this host fails; what it can do without is
//! a warning.

mod gather;
mod judge;

use nkudo_api::view::{CheckStatus, CheckView};

use crate::config::Settings;

pub use gather::installed_hypervisors;

/// Every check, in the order of the contract.
pub async fn run(settings: &Settings) -> CheckView {
    let facts = gather::facts(settings).await;
    let checks = judge::all(&facts);
    CheckView { ok: checks.iter().all(|check| check.status != CheckStatus::Fail), checks }
}
