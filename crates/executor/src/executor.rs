//! What an executor is made of, and how it comes to be running.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Action, ActionType, ProviderKind, VmId};
use nkudo_host::{clock, disk};
use nkudo_journal::Disk;
use nkudo_providers::Provider;
use nkudo_supervision::{Operations, Receiver, Sender};
use nkudo_tracker::{Admission, Config, Input, Lost, Tracker};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::boot_file::BootFile;
use crate::command::Command;
use crate::error::ExecutorError;
use crate::handle::Handle;
use crate::host_command::Commands;
use crate::journal_writer::{self, Target};
use crate::look_over::look_over;
use crate::observer::Observer;
use crate::recovery::Recovered;
use crate::reserve::Reserve;
use crate::running::{Done, Running};
use crate::state_file;
use crate::witness::{Nobody, Room, Witness, Witnessed};

/// Events that a slow listener may be behind.
const EVENTS_MAX: usize = 256;

/// What can run VMs here.
#[derive(Debug, Clone, Default)]
pub struct Providers(pub BTreeMap<ProviderKind, Arc<dyn Provider>>);

/// What an executor needs to know.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    pub state_dir: PathBuf,
    /// Bounds and facts for the tracker; its `boot` is filled in.
    pub tracker: Config,
    /// How long a stop waits for running deeds before it hands them to the next start.
    pub stop_wait: Duration,
    /// Below this much free space on the state directory's disk no action is admitted, in bytes.
    pub free_bytes_min: u64,
}

/// The one executor of a state directory.
#[derive(Debug)]
pub struct Executor<D: Disk> {
    pub(crate) config: ExecutorConfig,
    pub(crate) providers: Providers,
    pub(crate) disk: D,
    pub(crate) observer: Observer,
    pub(crate) commands: Commands,
}

impl<D: Disk + Clone> Executor<D> {
    /// An executor that will run on this state directory, and the handle to it. `mailbox` is the sending end of the one that [`Executor::run`] is given.
    pub fn new(
        config: ExecutorConfig,
        providers: Providers,
        disk: D,
        metrics: AgentMetrics,
        operations: Operations,
        mailbox: Sender<Command>,
    ) -> (Self, Handle) {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let handle = Handle { commands: mailbox, events: events.clone() };
        let commands = Commands::new(config.state_dir.clone(), config.free_bytes_min, operations.clone());
        let observer = Observer { metrics, operations, events, witness: Arc::new(Nobody) };
        (Self { config, providers, disk, observer, commands }, handle)
    }

    /// The same with somebody who puts on record what becomes of actions.
    #[must_use]
    pub fn witnessed_by(mut self, witness: Arc<dyn Witness>) -> Self {
        self.observer.witness = witness;
        self
    }

    /// Recovers, calls `ready`, and works until `shutdown`. Then it admits nothing more, gives running deeds
    /// [`ExecutorConfig::stop_wait`] to end, and leaves what did not end to the next start.
    pub async fn run(
        &self,
        mailbox: &mut Receiver<Command>,
        shutdown: CancellationToken,
        ready: impl FnOnce() + Send,
    ) -> Result<(), ExecutorError> {
        let mut running = self.recover().await?;
        ready();
        let ended = running.work(mailbox, &shutdown).await;
        running.end().await;
        ended
    }

    /// As [`Commands::end_left_over`]; a failure is tried again before the next command.
    async fn end_left_over(&self) -> Result<(), ExecutorError> {
        let commands = self.commands.clone();
        let ended = tokio::task::spawn_blocking(move || commands.end_left_over()).await;
        if let Err(error) = ended.map_err(|source| ExecutorError::TaskPanicked { source })? {
            tracing::error!(error, "no command is started until that succeeds");
        }
        Ok(())
    }

    /// Why an action that the tracker does not know is not taken in. What was begun is never begun again, also where its
    /// records are lost.
    pub(crate) fn refusal_of_new(&self, action: &Action) -> Option<Admission> {
        let is_lost = self.observer.witness.outlived(&action.action_id);
        if is_lost { Some(Admission::RecordLost) } else { self.no_room_for(action) }
    }

    /// A delete frees space. A disk that cannot be asked is not called full; the journal will tell.
    fn no_room_for(&self, action: &Action) -> Option<Admission> {
        let frees_space = action.request.action_type() == ActionType::Delete;
        let config = &self.config;
        let is_full = || {
            disk::space(&config.state_dir).is_ok_and(|space| space.available_bytes < config.free_bytes_min)
        };
        match self.observer.witness.room() {
            Room::Broken => Some(Admission::AuditBroken),
            Room::None => Some(Admission::AuditFull),
            Room::ForDeletes if !frees_space => Some(Admission::AuditFull),
            Room::Free | Room::ForDeletes => (!frees_space && is_full()).then_some(Admission::DiskFull),
        }
    }

    async fn recover(&self) -> Result<Running<'_, D>, ExecutorError> {
        state_file::set_aside_if_broken(&self.config.state_dir);
        let state_dir = &self.config.state_dir;
        let metrics = self.observer.metrics.journal.clone();
        let reserve =
            Reserve::open(self.disk.clone(), state_dir, self.config.free_bytes_min, metrics.clone());
        let mut reserve = reserve.map_err(|source| ExecutorError::Reserve { source })?;
        let boot_id = clock::boot_id().map_err(|source| ExecutorError::BootId { source })?;
        reserve.take_back();
        let operations = self.observer.operations.clone();
        let mut recovered =
            Recovered::read(&self.disk, state_dir, &boot_id, &operations, |full| reserve.give(full));
        if let Err(ExecutorError::OpenJournal { source, .. }) = &recovered
            && reserve.give(source)
        {
            // What is damaged could not be set aside without room.
            recovered = Recovered::read(&self.disk, state_dir, &boot_id, &operations, |_| false);
        }
        let Recovered { journal, records, lost } = recovered?;
        let tracker_config = Config {
            boot: stable_hash(&boot_id),
            outbox_id: uuid::Uuid::now_v7().to_string(),
            lost,
            ..self.config.tracker.clone()
        };
        let journal_bytes = journal.bytes();
        let tracker = Tracker::replay(tracker_config, records);
        let mut tasks = JoinSet::new();
        let witness = Arc::clone(&self.observer.witness);
        let (disk, state_dir) = (self.disk.clone(), state_dir.clone());
        let target = Target { journal, reserve, disk, state_dir, metrics, operations, witness };
        let writer = journal_writer::start(&mut tasks, target, Done::JournalClosed);
        let missing = self.observer.witness.missing(&mut Witnessed::all(&tracker));
        self.end_left_over().await?;
        let found = look_over(&tracker, &self.providers).await?;
        let mut running = Running::new(self, tracker, writer, tasks, journal_bytes);
        running.put_on_record(missing).await?;
        // What the journal says is not news; what the look at the host changes is told.
        let all: Vec<VmId> = running.tracker.vms().map(|(vm_id, _)| vm_id).collect();
        all.into_iter().for_each(|vm_id| running.show_vm(vm_id));
        running.step(Input::Recovered { found }).await?;
        if lost != Lost::Nothing {
            // The records of that step are the tracker's own note of the loss.
            running.loss_is_on_record(BootFile { boot_id, lost: Lost::Nothing }).await?;
        }
        self.observer.look_again();
        self.observer.count_vms(&running.tracker);
        Ok(running)
    }
}

/// FNV-1a, 64 bits: the same in every run of the program.
fn stable_hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
