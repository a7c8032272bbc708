//! What can be done without a daemon: views from the state directory's files, and actions performed in process.

use std::path::Path;

use nkudo_api::view::{ActionView, ExecutionView, StatusView, VmView};
use nkudo_catalogue::AgentMetrics;
use nkudo_domain::Action;
use nkudo_executor::{Executor, ExecutorConfig, ExecutorError, Handle, NoAnswer, projection, replay_view};
use nkudo_host::clock;
use nkudo_journal::{JournalError, RealDisk, replay_read_only};
use nkudo_metrics_core::Registry;
use nkudo_supervision::Supervisor;
use nkudo_tracker::{Admission, Config, Now, Tracker};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::providers::{providers, tracker_config};
use crate::state_dir::{StateDir, StateDirError};
use crate::status::status;

/// Why something cannot be done without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("the journal in {dir} cannot be read")]
    Journal { dir: String, source: JournalError },
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// The state of a host whose daemon is down, with what is found of its VMs now.
#[derive(Debug)]
pub struct OfflineView {
    tracker: Tracker,
    pids: std::collections::BTreeMap<nkudo_domain::VmId, u32>,
}

impl OfflineView {
    /// Reads the journal and looks the host over. Alters nothing.
    pub async fn read(settings: &Settings) -> Result<Self, OfflineError> {
        let dir = StateDir::shared(&settings.state_dir)?;
        let journal = dir.path().join("journal");
        let providers = providers(settings);
        let records = if journal.exists() {
            let replay = replay_read_only(&RealDisk, &journal)
                .map_err(|source| OfflineError::Journal { dir: journal.display().to_string(), source })?;
            nkudo_executor::decode(replay, &journal)?
        } else {
            Vec::new()
        };
        let config: Config = tracker_config(settings, &providers);
        let tracker = replay_view(config, records, &providers, now()).await;
        let pids = tracker
            .vms()
            .filter_map(|(vm_id, vm)| {
                let identity = providers.0.get(&vm.provider)?.identity(vm_id)?;
                Some((vm_id, identity.pid))
            })
            .collect();
        Ok(Self { tracker, pids })
    }

    pub fn status(&self) -> StatusView {
        status(&self.tracker, false)
    }

    pub fn vms(&self) -> Vec<VmView> {
        self.tracker
            .vms()
            .map(|(vm_id, vm)| projection::vm_view(vm, self.pids.get(&vm_id).copied()))
            .collect()
    }

    /// Oldest first.
    pub fn executions(&self) -> Vec<ExecutionView> {
        self.tracker.executions().map(ExecutionView::from).collect()
    }
}

fn now() -> Now {
    Now { monotonic_ms: clock::monotonic_ms(), boottime_ms: clock::boottime_ms(), wall_ms: clock::wall_ms() }
}

/// Performs actions in this process, one after another, and calls `told` with each outcome. Whatever earlier runs
/// left unfinished is finished first. Stops after the first failure unless `keep_going`. Answers whether all
/// succeeded.
pub async fn apply(
    settings: &Settings,
    actions: Vec<Action>,
    keep_going: bool,
    mut told: impl FnMut(Applied),
) -> Result<bool, OfflineError> {
    let _dir = StateDir::exclusive(&settings.state_dir)?;
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "nkudo_", clock::wall_ms);
    let (commands, mut mailbox) = supervisor.mailbox("executor", crate::daemon::EXECUTOR_MAILBOX_MAX);
    let metrics = AgentMetrics::register(&registry);
    let (executor, handle) =
        Executor::new(executor_config(settings), providers(settings), RealDisk, metrics, commands);
    let stop = CancellationToken::new();
    let guard = stop.clone();
    let work = async {
        let all = apply_through(&handle, actions, keep_going, &mut told).await;
        guard.cancel();
        all
    };
    let (ran, all) = tokio::join!(executor.run(&mut mailbox, stop, || ()), work);
    ran?;
    all
}

/// What became of one action of a file.
#[derive(Debug)]
pub enum Applied {
    Ended(Box<ActionView>),
    /// It was not taken in; the sentence says why.
    Refused(Box<Action>, &'static str),
}

async fn apply_through(
    handle: &Handle,
    actions: Vec<Action>,
    keep_going: bool,
    told: &mut impl FnMut(Applied),
) -> Result<bool, OfflineError> {
    let mut all = true;
    for action in actions {
        let action_id = action.action_id.clone();
        let (applied, succeeded) = match handle.submit(action.clone()).await? {
            Admission::New | Admission::Repeated => match handle.wait(&action_id).await? {
                Some(view) => {
                    let succeeded = view.status == nkudo_domain::ActionStatus::Success;
                    (Applied::Ended(Box::new(view)), succeeded)
                }
                None => (Applied::Refused(Box::new(action), "it was forgotten before it ended"), false),
            },
            refused => (Applied::Refused(Box::new(action), refusal(refused)), false),
        };
        told(applied);
        all &= succeeded;
        if !succeeded && !keep_going {
            break;
        }
    }
    Ok(all)
}

/// Why an action was not taken in, as a sentence.
pub(crate) fn refusal(admission: Admission) -> &'static str {
    match admission {
        Admission::New | Admission::Repeated => "",
        Admission::Conflict => "this action_id was used for another action; use a new one",
        Admission::QueueFull => "too many actions are waiting; try again later",
        Admission::ResultsFull => "too many results must be kept for seven days; try again later",
        Admission::DiskFull => {
            "the disk of the state directory is full but for its reserve; free some space, or delete a vm"
        }
        Admission::Stopping => "the agent is about to stop; try again when it runs",
    }
}

pub(crate) fn executor_config(settings: &Settings) -> ExecutorConfig {
    let providers = providers(settings);
    ExecutorConfig {
        state_dir: settings.state_dir.clone(),
        tracker: tracker_config(settings, &providers),
        stop_wait: settings.stop_wait,
        free_bytes_min: FREE_BYTES_MIN,
    }
}

/// Free space that is kept for the journal; below it only deletes are taken in, in bytes.
pub(crate) const FREE_BYTES_MIN: u64 = 16 << 20;

/// The socket of the daemon of a state directory.
pub fn socket_path(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join(crate::SOCKET_NAME)
}
