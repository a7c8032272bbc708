//! The thread that writes lines: it takes them from every thread's ring, puts them in order and has them written.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nkudo_spans::{Drain, Lanes, LanesOptions, lanes};

use crate::batch::Batch;
use crate::handle::LogHandle;
use crate::level::LogLevel;
use crate::outputs::{Outputs, own_line};

/// Most bytes of the ring of one thread, of rings, and of long lines beside them.
const RINGS: LanesOptions =
    LanesOptions { ring_max_bytes: 1 << 20, rings_max_bytes: 4 << 20, beside_max_bytes: 1 << 20 };
/// How long lines wait for others to be written with.
const GATHER: Duration = Duration::from_millis(10);
/// After so many looks that found nothing, only a line ends the sleep.
const IDLE_LOOKS: u32 = 8;
const SLEEP: Duration = Duration::from_secs(60);
/// How long whoever flushes waits for standard error, where files are written beside.
const STDERR_WAIT: Duration = Duration::from_secs(1);
/// How often it is told that lines were dropped, where nobody flushes.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Hands lines to the thread and waits for it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    lanes: Lanes,
    flushes: Arc<Flushes>,
}

/// Who waits for what was logged before.
#[derive(Debug, Default)]
struct Flushes {
    asked_done: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Flushes {
    fn lock(&self) -> MutexGuard<'_, (u64, u64)> {
        self.asked_done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread. It ends with the program.
    pub(crate) fn start(handle: &LogHandle, mut outputs: Outputs) -> io::Result<Self> {
        let (lanes, drain) = lanes(RINGS);
        handle.takes_from(&lanes);
        let writer = Self { lanes, flushes: Arc::default() };
        let (handle, flushes) = (handle.clone(), writer.flushes.clone());
        let work = move || write_all(drain, &handle, &mut outputs, &flushes);
        std::thread::Builder::new().name("log".to_owned()).spawn(work)?;
        Ok(writer)
    }

    pub(crate) fn lanes(&self) -> Lanes {
        self.lanes.clone()
    }

    /// Waits until what was logged before is written, or the time is over. Says whether it was.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut asked_done = self.flushes.lock();
        asked_done.0 += 1;
        let mine = asked_done.0;
        drop(asked_done);
        self.lanes.wake();
        let mut asked_done = self.flushes.lock();
        while asked_done.1 < mine {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.flushes.changed.wait_timeout(asked_done, left);
            asked_done = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn write_all(mut drain: Drain, handle: &LogHandle, outputs: &mut Outputs, flushes: &Flushes) {
    let mut batch = Batch::default();
    let mut drops = Drops::default();
    let mut idle_looks = 0;
    loop {
        let asked = flushes.lock().0;
        if let Some(new) = handle.take_new_files() {
            outputs.take(new);
        }
        let count = drain.pass(|lane, record| {
            batch.push(lane, &record);
            if batch.is_full() {
                write(&mut batch, handle, outputs);
            }
        });
        write(&mut batch, handle, outputs);
        let is_flushing = flushes.lock().1 < asked;
        drops.tell(handle, outputs, is_flushing);
        if is_flushing {
            outputs.flush(STDERR_WAIT);
        }
        let mut asked_done = flushes.lock();
        let is_asked_again = asked_done.0 > asked;
        if asked_done.1 < asked {
            asked_done.1 = asked;
            flushes.changed.notify_all();
        }
        drop(asked_done);
        if is_asked_again {
            continue;
        }
        idle_looks = if count == 0 { idle_looks + 1 } else { 0 };
        let is_idle = || flushes.lock().0 == asked;
        if idle_looks < IDLE_LOOKS {
            drain.doze(GATHER, is_idle);
        } else {
            batch.shrink();
            drain.sleep(drops.sleep(handle.dropped()), is_idle);
        }
    }
}

/// Lines that cannot be written are lost and counted; the next may be written again.
fn write(batch: &mut Batch, handle: &LogHandle, outputs: &mut Outputs) {
    if batch.is_empty() {
        return;
    }
    let is_written = outputs.write(Timestamp::now(), batch.sorted());
    LogLevel::ALL.into_iter().for_each(|level| handle.count(level, is_written, batch.count(level)));
    batch.clear();
}

/// Tells in the log that lines are missing from it.
#[derive(Debug, Default)]
struct Drops {
    told: u64,
    told_at: Option<Instant>,
}

impl Drops {
    /// At once where somebody flushes: a program that ends has told of all that it lost.
    fn tell(&mut self, handle: &LogHandle, outputs: &mut Outputs, is_flushing: bool) {
        let dropped = handle.dropped();
        let Some(lines) = self.due(dropped, is_flushing, Instant::now()) else { return };
        let lines = lines.to_string();
        let line = own_line(Timestamp::now(), LogLevel::Warn, "log lines were dropped", &[("lines", &lines)]);
        let is_written = outputs.write(Timestamp::now(), &line);
        handle.count(LogLevel::Warn, is_written, 1);
        self.tried(dropped, is_written, Instant::now());
    }

    /// How many lines are to be told of now that so many are dropped.
    fn due(&self, dropped: u64, is_flushing: bool, now: Instant) -> Option<u64> {
        let is_soon = self.told_at.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY);
        (dropped > self.told && (is_flushing || !is_soon)).then(|| dropped - self.told)
    }

    /// The first so many were told of. What was dropped meanwhile was not; a line of this that is lost is no news itself.
    fn tried(&mut self, dropped: u64, is_written: bool, now: Instant) {
        (self.told, self.told_at) = (dropped + u64::from(!is_written), Some(now));
    }

    /// How long the thread may sleep now that so many are dropped.
    fn sleep(&self, dropped: u64) -> Duration {
        if dropped > self.told { TELL_EVERY } else { SLEEP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_while_drops_are_told_is_told_with_the_next() {
        let (mut drops, start) = (Drops::default(), Instant::now());
        assert_eq!((drops.due(0, true, start), drops.sleep(0)), (None, SLEEP));
        assert_eq!(drops.due(5, false, start), Some(5));
        drops.tried(5, true, start);
        assert_eq!((drops.due(5, true, start + TELL_EVERY), drops.sleep(5)), (None, SLEEP));
        // Two more since.
        assert_eq!((drops.due(7, false, start + TELL_EVERY / 2), drops.sleep(7)), (None, TELL_EVERY));
        // Whoever flushes is told at once.
        assert_eq!(drops.due(7, true, start + TELL_EVERY / 2), Some(2));
        assert_eq!(drops.due(7, false, start + TELL_EVERY), Some(2));
        // Where it cannot be written it is one more itself, which wakes nobody.
        drops.tried(7, false, start + TELL_EVERY);
        assert_eq!((drops.due(8, true, start + TELL_EVERY * 2), drops.sleep(8)), (None, SLEEP));
    }
}
