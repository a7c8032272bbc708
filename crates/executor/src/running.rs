//! The loop: one input at a time into the tracker, its effects done in their order.

mod work;

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use nkudo_domain::{ActionId, Exit, Observation, ProviderKind, VmId, VmState};
use nkudo_host::clock;
use nkudo_journal::Disk;
use nkudo_providers::Provider;
use nkudo_supervision::Receiver;
use nkudo_tracker::{Admission, CancelAnswer, CommandReport, DeedReport, Effect, Input, Now, Tracker};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Span, field};

use crate::action_spans::ActionSpans;
use crate::boot_file::BootFile;
use crate::command::{Command, Kind};
use crate::deed;
use crate::error::ExecutorError;
use crate::executor::Executor;
use crate::journal_writer::{JournalWriter, Write};
use crate::projection;
use crate::state_file;
use crate::witness::Witnessed;

/// How long changes gather before `edge-state.json` is written.
const STATE_FILE_DELAY: Duration = Duration::from_millis(300);
/// The journal starts over once it has grown past this, in bytes.
const COMPACT_ABOVE_BYTES: u64 = 16 << 20;
/// How often VMs that are taken to run are looked at.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// Longest sleep; deadlines on the boot-time clock are looked at again at least this often.
const WAKE_MAX: Duration = Duration::from_secs(30);

/// What a task of the executor came back with.
pub(crate) enum Done {
    Deed { action_id: ActionId, attempt: u32, report: Box<DeedReport> },
    Command { action_id: ActionId, report: Box<CommandReport> },
    Exited { vm_id: VmId, incarnation: u64, exit: Exit },
    Observed { vm_id: VmId, observation: Observation },
    StateFileWritten { done: bool },
    JournalClosed,
}

/// Whether the state file has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateFileTurn {
    Clean,
    Dirty,
    /// A write is under way; `again` when something changed since it began.
    Writing {
        again: bool,
    },
}

/// An executor at work.
pub(crate) struct Running<'e, D: Disk + Clone> {
    executor: &'e Executor<D>,
    pub(crate) tracker: Tracker,
    writer: JournalWriter,
    tasks: JoinSet<Done>,
    /// What drops a deed where it stands, or ends a command.
    deeds: HashMap<ActionId, CancellationToken>,
    spans: ActionSpans,
    submits: HashMap<u64, (oneshot::Sender<Admission>, Span)>,
    cancels: HashMap<u64, oneshot::Sender<CancelAnswer>>,
    next_ticket: u64,
    journal_bytes: u64,
    state_file: StateFileTurn,
    random: RandomState,
    /// What was last told of each VM.
    told: HashMap<VmId, (VmState, Option<String>)>,
}

impl<'e, D: Disk + Clone> Running<'e, D> {
    pub(crate) fn new(
        executor: &'e Executor<D>,
        tracker: Tracker,
        writer: JournalWriter,
        tasks: JoinSet<Done>,
        journal_bytes: u64,
    ) -> Self {
        Self {
            executor,
            spans: ActionSpans::recovered(&tracker),
            tracker,
            writer,
            tasks,
            deeds: HashMap::new(),
            submits: HashMap::new(),
            cancels: HashMap::new(),
            next_ticket: 0,
            journal_bytes,
            state_file: StateFileTurn::Dirty,
            random: RandomState::new(),
            told: HashMap::new(),
        }
    }

    pub(crate) async fn work(
        &mut self,
        mailbox: &mut Receiver<Command>,
        shutdown: &CancellationToken,
    ) -> Result<(), ExecutorError> {
        let mut stop_at = None;
        let mut write_at = tokio::time::Instant::now() + STATE_FILE_DELAY;
        let mut probe = tokio::time::interval(PROBE_INTERVAL);
        probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if stop_at.is_some() && self.tracker.is_idle() {
                return Ok(());
            }
            let was_dirty = self.state_file == StateFileTurn::Dirty;
            let wake = self.next_wake();
            // Every branch is cancel safe: channels and the set keep what was not taken, sleeps hold nothing.
            tokio::select! {
                biased;
                moved = self.writer.durable.changed() => self.persisted(moved.is_ok()).await?,
                Some(done) = self.tasks.join_next() => {
                    self.done(done.map_err(|source| ExecutorError::TaskPanicked { source })?).await?;
                }
                () = shutdown.cancelled(), if stop_at.is_none() => {
                    stop_at = Some(tokio::time::Instant::now() + self.executor.config.stop_wait);
                    self.step(Input::Stop).await?;
                }
                () = tokio::time::sleep_until(stop_at.unwrap_or(write_at)), if stop_at.is_some() => {
                    let handed_on = self.tracker.performing().count();
                    tracing::warn!(actions = handed_on, "actions still run; the next start goes on with them, and ends what is left of a command");
                    return Ok(());
                }
                () = tokio::time::sleep_until(write_at), if was_dirty => self.write_state_file(),
                () = tokio::time::sleep(wake) => self.step(Input::Tick).await?,
                _ = probe.tick() => self.step(Input::Probe).await?,
                command = mailbox.recv() => match command {
                    Some(command) => self.command(command).await?,
                    None => return Ok(()),
                },
            }
            if !was_dirty && self.state_file == StateFileTurn::Dirty {
                write_at = tokio::time::Instant::now() + STATE_FILE_DELAY;
            }
            self.compact_if_large().await?;
        }
    }

    fn next_wake(&self) -> Duration {
        let wait = |at_ms: u64| Duration::from_millis(at_ms.saturating_sub(clock::boottime_ms()));
        self.tracker.next_wake().map_or(WAKE_MAX, |at_ms| wait(at_ms).min(WAKE_MAX))
    }

    async fn persisted(&mut self, writer_lives: bool) -> Result<(), ExecutorError> {
        if !writer_lives {
            return Err(self.why_the_writer_ended().await);
        }
        let durable = *self.writer.durable.borrow_and_update();
        self.step(Input::Persisted(durable)).await
    }

    async fn why_the_writer_ended(&mut self) -> ExecutorError {
        match (&mut self.writer.failed).await {
            Ok(source) => ExecutorError::WriteJournal { source },
            Err(_) => ExecutorError::JournalWriterGone,
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), ExecutorError> {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        match command.0 {
            Kind::Submit { action, answer, bringing } => {
                // What is known is answered from the record, whatever room there is.
                let is_new = self.tracker.action(&action.action_id).is_none();
                if let Some(refusal) = is_new.then(|| self.executor.refusal_of_new(&action)).flatten() {
                    admitted(answer, bringing, refusal);
                    return Ok(());
                }
                self.submits.insert(ticket, (answer, bringing));
                self.step(Input::Submit { ticket, action }).await
            }
            Kind::Cancel { action_id, answer } => {
                self.cancels.insert(ticket, answer);
                self.step(Input::Cancel { ticket, action_id }).await
            }
            Kind::Acknowledge { seq } => self.step(Input::Acknowledged { seq }).await,
            Kind::ReportAs(reporter) => self.step(Input::ReportAs(reporter)).await,
            Kind::Look(look) => {
                look(&self.tracker);
                Ok(())
            }
        }
    }

    /// Steps that are in the journal and that nobody put on record.
    pub(crate) async fn put_on_record(&mut self, missing: Vec<Witnessed>) -> Result<(), ExecutorError> {
        if missing.is_empty() { Ok(()) } else { self.write(Write::Witness(missing)).await }
    }

    async fn done(&mut self, done: Done) -> Result<(), ExecutorError> {
        match done {
            Done::Deed { action_id, attempt, report } => {
                self.deeds.remove(&action_id);
                self.step(Input::DeedEnded { action_id, attempt, report: *report }).await
            }
            Done::Command { action_id, report } => {
                self.deeds.remove(&action_id);
                self.step(Input::CommandEnded { action_id, report: *report }).await
            }
            Done::Exited { vm_id, incarnation, exit } => {
                self.step(Input::VmEnded { vm_id, incarnation, exit }).await
            }
            Done::Observed { vm_id, observation } => {
                self.step(Input::VmObserved { vm_id, observation }).await
            }
            Done::StateFileWritten { done } => {
                let again = !done || self.state_file == StateFileTurn::Writing { again: true };
                self.state_file = if again { StateFileTurn::Dirty } else { StateFileTurn::Clean };
                Ok(())
            }
            Done::JournalClosed => Ok(()),
        }
    }

    pub(crate) async fn step(&mut self, input: Input) -> Result<(), ExecutorError> {
        let now = Now {
            monotonic_ms: clock::monotonic_ms(),
            boottime_ms: clock::boottime_ms(),
            wall_ms: clock::wall_ms(),
        };
        for effect in self.tracker.step(input, now) {
            self.perform(effect).await?;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), ExecutorError> {
        match effect {
            Effect::Persist { seq, record } => {
                let span = self.spans.record(&record);
                let step = Witnessed::told_by(&record, &self.tracker).map(Box::new);
                let record =
                    serde_json::to_vec(&record).map_err(|source| ExecutorError::Encode { source })?;
                self.journal_bytes += record.len() as u64;
                self.changed();
                let write = Write::Append { seq, record, step, span };
                self.write(write).await?;
            }
            Effect::Admitted { ticket, admission } => {
                if let Some((answer, bringing)) = self.submits.remove(&ticket) {
                    admitted(answer, bringing, admission);
                }
            }
            Effect::Cancelling { ticket, answer } => {
                if let Some(asked) = self.cancels.remove(&ticket) {
                    tell(asked, answer);
                }
            }
            Effect::Perform { action_id, attempt, work } => self.start_deed(action_id, attempt, work),
            Effect::Execute { action_id, command } => self.start_command(action_id, command),
            Effect::Interrupt { action_id } => {
                if let Some(interrupt) = self.deeds.get(&action_id) {
                    interrupt.cancel();
                }
            }
            Effect::Watch { vm_id, incarnation, provider } => {
                if let Some(provider) = self.provider(provider) {
                    self.tasks.spawn(async move {
                        let exit = provider.exited(vm_id).await;
                        Done::Exited { vm_id, incarnation, exit }
                    });
                }
            }
            Effect::Observe { vm_id, provider } => {
                if let Some(provider) = self.provider(provider) {
                    self.tasks.spawn(async move {
                        let observation = deed::look(&*provider, vm_id).await;
                        Done::Observed { vm_id, observation }
                    });
                }
            }
            Effect::Started { execution } => {
                let observer = &self.executor.observer;
                let span = self.spans.execution(&execution.action_id);
                span.in_scope(|| observer.started(&self.tracker, &execution));
            }
            Effect::Ended { action, outcome, execution } => {
                let observer = &self.executor.observer;
                self.spans.ended(&action.action_id, &outcome, || {
                    observer.ended(&action, &outcome, execution.as_deref());
                });
                observer.tell_action(&self.tracker, &action.action_id);
                self.changed();
            }
            Effect::VmChanged { vm_id } => self.vm_changed(vm_id),
            Effect::VmGone { vm_id, vm_name } => {
                self.told.remove(&vm_id);
                self.executor.observer.vm_gone(&self.tracker, vm_id, &vm_name);
                self.changed();
            }
            Effect::ReporterChanged { given_up } => self.executor.observer.reporter_changed(given_up),
            Effect::Adopted { vm_id } => {
                if let Some(vm) = self.tracker.vm(vm_id) {
                    self.executor.observer.adopted(vm, self.pid(vm_id));
                }
            }
        }
        Ok(())
    }

    /// Hands something to the journal's writer. One that is gone has told why.
    async fn write(&mut self, write: Write) -> Result<(), ExecutorError> {
        match self.writer.writes.send(write).await {
            Ok(()) => Ok(()),
            Err(SendError(write)) => {
                let error = self.why_the_writer_ended().await;
                if let Some(span) = write.into_span() {
                    span.record("error", &error as &dyn std::error::Error);
                }
                Err(error)
            }
        }
    }

    fn provider(&self, kind: ProviderKind) -> Option<Arc<dyn Provider>> {
        self.executor.providers.0.get(&kind).cloned()
    }

    fn pid(&self, vm_id: VmId) -> Option<u32> {
        let vm = self.tracker.vm(vm_id)?;
        let provider = self.executor.providers.0.get(&vm.provider)?;
        provider.identity(vm_id).map(|identity| identity.pid)
    }

    /// Tells of a VM's state when it is another one than was told last.
    fn vm_changed(&mut self, vm_id: VmId) {
        self.changed();
        let Some(vm) = self.tracker.vm(vm_id) else { return };
        let now = (vm.state, vm.reason.clone());
        if self.told.get(&vm_id) != Some(&now) {
            self.executor.observer.vm_changed(&self.tracker, vm, self.pid(vm_id));
            self.told.insert(vm_id, now);
        }
    }

    /// Has the metrics show a VM that is as it was before the program started.
    pub(crate) fn show_vm(&mut self, vm_id: VmId) {
        if let Some(vm) = self.tracker.vm(vm_id) {
            self.executor.observer.show_vm(vm);
            self.told.insert(vm_id, (vm.state, vm.reason.clone()));
        }
    }

    fn changed(&mut self) {
        self.state_file = match self.state_file {
            StateFileTurn::Clean | StateFileTurn::Dirty => StateFileTurn::Dirty,
            StateFileTurn::Writing { .. } => StateFileTurn::Writing { again: true },
        };
    }

    fn state_file_content(&self) -> nkudo_api::view::StateFile {
        projection::state_file(&self.tracker, |vm_id, _| self.pid(vm_id), clock::wall_ms())
    }

    fn write_state_file(&mut self) {
        self.state_file = StateFileTurn::Writing { again: false };
        let content = self.state_file_content();
        let path = self.executor.config.state_dir.join(state_file::FILE_NAME);
        let (disk, operations) = (self.executor.disk.clone(), self.executor.observer.operations.clone());
        self.tasks.spawn_blocking(move || Done::StateFileWritten {
            done: state_file::write(&disk, &path, &content, &operations),
        });
    }

    /// Lets go of everything: deeds are dropped where they stand, and what is on its way to the disk arrives before
    /// this returns, so that nothing writes to the directory any more.
    pub(crate) async fn end(mut self) {
        let last = self.state_file_content();
        let path = self.executor.config.state_dir.join(state_file::FILE_NAME);
        drop(self.writer);
        // Threads that write cannot be aborted; they are waited for.
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        self.executor.commands.settle().await;
        state_file::write(&self.executor.disk, &path, &last, &self.executor.observer.operations);
    }

    /// Once all that was written so far is durable, nobody has to be told of lost records again.
    pub(crate) async fn loss_is_on_record(&mut self, noted: BootFile) -> Result<(), ExecutorError> {
        self.write(Write::LossIsOnRecord(noted)).await
    }

    /// Starts the journal over with what is still needed, in a moment when nothing but a command is under way.
    async fn compact_if_large(&mut self) -> Result<(), ExecutorError> {
        if self.journal_bytes < COMPACT_ABOVE_BYTES || !self.tracker.can_start_over() {
            return Ok(());
        }
        let encode = |record| serde_json::to_vec(&record).map_err(|source| ExecutorError::Encode { source });
        let records: Vec<Vec<u8>> =
            self.tracker.snapshot().into_iter().map(encode).collect::<Result<_, _>>()?;
        let kept: u64 = records.iter().map(|record| record.len() as u64).sum();
        // What cannot be let go of counts against the next time, or a large history would be written again and again.
        self.journal_bytes = kept.min(COMPACT_ABOVE_BYTES / 2);
        self.write(Write::Compact(records)).await
    }
}

/// Answers whoever asked for an action; the span that brought it has ended by then.
fn admitted(answer: oneshot::Sender<Admission>, bringing: Span, admission: Admission) {
    bringing.record("admission", field::debug(admission));
    drop(bringing);
    tell(answer, admission);
}

/// Answers whoever asked. One who has gone does not need the answer; what was asked for stays.
fn tell<T: std::fmt::Debug>(answer: oneshot::Sender<T>, value: T) {
    if let Err(value) = answer.send(value) {
        tracing::debug!(?value, "nobody waits for this answer any more");
    }
}
