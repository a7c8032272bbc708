//! Bounded queues that measure themselves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nkudo_metrics_core::Counter;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Span;

use crate::metrics::MailboxMetrics;
use crate::traffic::Traffic;

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
    /// From the sending to the end of the handling; of the sender's trace.
    span: Span,
}

/// How far a mailbox is, for the check whether it is stuck.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) sent: AtomicU64,
    pub(crate) taken: AtomicU64,
    /// Whether the message that was taken last is being handled.
    in_hand: AtomicBool,
    abandoned: Counter,
    traffic: Arc<Traffic>,
}

impl Progress {
    /// The component failed; what it had in hand is abandoned.
    pub(crate) fn interrupted(&self) {
        if self.in_hand.swap(false, Ordering::Relaxed) {
            self.traffic.in_hand(false);
            self.abandoned.inc();
        }
    }
}

/// The end that messages are put into. Cheap to clone.
pub struct Sender<T> {
    /// Whose mailbox it is.
    to: &'static str,
    queue: mpsc::Sender<Envelope<T>>,
    metrics: MailboxMetrics,
    progress: Arc<Progress>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.progress.traffic.sender_came();
        Self {
            to: self.to,
            queue: self.queue.clone(),
            metrics: self.metrics.clone(),
            progress: Arc::clone(&self.progress),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.progress.traffic.sender_went();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.queue.capacity()).finish_non_exhaustive()
    }
}

impl<T> Sender<T> {
    const BYTES: u64 = size_of::<Envelope<T>>() as u64;

    /// Puts a message in, and waits while the mailbox is full. Dropped while it waits, it puts nothing in.
    pub async fn send(&self, message: T) -> Result<(), Closed> {
        let place = match self.queue.try_reserve() {
            Ok(place) => place,
            Err(mpsc::error::TrySendError::Full(())) => {
                let since = Instant::now();
                let place = self.queue.reserve().await;
                self.progress.traffic.waited(since.elapsed());
                place.map_err(|_| self.closed())?
            }
            Err(mpsc::error::TrySendError::Closed(())) => return Err(self.closed()),
        };
        self.put(place, message);
        Ok(())
    }

    /// Puts a message in if there is room; one that is refused for want of room is counted.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError> {
        match self.queue.try_reserve() {
            Ok(place) => {
                self.put(place, message);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                self.metrics.rejected.inc();
                Err(TrySendError::Full)
            }
            Err(mpsc::error::TrySendError::Closed(())) => {
                self.closed();
                Err(TrySendError::Closed)
            }
        }
    }

    fn closed(&self) -> Closed {
        self.progress.traffic.after_close();
        Closed
    }

    /// Counts first, so that the depth is never below zero.
    fn put(&self, place: mpsc::Permit<'_, Envelope<T>>, message: T) {
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        self.metrics.depth.inc();
        let now = Instant::now();
        self.progress.traffic.sent(now, Self::BYTES);
        let span = nkudo_spans::step!("message", to = self.to);
        place.send(Envelope { message, sent: now, span });
    }
}

/// The message that is being handled.
struct Handling {
    sent: Instant,
    taken: Instant,
    /// Ends with the handling.
    _span: Span,
}

/// The end that messages are taken from. It outlives a restart of the component that reads it.
pub struct Receiver<T> {
    queue: mpsc::Receiver<Envelope<T>>,
    metrics: MailboxMetrics,
    progress: Arc<Progress>,
    handling: Option<Handling>,
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
        self.taken();
        let now = Instant::now();
        self.metrics.wait.observe(now.duration_since(envelope.sent).as_secs_f64());
        self.handling = Some(Handling { sent: envelope.sent, taken: now, _span: envelope.span });
        self.progress.in_hand.store(true, Ordering::Relaxed);
        self.progress.traffic.in_hand(true);
        Some(envelope.message)
    }

    /// The message that was taken last is handled, for a component that does something else before it takes the next.
    /// One that was in hand when the component failed is not, and was counted as abandoned.
    pub fn handled(&mut self) {
        let handling = self.handling.take();
        let in_hand = self.progress.in_hand.swap(false, Ordering::Relaxed);
        if let (Some(Handling { sent, taken, .. }), true) = (handling, in_hand) {
            let now = Instant::now();
            self.progress.traffic.in_hand(false);
            self.metrics.processed.inc();
            self.metrics.latency.observe(now.duration_since(taken).as_secs_f64());
            self.metrics.routing.observe(now.duration_since(sent).as_secs_f64());
        }
    }

    fn taken(&self) {
        self.progress.taken.fetch_add(1, Ordering::Relaxed);
        self.progress.traffic.left(Sender::<T>::BYTES);
        self.metrics.depth.dec();
    }
}

/// What still waits goes with the mailbox, counted.
impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.queue.close();
        while self.queue.try_recv().is_ok() {
            self.taken();
            self.metrics.abandoned.inc();
        }
        if self.progress.in_hand.swap(false, Ordering::Relaxed) {
            self.progress.traffic.in_hand(false);
        }
        self.metrics.capacity.add(-as_gauge(self.queue.max_capacity()));
    }
}

#[expect(clippy::cast_precision_loss, reason = "no mailbox holds 2^53 messages")]
fn as_gauge(capacity: usize) -> f64 {
    capacity as f64
}

pub(crate) fn mailbox<T>(
    to: &'static str,
    capacity: usize,
    metrics: MailboxMetrics,
    traffic: Arc<Traffic>,
) -> (Sender<T>, Receiver<T>, Arc<Progress>) {
    let (sender, receiver) = mpsc::channel(capacity);
    metrics.capacity.add(as_gauge(capacity));
    let progress = Arc::new(Progress {
        sent: AtomicU64::new(0),
        taken: AtomicU64::new(0),
        in_hand: AtomicBool::new(false),
        abandoned: metrics.abandoned.clone(),
        traffic,
    });
    progress.traffic.sender_came();
    let sender = Sender { to, queue: sender, metrics: metrics.clone(), progress: Arc::clone(&progress) };
    let receiver = Receiver { queue: receiver, metrics, progress: Arc::clone(&progress), handling: None };
    (sender, receiver, progress)
}
