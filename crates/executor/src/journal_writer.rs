//! The journal's own thread: appends what has come, one fsync for all of it, then tells how far it is durable.

use nkudo_catalogue::JournalMetrics;
use nkudo_journal::{Disk, Journal, JournalError};
use nkudo_supervision::{Operation, Operations};
use nkudo_tracker::Seq;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::Span;

/// Most records of one fsync.
const GROUP_MAX: usize = 512;
/// Records on their way to the journal.
const QUEUE_MAX: usize = 1_024;

/// Something to be made durable.
pub(crate) enum Write {
    Append {
        seq: Seq,
        record: Vec<u8>,
        /// Ends when the record is durable.
        span: Span,
    },
    /// Starts the journal over with these records, which hold all that was appended before.
    Compact(Vec<Vec<u8>>),
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

/// Starts the writer on a thread of its own in `tasks`. It ends when its queue is closed and empty.
pub(crate) fn start<D: Disk, T: Send + 'static>(
    tasks: &mut tokio::task::JoinSet<T>,
    journal: Journal<D>,
    metrics: JournalMetrics,
    operations: Operations,
    done: T,
) -> JournalWriter {
    let (writes, queue) = mpsc::channel(QUEUE_MAX);
    let (told, durable) = watch::channel(0);
    let (failure, failed) = oneshot::channel();
    tasks.spawn_blocking(move || {
        if let Err(error) = write_all(journal, queue, &told, &metrics, &operations) {
            // A loop that is gone has no use for the reason; the log has it.
            if let Err(error) = failure.send(error) {
                tracing::error!(error = &error as &dyn std::error::Error, "the journal cannot be written");
            }
        }
        done
    });
    JournalWriter { writes, durable, failed }
}

fn write_all<D: Disk>(
    mut journal: Journal<D>,
    mut queue: mpsc::Receiver<Write>,
    told: &watch::Sender<Seq>,
    metrics: &JournalMetrics,
    operations: &Operations,
) -> Result<(), JournalError> {
    let mut durable: Seq = 0;
    let mut spans = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        let written = write_group(&mut journal, first, &mut queue, durable, &mut spans, metrics, operations);
        if let Err(error) = &written {
            spans.iter().for_each(|span: &Span| {
                span.record("error", error as &dyn std::error::Error);
            });
        }
        // They end before anybody acts on what is durable.
        spans.clear();
        durable = written?;
        told.send_replace(durable);
    }
    Ok(())
}

/// Appends `first` and whatever else waits, and makes it durable.
fn write_group<D: Disk>(
    journal: &mut Journal<D>,
    first: Write,
    queue: &mut mpsc::Receiver<Write>,
    durable: Seq,
    spans: &mut Vec<Span>,
    metrics: &JournalMetrics,
    operations: &Operations,
) -> Result<Seq, JournalError> {
    let mut last = durable;
    let mut next = Some(first);
    let (mut taken, mut written) = (0, 0);
    let began = Instant::now();
    while let Some(write) = next {
        match write {
            Write::Append { seq, record, span } => {
                if !span.is_disabled() {
                    spans.push(span);
                }
                journal.append(&record)?;
                metrics.appends.inc();
                metrics.appended_bytes.inc_by(record.len() as u64);
                written += record.len() as u64;
                last = seq;
            }
            // The journal is as it was when this fails; an append that fails as well tells.
            Write::Compact(records) => {
                if let Err(error) = journal.compact(records) {
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
    operations.ended(Operation::FileWrite, written, began.elapsed(), true);
    let began = Instant::now();
    let synced = journal.sync();
    operations.ended(Operation::FileSync, 0, began.elapsed(), synced.is_ok());
    synced?;
    metrics.syncs.inc();
    metrics.sync_seconds.observe(began.elapsed().as_secs_f64());
    Ok(last)
}
