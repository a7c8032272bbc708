//! What can be done without a daemon: views from the state directory's files, and actions performed in process.

use std::collections::BTreeMap;
use std::path::Path;

use nkudo_api::view::{ActionView, ExecutionView, StateFile, StatusView, VmView};
use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Action, AskedBy, VmId, VmState};
use nkudo_executor::projection::vms_by_state;
use nkudo_executor::{
    Decoding, Executor, ExecutorConfig, ExecutorError, Handle, NoAnswer, Providers, projection, replay_view,
};
use nkudo_host::clock;
use nkudo_journal::{Discarded, JournalError, RealDisk, replay_each_read_only};
use nkudo_metrics_core::Registry;
use nkudo_scribe::{ScribeError, ScribeMetrics};
use nkudo_supervision::Supervisor;
use nkudo_tracker::{Admission, Config, Now, Record, Tracker};
use tokio_util::sync::CancellationToken;

use crate::audit::{Asked, Audit};
use crate::config::Settings;
use crate::identity::IdentityDir;
use crate::outages::OfflineOutages;
use crate::providers::{providers, qemu, tracker_config};
use crate::state_dir::{StateDir, StateDirError};
use crate::status::status;

/// Why something cannot be done without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("the journal in {dir} cannot be read")]
    Journal { dir: String, source: JournalError },
    #[error("the ledger of outages in {dir} cannot be read")]
    Outages { dir: String, source: JournalError },
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error(transparent)]
    Audit(#[from] ScribeError),
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(
        "interrupted; what was begun and did not end goes on with the next start of the agent, or the next apply"
    )]
    Interrupted,
}

/// The state of a host whose daemon is down.
#[derive(Debug)]
pub enum OfflineView {
    /// From the journal, with what is found of the VMs now.
    Replayed {
        tracker: Box<Tracker>,
        pids: BTreeMap<VmId, u32>,
        /// What could not be read of the journal.
        unread: Option<Discarded>,
    },
    /// From `edge-state.json`, at most a second old: another program works on the directory and has no socket.
    Projected(Box<StateFile>),
}

impl OfflineView {
    /// Reads what can be read without a daemon. Alters nothing.
    pub async fn read(settings: &Settings) -> Result<Self, OfflineError> {
        let dir = match StateDir::shared(&settings.state_dir) {
            Ok(dir) => dir,
            Err(locked @ StateDirError::Locked { .. }) => {
                return Self::projected(settings).ok_or(locked.into());
            }
            Err(error) => return Err(error.into()),
        };
        let providers = providers(settings);
        let (records, unread) = records(&dir)?;
        let config: Config = tracker_config(settings, &providers);
        let tracker = Box::new(replay_view(config, records, &providers, now()).await?);
        let pids = tracker
            .vms()
            .filter_map(|(vm_id, vm)| {
                let identity = providers.0.get(&vm.provider)?.identity(vm_id)?;
                Some((vm_id, identity.pid))
            })
            .collect();
        Ok(Self::Replayed { tracker, pids, unread })
    }

    fn projected(settings: &Settings) -> Option<Self> {
        let bytes = std::fs::read(settings.state_dir.join("edge-state.json")).ok()?;
        serde_json::from_slice(&bytes).ok().map(|file| Self::Projected(Box::new(file)))
    }

    /// The status of the host, with the identity that its state directory holds.
    pub fn status(&self, settings: &Settings) -> StatusView {
        // An identity that cannot be read is none to go by; `check` says what is wrong with it.
        let identity = IdentityDir::of(&settings.state_dir).load().ok().flatten();
        let now_ms = clock::wall_ms();
        // Nor is a ledger; `health` says why.
        let outages = OfflineOutages::read(&settings.state_dir, i64::MIN).unwrap_or_default();
        let last_outage = outages.last().cloned();
        let status =
            |vms, queue_depth| status(identity.as_ref(), None, vms, queue_depth, last_outage.clone(), now_ms);
        match self {
            Self::Replayed { tracker, .. } => status(vms_by_state(tracker), tracker.queue_depth() as u64),
            Self::Projected(file) => {
                let mut counts: BTreeMap<VmState, u64> =
                    VmState::ALL.into_iter().map(|state| (state, 0)).collect();
                file.vms.iter().for_each(|vm| *counts.entry(vm.state).or_default() += 1);
                status(counts, file.queue_depth)
            }
        }
    }

    /// Why the answer may lack something, and what to do; none when all could be read.
    pub fn lacking(&self) -> Option<String> {
        match self {
            Self::Replayed { unread, .. } => unread.as_ref().map(lacking),
            Self::Projected(_) => None,
        }
    }

    pub fn vms(&self) -> Vec<VmView> {
        match self {
            Self::Replayed { tracker, pids, .. } => {
                tracker.vms().map(|(vm_id, vm)| projection::vm_view(vm, pids.get(&vm_id).copied())).collect()
            }
            Self::Projected(file) => file.vms.clone(),
        }
    }

    /// Oldest first.
    pub fn executions(&self) -> Vec<ExecutionView> {
        match self {
            Self::Replayed { tracker, .. } => tracker.executions().map(ExecutionView::from).collect(),
            Self::Projected(file) => file.executions.clone(),
        }
    }
}

/// What the journal alone says, without a look at the host. The directory's lock is shared until this is dropped.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) tracker: Tracker,
    pub(crate) unread: Option<Discarded>,
    _dir: StateDir,
}

impl Recorded {
    pub(crate) fn read(settings: &Settings, providers: &Providers) -> Result<Self, OfflineError> {
        Self::of(StateDir::shared(&settings.state_dir)?, tracker_config(settings, providers))
    }

    /// From a directory that is held.
    pub(crate) fn of(dir: StateDir, config: Config) -> Result<Self, OfflineError> {
        let (records, unread) = records(&dir)?;
        Ok(Self { tracker: Tracker::replay(config, records), unread, _dir: dir })
    }

    /// Why the journal may know more than it says, and what to do; none when all of it could be read.
    pub(crate) fn lacking(&self) -> Option<String> {
        self.unread.as_ref().map(lacking)
    }
}

/// The journal's records, and what could not be read of it. Nothing is set aside by looking: whoever asked is told
/// instead of the log.
fn records(dir: &StateDir) -> Result<(Vec<Record>, Option<Discarded>), OfflineError> {
    let journal = dir.path().join("journal");
    if !journal.exists() {
        return Ok((Vec::new(), None));
    }
    let mut decoding = Decoding::of(&journal);
    let unread = replay_each_read_only(&RealDisk, &journal, |seq, bytes| decoding.take(seq, bytes))
        .map_err(|source| OfflineError::Journal { dir: journal.display().to_string(), source })?;
    Ok((decoding.end(None)?, unread))
}

fn lacking(unread: &Discarded) -> String {
    let Discarded { segment, offset, bytes, reason, .. } = unread;
    format!(
        "the journal cannot be read from byte {offset} of {segment} on ({bytes} bytes: {reason}), so what is shown may \
         lack actions and VMs; the daemon sets those bytes aside when it starts, and adopts the VMs that it finds"
    )
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
    let _dir = StateDir::exclusive(&settings.state_dir).await?;
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "nkudo_", clock::wall_ms);
    let (commands, mut mailbox) = supervisor.mailbox("executor", crate::daemon::EXECUTOR_MAILBOX_MAX);
    let metrics = AgentMetrics::register(&registry);
    let (executor, handle) = Executor::new(
        executor_config(settings),
        providers(settings),
        RealDisk,
        metrics,
        supervisor.operations("executor"),
        commands,
    );
    let audit = Audit::start(settings, ScribeMetrics::default())?;
    let executor = match audit.witness() {
        Some(witness) => executor.witnessed_by(witness),
        None => executor,
    };
    qemu(settings).sweep();
    let stop = CancellationToken::new();
    let guard = stop.clone();
    let asked = async {
        report(settings, &handle).await?;
        apply_through(&handle, &audit, actions, keep_going, &mut told).await
    };
    let work = async {
        // A deed that an interruption reaches is handed to the next start, as at the end of the daemon.
        let all = tokio::select! {
            all = asked => all,
            () = interrupted() => Err(OfflineError::Interrupted),
        };
        guard.cancel();
        all
    };
    let (mut run, mut work) = (Box::pin(executor.run(&mut mailbox, stop, || ())), Box::pin(work));
    // Neither is dropped before it has ended, unless the executor cannot go on.
    let ended = tokio::select! {
        ran = &mut run => ran.map_err(OfflineError::from).and(Err(OfflineError::NoAnswer(NoAnswer))),
        all = &mut work => run.await.map_err(OfflineError::from).and(all),
    };
    audit.close().await;
    ended
}

/// Says to whom results are owed. An identity that cannot be read says nothing: what may be owed is kept.
async fn report(settings: &Settings, handle: &Handle) -> Result<(), NoAnswer> {
    match IdentityDir::of(&settings.state_dir).load() {
        Ok(identity) => handle.report_as(identity.map(|identity| identity.agent_id)).await,
        Err(_) => Ok(()),
    }
}

/// Ends at the first signal to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    // Only the first signal matters; nothing is lost.
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
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
    audit: &Audit,
    actions: Vec<Action>,
    keep_going: bool,
    told: &mut impl FnMut(Applied),
) -> Result<bool, OfflineError> {
    let mut all = true;
    for mut action in actions {
        action.asked_by = AskedBy::File;
        let action_id = action.action_id.clone();
        let (applied, succeeded) = match handle.submit(action.clone()).await? {
            Admission::New | Admission::Repeated => match handle.wait(&action_id).await? {
                Some(view) => {
                    let succeeded = view.status == nkudo_domain::ActionStatus::Success;
                    (Applied::Ended(Box::new(view)), succeeded)
                }
                None => (Applied::Refused(Box::new(action), "it was forgotten before it ended"), false),
            },
            refused => {
                audit.refused(Asked::of(&action), refusal(refused)).await;
                (Applied::Refused(Box::new(action), refusal(refused)), false)
            }
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
        Admission::CommandsFull => {
            "too many commands are waiting on this host; ask again when some have ended"
        }
        Admission::OutputsFull => {
            "too much of what commands wrote has still to be told to the control plane; ask again when it is reachable"
        }
        Admission::DiskFull => {
            "the disk of the state directory is full but for its reserve; free some space, or delete a vm"
        }
        Admission::AuditFull => "audit storage full",
        Admission::RecordLost => {
            "interrupted, outcome unknown: this host had taken it in, and its journal has lost the record; look at what is \
             there, then use a new action_id"
        }
        Admission::AuditBroken => {
            "no audit storage: the host's audit log cannot be written; edge-agent health says why"
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
