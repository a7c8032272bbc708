//! The thread that owns the log, and its handle.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use nkudo_audit::{Entry, Head};
use nkudo_host::clock;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::book::Book;
use crate::error::ScribeError;
use crate::metrics::ScribeMetrics;
use crate::owner::OwnersDisk;
use crate::pending::Pending;
use crate::place::{Options, Place};
use crate::shown::{Room, Shown};

/// Batches of entries on their way to the thread; more make their senders wait.
const QUEUE_MAX: usize = 1_024;
/// Batches that one sync makes durable, at most.
const GROUP_MAX: usize = 512;
/// How often notes, age and a log that cannot be written are looked after.
const TICK: Duration = Duration::from_secs(1);

/// The thread that writes is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the audit log is not written any more: the program ends, or its thread failed")]
pub(crate) struct Gone;

/// What became of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// They are in the log, and durable.
    OnDisk,
    /// They wait until the log can be written: as notes or in memory, as they were given. Or the program ends and they were
    /// not taken any more.
    Not,
}

enum Ask {
    Write { entries: Vec<Entry<'static>>, told_once: bool, kept: oneshot::Sender<Kept> },
    Close(oneshot::Sender<()>),
}

/// A way to the log. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Scribe(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<Ask>,
    shown: Arc<Shown>,
    place: Place,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Entries on their way.
#[derive(Debug)]
pub struct Written(Option<oneshot::Receiver<Kept>>);

impl Written {
    /// Waits until they are durable, or it is known that they are not.
    pub async fn kept(self) -> Kept {
        match self.0 {
            Some(kept) => kept.await.unwrap_or(Kept::Not),
            None => Kept::Not,
        }
    }

    /// As [`Written::kept`], for a thread that may block.
    pub fn kept_blocking(self) -> Kept {
        self.0.and_then(|kept| kept.blocking_recv().ok()).unwrap_or(Kept::Not)
    }
}

impl Scribe {
    /// Opens the log and has a thread write it. `wall_ms` is the Unix time in milliseconds. A log that cannot be opened is
    /// told by [`Scribe::trouble`] and tried again.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(
        place: Place,
        options: Options,
        metrics: ScribeMetrics,
        wall_ms: fn() -> i64,
    ) -> Result<Scribe, ScribeError> {
        let (queue, asked) = mpsc::channel(QUEUE_MAX);
        let mut book = Book::new(OwnersDisk::within(place.dir()), place.clone(), options, metrics);
        let shown = book.shown();
        book.tick(now(wall_ms), uptime());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(ScribeError::Thread)?;
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || runtime.block_on(serve(book, asked, wall_ms)));
        let thread = Mutex::new(Some(thread.map_err(ScribeError::Thread)?));
        Ok(Scribe(Arc::new(Inner { queue, shown, place, thread })))
    }

    /// Writes entries and answers once it is known what became of them. Where the log cannot be written they are left as notes,
    /// so that they are not lost when the program is killed; on a full disk they wait in memory.
    pub async fn write(&self, entries: Vec<Entry<'static>>) -> Kept {
        self.send(entries, true).await.kept().await
    }

    /// Takes entries that the program can tell again after a crash: where the log cannot be written they wait in memory. What
    /// becomes of them is awaited apart. Waits while too many are on their way.
    pub async fn hand_over(&self, entries: Vec<Entry<'static>>) -> Written {
        self.send(entries, false).await
    }

    async fn send(&self, entries: Vec<Entry<'static>>, told_once: bool) -> Written {
        let (kept, written) = oneshot::channel();
        let sent = self.0.queue.send(Ask::Write { entries, told_once, kept }).await;
        Written(sent.is_ok().then_some(written))
    }

    /// As [`Scribe::hand_over`], for a thread that may block.
    pub fn hand_over_blocking(&self, entries: Vec<Entry<'static>>) -> Written {
        let (kept, written) = oneshot::channel();
        let sent = self.0.queue.blocking_send(Ask::Write { entries, told_once: false, kept });
        Written(sent.is_ok().then_some(written))
    }

    /// Whether something new may be begun.
    pub fn room(&self) -> Room {
        self.0.shown.with().room
    }

    /// Something was not let in for want of room: how often that was is written once there is some.
    pub fn count_refused(&self) {
        self.0.shown.with().refused += 1;
    }

    /// Writes the entry of a refusal, or counts it while there is not room for everything: refusals come at will.
    pub async fn write_refusal(&self, entry: Entry<'static>) {
        if self.room() == Room::Free {
            self.write(vec![entry]).await;
        } else {
            self.count_refused();
        }
    }

    /// Why there is not room for everything, or what others left does not reach the log.
    pub fn trouble(&self) -> Option<String> {
        self.0.shown.with().trouble.clone()
    }

    /// How far the log is durable. None before it could be opened.
    pub fn head(&self) -> Option<Head> {
        self.0.shown.with().head
    }

    /// What to tell whoever keeps heads elsewhere: where the log ended when it was opened until [`Scribe::head_told`] is
    /// called, then how far it is. A log that was cut while nobody wrote it would else have grown past the cut unseen.
    pub fn head_to_tell(&self) -> Option<Head> {
        let standing = self.0.shown.with();
        standing.opened.or(standing.head)
    }

    /// This head is known elsewhere.
    pub fn head_told(&self, head: Head) {
        self.0.shown.with().opened.take_if(|opened| *opened == head);
    }

    /// Where the log stands.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Whether the thread is there.
    pub fn is_alive(&self) -> bool {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Has everything that was taken be written and signed, and lets go of the log. Nothing is taken after that.
    pub async fn close(&self) {
        let (closed, heard) = oneshot::channel();
        if self.0.queue.send(Ask::Close(closed)).await.is_ok() {
            // A thread that failed has nothing to say.
            drop(heard.await);
        }
    }
}

impl fmt::Debug for Scribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scribe").field("standing", &*self.0.shown.with()).finish_non_exhaustive()
    }
}

fn now(wall_ms: fn() -> i64) -> Timestamp {
    Timestamp::from_millisecond(wall_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn uptime() -> Duration {
    Duration::from_millis(clock::monotonic_ms())
}

/// The thread's work, until the log is closed or everybody is gone.
async fn serve(mut book: Book<OwnersDisk>, mut asked: mpsc::Receiver<Ask>, wall_ms: fn() -> i64) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // Both are cancel safe: what is not taken stays in the queue.
        let first = tokio::select! {
            first = asked.recv() => first,
            _ = ticks.tick() => {
                book.tick(now(wall_ms), uptime());
                continue;
            }
        };
        let Some(first) = first else { break };
        let closed = write_group(&mut book, first, &mut asked, now(wall_ms));
        if let Some(closed) = closed {
            // What came meanwhile is answered by the end of the queue.
            asked.close();
            while let Ok(rest) = asked.try_recv() {
                write_group(&mut book, rest, &mut asked, now(wall_ms));
            }
            book.close(now(wall_ms));
            tell(closed, ());
            return;
        }
    }
    book.close(now(wall_ms));
}

/// Writes what waits with one sync. Answers who asked for the end, if anybody did.
fn write_group(
    book: &mut Book<OwnersDisk>,
    first: Ask,
    asked: &mut mpsc::Receiver<Ask>,
    now: Timestamp,
) -> Option<oneshot::Sender<()>> {
    let (mut waiting, mut closed) = (Vec::new(), None);
    let mut next = Some(first);
    let mut all = Vec::new();
    while let Some(ask) = next {
        match ask {
            Ask::Write { entries, told_once, kept } => {
                all.extend(entries.into_iter().map(|entry| Pending { entry, told_once }));
                waiting.push(kept);
            }
            Ask::Close(asker) => closed = Some(asker),
        }
        let goes_on = closed.is_none() && waiting.len() < GROUP_MAX;
        next = if goes_on { asked.try_recv().ok() } else { None };
    }
    let kept = book.take(all, now);
    for asker in waiting {
        tell(asker, kept);
    }
    closed
}

/// Who has gone does not wait for the answer.
fn tell<T>(asker: oneshot::Sender<T>, answer: T) {
    if asker.send(answer).is_err() {
        tracing::trace!("nobody waits for what became of entries");
    }
}
