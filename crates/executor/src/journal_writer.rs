//! The journal's own thread: appends what has come, one fsync for all of it, then tells how far it is durable.

use std::path::PathBuf;
use std::sync::Arc;

use nkudo_catalogue::JournalMetrics;
use nkudo_journal::{Disk, Journal, JournalError};
use nkudo_supervision::{Operation, Operations};
use nkudo_tracker::Seq;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::Span;

use crate::boot_file::BootFile;
use crate::reserve::Reserve;
use crate::witness::{Witness, Witnessed};

/// Most records of one fsync.
const GROUP_MAX: usize = 512;
/// Records on their way to the journal.
const QUEUE_MAX: usize = 1_024;

/// Something to be made durable.
pub(crate) enum Write {
    Append {
        seq: Seq,
        record: Vec<u8>,
        /// What it tells of an action.
        step: Option<Box<Witnessed>>,
        /// Ends when the record is durable.
        span: Span,
    },
    /// Steps that are in the journal and not on record.
    Witness(Vec<Witnessed>),
    /// Starts the journal over with these records, which hold all that was appended before.
    Compact(Vec<Vec<u8>>),
    /// What was appended before says all there is to say of what was lost.
    LossIsOnRecord(BootFile),
}

impl Write {
    /// What tells of its way to the journal, where somebody wants to know.
    pub(crate) fn into_span(self) -> Option<Span> {
        match self {
            Self::Append { span, .. } => (!span.is_disabled()).then_some(span),
            Self::Witness(_) | Self::Compact(_) | Self::LossIsOnRecord(_) => None,
        }
    }
}

/// The loop's ends of what it shares with the writer. The writer never waits for the loop: how far it is, is a value
/// and no queue.
pub(crate) struct JournalWriter {
    pub(crate) writes: mpsc::Sender<Write>,
    /// How far the journal is durable. Closed when the writer ends.
    pub(crate) durable: watch::Receiver<Seq>,
    /// Why the writer ended, when it failed.
    pub(crate) failed: oneshot::Receiver<JournalError>,
}

/// A journal, and all that its writer needs.
pub(crate) struct Target<D: Disk> {
    pub(crate) journal: Journal<D>,
    pub(crate) reserve: Reserve<D>,
    pub(crate) disk: D,
    pub(crate) state_dir: PathBuf,
    pub(crate) metrics: JournalMetrics,
    pub(crate) operations: Operations,
    pub(crate) witness: Arc<dyn Witness>,
}

/// Starts the writer on a thread of its own in `tasks`. It ends when its queue is closed and empty.
pub(crate) fn start<D: Disk, T: Send + 'static>(
    tasks: &mut tokio::task::JoinSet<T>,
    mut target: Target<D>,
    done: T,
) -> JournalWriter {
    let (writes, queue) = mpsc::channel(QUEUE_MAX);
    let (told, durable) = watch::channel(0);
    let (failure, failed) = oneshot::channel();
    tasks.spawn_blocking(move || {
        if let Err(error) = target.write_all(queue, &told) {
            // A loop that is gone has no use for the reason; the log has it.
            if let Err(error) = failure.send(error) {
                tracing::error!(error = &error as &dyn std::error::Error, "the journal cannot be written");
            }
        }
        done
    });
    JournalWriter { writes, durable, failed }
}

impl<D: Disk> Target<D> {
    fn write_all(
        &mut self,
        mut queue: mpsc::Receiver<Write>,
        told: &watch::Sender<Seq>,
    ) -> Result<(), JournalError> {
        let mut durable: Seq = 0;
        let mut spans = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let written = self.write_group(first, &mut queue, durable, &mut spans);
            if let Err(error) = &written {
                // What waits behind it will not be durable either.
                queue.close();
                while let Ok(write) = queue.try_recv() {
                    spans.extend(write.into_span());
                }
                spans.iter().for_each(|span: &Span| {
                    span.record("error", error as &dyn std::error::Error);
                });
            }
            // They end before anybody acts on what is durable.
            spans.clear();
            durable = written?;
            told.send_replace(durable);
            self.reserve.take_back();
        }
        Ok(())
    }

    /// Appends `first` and whatever else waits, and makes it durable, while what it tells of actions is put on record.
    fn write_group(
        &mut self,
        first: Write,
        queue: &mut mpsc::Receiver<Write>,
        durable: Seq,
        spans: &mut Vec<Span>,
    ) -> Result<Seq, JournalError> {
        let mut last = durable;
        let mut next = Some(first);
        let mut steps = Vec::new();
        let (mut taken, mut written) = (0, 0);
        let mut loss_is_on_record = None;
        let began = Instant::now();
        while let Some(write) = next {
            match write {
                Write::Append { seq, record, step, span } => {
                    if !span.is_disabled() {
                        spans.push(span);
                    }
                    if let Err(error) = self.append(&record) {
                        self.witness_anyway(steps, queue, spans);
                        return Err(error);
                    }
                    written += record.len() as u64;
                    steps.extend(step.map(|step| *step));
                    last = seq;
                }
                Write::Witness(missing) => steps.extend(missing),
                Write::LossIsOnRecord(noted) => loss_is_on_record = Some(noted),
                // The journal is as it was when this fails; an append that fails as well tells.
                Write::Compact(records) => {
                    if let Err(error) = self.journal.compact(records) {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the journal could not start over"
                        );
                    }
                }
            }
            taken += 1;
            next = if taken < GROUP_MAX { queue.try_recv().ok() } else { None };
        }
        self.operations.ended(Operation::FileWrite, written, began.elapsed(), true);
        let on_record = (!steps.is_empty()).then(|| self.witness.witness(steps));
        self.sync()?;
        if let Some(wait) = on_record {
            wait();
        }
        if let Some(noted) = loss_is_on_record {
            // The judgement goes last: without it the note would be judged anew.
            let on_record = self.journal.loss_is_on_record();
            if let Err(error) = on_record.and_then(|()| noted.write(&self.disk, &self.state_dir)) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the loss of records will be told once more"
                );
            }
        }
        Ok(last)
    }

    /// What was appended may be there after all, and the next executor of this program does not compare again.
    fn witness_anyway(
        &self,
        mut steps: Vec<Witnessed>,
        queue: &mut mpsc::Receiver<Write>,
        spans: &mut Vec<Span>,
    ) {
        while let Ok(write) = queue.try_recv() {
            match write {
                Write::Witness(missing) => steps.extend(missing),
                other => spans.extend(other.into_span()),
            }
        }
        if !steps.is_empty() {
            self.witness.witness(steps)();
        }
    }

    fn append(&mut self, record: &[u8]) -> Result<(), JournalError> {
        match self.journal.append(record) {
            Err(full) if self.reserve.give(&full) => self.journal.append(record),
            appended => appended,
        }?;
        self.metrics.appends.inc();
        self.metrics.appended_bytes.inc_by(record.len() as u64);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let began = Instant::now();
        let synced = self.journal.sync();
        self.operations.ended(Operation::FileSync, 0, began.elapsed(), synced.is_ok());
        if let Err(error) = synced {
            // The next opening finds the room.
            self.reserve.give(&error);
            return Err(error);
        }
        self.metrics.syncs.inc();
        self.metrics.sync_seconds.observe(began.elapsed().as_secs_f64());
        Ok(())
    }
}
