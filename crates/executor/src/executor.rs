//! What an executor is made of, and how it comes to be running.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{ProviderKind, VmId};
use nkudo_host::clock;
use nkudo_journal::{Disk, Journal, Options};
use nkudo_providers::Provider;
use nkudo_supervision::{Operation, Operations, Receiver, Sender};
use nkudo_tracker::{Config, Input, Tracker};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::error::ExecutorError;
use crate::handle::Handle;
use crate::journal_writer;
use crate::look_over::look_over;
use crate::observer::Observer;
use crate::recovery::Decoding;
use crate::running::{Done, Running};
use crate::state_file;

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
}

impl<D: Disk + Clone> Executor<D> {
    /// An executor that will run on this state directory, and the handle to it. `commands` is the sending end of the
    /// mailbox that [`Executor::run`] is given.
    pub fn new(
        config: ExecutorConfig,
        providers: Providers,
        disk: D,
        metrics: AgentMetrics,
        operations: Operations,
        commands: Sender<Command>,
    ) -> (Self, Handle) {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let handle = Handle { commands, events: events.clone() };
        (Self { config, providers, disk, observer: Observer { metrics, operations, events } }, handle)
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

    async fn recover(&self) -> Result<Running<'_, D>, ExecutorError> {
        let dir = self.config.state_dir.join("journal");
        state_file::set_aside_if_broken(&self.config.state_dir);
        let began = Instant::now();
        let mut decoding = Decoding::of(&dir);
        let take = |seq, bytes: &[u8]| decoding.take(seq, bytes);
        let opened = Journal::open_each(self.disk.clone(), &dir, Options::default(), take);
        let read = opened.as_ref().map_or(0, |(journal, _)| journal.bytes());
        self.observer.operations.ended(Operation::FileRead, read, began.elapsed(), opened.is_ok());
        let (journal, discarded) =
            opened.map_err(|source| ExecutorError::OpenJournal { dir: dir.clone(), source })?;
        let records_lost = discarded.is_some();
        let records = decoding.end(discarded.as_ref());
        if records_lost || records.as_ref().is_ok_and(Vec::is_empty) {
            state_file::keep_before_loss(&self.config.state_dir);
        }
        let records = records?;
        let boot_id = clock::boot_id().map_err(|source| ExecutorError::BootId { source })?;
        let tracker_config = Config {
            boot: stable_hash(&boot_id),
            outbox_id: uuid::Uuid::now_v7().to_string(),
            records_lost,
            ..self.config.tracker.clone()
        };
        let journal_bytes = journal.bytes();
        let tracker = Tracker::replay(tracker_config, records);
        let mut tasks = JoinSet::new();
        let writer = journal_writer::start(
            &mut tasks,
            journal,
            self.observer.metrics.journal.clone(),
            self.observer.operations.clone(),
            Done::JournalClosed,
        );
        let found = look_over(&tracker, &self.providers).await?;
        let mut running = Running::new(self, tracker, writer, tasks, journal_bytes);
        // What the journal says is not news; what the look at the host changes is told.
        let all: Vec<VmId> = running.tracker.vms().map(|(vm_id, _)| vm_id).collect();
        all.into_iter().for_each(|vm_id| running.show_vm(vm_id));
        running.step(Input::Recovered { found }).await?;
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
