//! What went through a component's mailboxes, beyond what their cells count: read when a scrape asks for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Written by the ends of all mailboxes of a component; read by scrapes.
#[derive(Debug)]
pub(crate) struct Traffic {
    made: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    after_close: AtomicU64,
    waits: AtomicU64,
    wait_ns: AtomicU64,
    depth_max: AtomicU64,
    in_hand: AtomicU64,
    /// Nanoseconds after `made`; 0 while there was none.
    last_sent_ns: AtomicU64,
    senders: AtomicU64,
    /// Bytes of the messages that wait, without what they own on the heap.
    waiting_bytes: AtomicU64,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            made: Instant::now(),
            sent: zero(),
            received: zero(),
            after_close: zero(),
            waits: zero(),
            wait_ns: zero(),
            depth_max: zero(),
            in_hand: zero(),
            last_sent_ns: zero(),
            senders: zero(),
            waiting_bytes: zero(),
        }
    }

    /// A message of so many bytes was put in at `now`.
    pub(crate) fn sent(&self, now: Instant, bytes: u64) {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let depth = sent.saturating_sub(self.received.load(Ordering::Relaxed));
        if depth > self.depth_max.load(Ordering::Relaxed) {
            self.depth_max.fetch_max(depth, Ordering::Relaxed);
        }
        self.last_sent_ns.store(nanos(now.duration_since(self.made)).max(1), Ordering::Relaxed);
    }

    /// A message was taken out, or went with its mailbox.
    pub(crate) fn left(&self, bytes: u64) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Somebody waited so long for room.
    pub(crate) fn waited(&self, duration: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.wait_ns.fetch_add(nanos(duration), Ordering::Relaxed);
    }

    /// Somebody wanted to put a message in and nobody takes it any more.
    pub(crate) fn after_close(&self) {
        self.after_close.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn in_hand(&self, is: bool) {
        if is {
            self.in_hand.fetch_add(1, Ordering::Relaxed);
        } else {
            self.in_hand.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn sender_came(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sender_went(&self) {
        self.senders.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> TrafficReading {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let last_sent = Some(load(&self.last_sent_ns)).filter(|at_ns| *at_ns > 0);
        TrafficReading {
            sent: load(&self.sent),
            received: load(&self.received),
            after_close: load(&self.after_close),
            waits: load(&self.waits),
            waited: Duration::from_nanos(load(&self.wait_ns)),
            depth_max: load(&self.depth_max),
            in_hand: load(&self.in_hand),
            senders: load(&self.senders),
            waiting_bytes: load(&self.waiting_bytes),
            last_sent_ago: last_sent.map(|at| self.made.elapsed().saturating_sub(Duration::from_nanos(at))),
        }
    }
}

/// [`Traffic`] as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrafficReading {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) after_close: u64,
    pub(crate) waits: u64,
    pub(crate) waited: Duration,
    pub(crate) depth_max: u64,
    pub(crate) in_hand: u64,
    pub(crate) senders: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) last_sent_ago: Option<Duration>,
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
