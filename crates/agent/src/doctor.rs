//! The ledger against reality: what the journal says should be on this host, and what is there.
//!
//! [`picture`] is what is seen of both, [`gather`] looks, [`judge`] says what does not fit (purely), [`mod@fix`] mends what can be
//! mended without a loss. Without `--fix` nothing is altered. The daemon answers while it runs; it mends nothing itself,
//! since whoever mends has the state directory for himself.
//!
//! **Invariant:** what is mended is moved to `STATE_DIR/quarantine`, never deleted; only an explicit purge empties that.
//! **Invariant:** a process is ended only when it is proven to be a VMM of this state directory, and the journal remembers
//! that its VM was deleted after it was started. What the journal has merely never heard of is the agent's to take over.
//! **Invariant:** what is not ours is told and not touched; no link is followed.

mod fix;
mod gather;
mod judge;
mod picture;
mod quarantine;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_api::view::doctor::{DoctorView, FindingView};
use nkudo_domain::ProviderKind;
use nkudo_executor::{Handle, NoAnswer, Providers};
use nkudo_host::clock;

use crate::config::Settings;
use crate::offline::{OfflineError, Recorded};
use crate::providers::{providers, simulated_file, tracker_config};
use crate::state_dir::{StateDir, StateDirError};
use picture::{Finding, Ledger, Picture};

/// Most findings that are told.
const FINDINGS_MAX: usize = 1_000;

/// Why the doctor cannot say, or not mend.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error(
        "the state directory is in use ({0}); nothing is mended while the agent runs: stop it first, vms run on, and start it \
         again afterwards"
    )]
    InUse(String),
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error("the executor does not answer")]
    NoAnswer(#[from] NoAnswer),
    #[error("{} cannot be looked at", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error("the simulated vms cannot be read")]
    Simulated(#[from] nkudo_providers::ProviderError),
    #[error("the look at the host was cut off")]
    CutOff,
    #[error("{} is no directory of ours; move it away", .0.display())]
    ForeignQuarantine(PathBuf),
    #[error("{} cannot be emptied", path.display())]
    Purge { path: PathBuf, source: io::Error },
}

/// What is to be done beyond looking.
#[derive(Debug, Clone, Copy, Default)]
pub struct Treatment {
    /// What has been in the quarantine for longer is deleted.
    pub purge_older_than: Option<Duration>,
}

/// Without a daemon: what `fix` would mend, and what it would not.
///
/// # Errors
/// When the state directory is not there or is in use, or cannot be read.
pub async fn look(settings: &Settings) -> Result<DoctorView, DoctorError> {
    let recorded = Recorded::read(settings, &providers(settings))?;
    let picture = offline_picture(settings, &recorded).await?;
    drop(recorded);
    Ok(view(&judge::findings(&picture), false))
}

/// Mends what can be mended. The state directory is held for it alone meanwhile.
///
/// # Errors
/// As [`look`]; what cannot be mended is no error but told.
pub async fn fix(settings: &Settings, treatment: Treatment) -> Result<DoctorView, DoctorError> {
    // To take it for writing would make one where there is none.
    drop(shared(settings)?);
    let dir = match StateDir::exclusive(&settings.state_dir).await {
        Err(StateDirError::Locked { holder, .. }) => return Err(DoctorError::InUse(holder)),
        dir => dir.map_err(OfflineError::StateDir)?,
    };
    let recorded = Recorded::of(dir, tracker_config(settings, &providers(settings)))?;
    let picture = offline_picture(settings, &recorded).await?;
    let mut quarantine = quarantine::Quarantine::of(&settings.state_dir)?;
    let mut views = Vec::new();
    for finding in judge::findings(&picture) {
        views.push(fix::mend(&mut quarantine, &settings.state_dir, finding).await);
    }
    let purged = match treatment.purge_older_than {
        Some(age) => quarantine.purge(age, clock::wall_ms())?,
        None => Vec::new(),
    };
    drop(recorded);
    Ok(DoctorView { purged, ..bounded(views, false) })
}

/// What the daemon answers.
pub(crate) async fn beside(
    state_dir: &Path,
    executor: &Handle,
    configured: &Providers,
) -> Result<DoctorView, DoctorError> {
    // What comes and goes meanwhile is in one of both looks only.
    let before = executor.look(Ledger::of).await?;
    let host = gathered(state_dir, configured, &before, true).await?;
    let after = executor.look(Ledger::of).await?;
    let picture = Picture { ledger: before.beside(after), unread: None, host };
    Ok(view(&judge::findings(&picture), true))
}

fn shared(settings: &Settings) -> Result<StateDir, DoctorError> {
    match StateDir::shared(&settings.state_dir) {
        Err(StateDirError::Locked { holder, .. }) => Err(DoctorError::InUse(holder)),
        dir => Ok(dir.map_err(OfflineError::StateDir)?),
    }
}

async fn offline_picture(settings: &Settings, recorded: &Recorded) -> Result<Picture, DoctorError> {
    let ledger = Ledger::of(&recorded.tracker);
    let host = gathered(&settings.state_dir, &providers(settings), &ledger, false).await?;
    Ok(Picture { ledger, unread: recorded.lacking(), host })
}

/// Looking reads many files and every process, which no worker is to wait for.
async fn gathered(
    state_dir: &Path,
    configured: &Providers,
    ledger: &Ledger,
    daemon_running: bool,
) -> Result<picture::Host, DoctorError> {
    let state_dir = state_dir.to_owned();
    let has_simulated = configured.0.contains_key(&ProviderKind::Simulated);
    let simulated = has_simulated.then(|| simulated_file(&state_dir));
    let named = ledger.named.clone();
    let look =
        move || gather::host(&state_dir, simulated.as_deref(), &named, daemon_running, clock::wall_ms());
    tokio::task::spawn_blocking(look).await.unwrap_or(Err(DoctorError::CutOff))
}

fn view(findings: &[Finding], daemon_running: bool) -> DoctorView {
    bounded(findings.iter().map(Finding::view).collect(), daemon_running)
}

fn bounded(mut items: Vec<FindingView>, daemon_running: bool) -> DoctorView {
    let ok = items.iter().all(|item| item.fixed == Some(true));
    let left_out = items.len().saturating_sub(FINDINGS_MAX) as u64;
    items.truncate(FINDINGS_MAX);
    DoctorView { ok, daemon_running, items, left_out, purged: Vec::new() }
}
