//! Bounded queues that measure themselves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::metrics::MailboxMetrics;

/// The other end of a mailbox is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed")]
pub struct Closed;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    #[error("the mailbox is full")]
    Full,
    #[error("the mailbox is closed")]
    Closed,
}

struct Envelope<T> {
    message: T,
    sent: Instant,
}

/// How far a mailbox is, for the check whether it is stuck.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) sent: AtomicU64,
    pub(crate) taken: AtomicU64,
}

/// The end that messages are put into. Cheap to clone.
pub struct Sender<T> {
    queue: mpsc::Sender<Envelope<T>>,
    metrics: MailboxMetrics,
    progress: Arc<Progress>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            metrics: self.metrics.clone(),
            progress: Arc::clone(&self.progress),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.queue.capacity()).finish_non_exhaustive()
    }
}

impl<T> Sender<T> {
    /// Puts a message in, and waits while the mailbox is full. Dropped while it waits, it puts nothing in.
    pub async fn send(&self, message: T) -> Result<(), Closed> {
        let place = self.queue.reserve().await.map_err(|_| Closed)?;
        place.send(Envelope { message, sent: Instant::now() });
        self.sent();
        Ok(())
    }

    /// Puts a message in if there is room; one that is refused for want of room is counted.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError> {
        match self.queue.try_send(Envelope { message, sent: Instant::now() }) {
            Ok(()) => {
                self.sent();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.metrics.rejected.inc();
                Err(TrySendError::Full)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(TrySendError::Closed),
        }
    }

    fn sent(&self) {
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        self.metrics.depth.inc();
    }
}

/// The end that messages are taken from. It outlives a restart of the component that reads it.
pub struct Receiver<T> {
    queue: mpsc::Receiver<Envelope<T>>,
    metrics: MailboxMetrics,
    progress: Arc<Progress>,
    /// When the message that is being handled was taken.
    handling_since: Option<Instant>,
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// The next message; none once every sender is gone. The message taken before counts as handled when this is
    /// called again. Cancel safe.
    pub async fn recv(&mut self) -> Option<T> {
        self.handled();
        let envelope = self.queue.recv().await?;
        self.progress.taken.fetch_add(1, Ordering::Relaxed);
        self.metrics.depth.dec();
        self.metrics.wait.observe(envelope.sent.elapsed().as_secs_f64());
        self.handling_since = Some(Instant::now());
        Some(envelope.message)
    }

    fn handled(&mut self) {
        if let Some(since) = self.handling_since.take() {
            self.metrics.processed.inc();
            self.metrics.latency.observe(since.elapsed().as_secs_f64());
        }
    }
}

pub(crate) fn mailbox<T>(
    capacity: usize,
    metrics: MailboxMetrics,
) -> (Sender<T>, Receiver<T>, Arc<Progress>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let progress = Arc::new(Progress::default());
    let sender = Sender { queue: sender, metrics: metrics.clone(), progress: Arc::clone(&progress) };
    let receiver =
        Receiver { queue: receiver, metrics, progress: Arc::clone(&progress), handling_since: None };
    (sender, receiver, progress)
}
