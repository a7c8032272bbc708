//! Recent traces: gathered from spans, chosen, and kept on disk.

mod held;
mod index;
mod pending;
mod reading;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use nkudo_journal::{Disk, RealDisk};
use nkudo_metrics_core::Registry;
use nkudo_spans::{FinishedSpan, SpanId, TraceId};

use self::held::{Held, Record};
pub(crate) use self::index::INDEX_ENTRY_BYTES;
use self::index::{Index, PARTS_MAX, Starts};
use self::pending::Pending;
use crate::config::Config;
use crate::error::{ConfigError, StoreError};
use crate::metrics::{Counts, Stats};
use crate::sampling::Verdict;
use crate::store::record::{self, Head, Part};
use crate::store::{Gone, Store};
use crate::trace::Trace;

/// Recent traces in a directory, which has one owner at a time.
///
/// Its methods wait for the disk. It has no thread and no timer: whoever owns it calls [`Recent::tick`] when
/// [`Recent::next_due`] says.
pub struct Recent<D: Disk = RealDisk> {
    config: Config,
    pending: Pending,
    held: Held,
    index: Index,
    store: Store<D>,
    failure: Option<Failure>,
    counts: Counts,
    files_vanished: u64,
}

impl<D: Disk> fmt::Debug for Recent<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, store, failure, counts, .. } = self;
        let mut shown = f.debug_struct("Recent");
        shown.field("config", config).field("store", store).field("failure", failure);
        shown.field("stats", &counts.read()).finish_non_exhaustive()
    }
}

/// The last write failed.
#[derive(Debug)]
struct Failure {
    error: StoreError,
    /// None when nothing was written yet.
    retry_at: Option<Instant>,
}

impl Recent<RealDisk> {
    /// Opens a directory of the host; see [`Recent::open_on`].
    ///
    /// # Errors
    /// Only when the bounds make no sense.
    pub fn open(dir: &Path, config: Config) -> Result<Self, ConfigError> {
        Self::open_on(RealDisk, dir, config)
    }
}

impl<D: Disk> Recent<D> {
    /// Opens a directory, reads what is in it, and writes nothing: the directory is made when there is something to
    /// keep. What cannot be read is counted; a disk that does not work is told by [`Recent::failure`].
    ///
    /// # Errors
    /// Only when the bounds make no sense.
    pub fn open_on(disk: D, dir: &Path, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let (mut index, counts) = (Index::default(), Counts::default());
        let (store, damaged, error) = Store::open(disk, dir, config.bounds(), |place, payload| {
            match record::decode_head(payload) {
                Ok(head) => index.insert(&head, Starts::of_head(&head), place),
                Err(_) => counts.damaged.inc(),
            }
            if index.len() > config.traces {
                let oldest = index.oldest_segment().expect("there are traces in it");
                counts.traces_evicted.inc_by(index.forget(oldest));
            }
        });
        counts.damaged.inc_by(damaged);
        let failure = error.map(|error| Failure { error, retry_at: None });
        let (pending, held) = (Pending::default(), Held::default());
        let recent = Self { config, pending, held, index, store, failure, counts, files_vanished: 0 };
        recent.measure();
        Ok(recent)
    }

    /// Takes spans that ended. Where memory is used up, the trace that waits longest is taken to be complete; what even
    /// then has no room is dropped and counted.
    pub fn offer(&mut self, now: Instant, spans: Vec<FinishedSpan>) {
        for span in spans {
            self.counts.received.inc();
            if self.is_known(span.trace_id) {
                self.counts.late.inc();
            }
            let dropped = self.pending.add(now, span, self.config.trace_bytes);
            self.counts.spans_dropped_full.inc_by(dropped);
            while self.memory_bytes() > self.config.memory_bytes {
                self.relieve(now);
            }
        }
        self.measure();
    }

    /// Does what is due: decides on traces that are complete and writes those that are kept.
    pub fn tick(&mut self, now: Instant) {
        let mut due: Vec<(Instant, TraceId)> = self.due().filter(|(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, id)| (*at, id.to_bytes()));
        due.into_iter().for_each(|(_, id)| self.conclude(id));
        self.write(now);
        self.measure();
    }

    /// When [`Recent::tick`] has something to do next, if nothing comes until then.
    pub fn next_due(&self) -> Option<Instant> {
        let retry_at = self.failure.as_ref().and_then(|failure| failure.retry_at);
        let retry_at = retry_at.filter(|_| !self.held.is_empty());
        self.due().map(|(at, _)| at).chain(retry_at).min()
    }

    /// Takes every trace to be complete, writes what is kept, also when the last write failed just now, and makes it
    /// survive a loss of power: for the orderly end of a program.
    pub fn flush(&mut self, now: Instant) {
        let ids = self.pending.ids();
        ids.into_iter().for_each(|id| self.conclude(id));
        self.write_all(now);
        if let Err(error) = self.store.sync() {
            self.fail(now, error);
        }
        self.measure();
    }

    /// Why traces are not written, while that is so. They stay in memory, within its bound, and the write is tried again.
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// How many files somebody else deleted, as far as it was noticed: that is when the one being written is gone, and
    /// when one is to go anyway.
    pub fn files_vanished(&self) -> u64 {
        self.files_vanished
    }

    pub fn stats(&self) -> Stats {
        self.counts.read()
    }

    /// Exposes what [`Recent::stats`] tells, under names that begin with `prefix`.
    pub fn register(&self, registry: &Registry, prefix: &str) {
        self.counts.register(registry, prefix);
    }

    /// What [`Recent::register`] does, for whoever gives the traces away before there is a registry.
    pub fn registering(&self) -> impl FnOnce(&Registry, &str) + Send + use<D> {
        let counts = self.counts.clone();
        move |registry: &Registry, prefix: &str| counts.register(registry, prefix)
    }

    /// Whether the beginning of a trace is written, or is to be.
    fn is_known(&self, id: TraceId) -> bool {
        self.index.contains(id) || self.held.of(id).next().is_some()
    }

    fn due(&self) -> impl Iterator<Item = (Instant, TraceId)> {
        self.pending.due(self.config.quiet, self.config.deadline, |id| self.is_known(id))
    }

    fn memory_bytes(&self) -> usize {
        self.pending.bytes() + self.held.bytes() + self.index.bytes()
    }

    /// Makes room in memory: writes what waits for it, or else drops the oldest of that, or else has the trace that is
    /// gathered longest be complete.
    fn relieve(&mut self, now: Instant) {
        if self.held.is_empty() {
            match self.pending.oldest() {
                Some(id) => self.conclude(id),
                // The bounds leave room for an index that is full, but not for one whose traces have many parts.
                None => self.shrink_index(now),
            }
            return;
        }
        self.write(now);
        if !self.held.is_empty() {
            self.held.drop_oldest();
            self.counts.traces_dropped_memory.inc();
        }
    }

    /// Decides on a trace, now that all of it is here.
    fn conclude(&mut self, id: TraceId) {
        let Some(trace) = Trace::gather(self.pending.take(id)).pop() else { return };
        if self.is_known(id) {
            return self.add(trace);
        }
        let verdict = self.config.sampling.verdict(&trace);
        self.counts.verdict(verdict).inc();
        if verdict != Verdict::Dropped {
            self.hold(Part::First, &trace);
        }
    }

    /// What came after its trace was written becomes a part of its own, without what is known: a program that lost its
    /// connection tells its spans again.
    fn add(&mut self, late: Trace) {
        let id = late.id();
        let known = self.trace(id).map(Trace::into_spans).unwrap_or_default();
        let known: HashSet<SpanId> = known.into_iter().map(|span| span.span_id).collect();
        let news = late.into_spans().into_iter().filter(|span| !known.contains(&span.span_id));
        let Some(news) = Trace::gather(news).pop() else { return };
        if self.index.parts(id) + self.held.of(id).count() >= PARTS_MAX {
            self.counts.spans_dropped_late.inc_by(news.spans().len() as u64);
        } else {
            self.hold(Part::More, &news);
        }
    }

    /// Has a part of a trace wait to be written.
    fn hold(&mut self, part: Part, trace: &Trace) {
        let head = Head { part, trace_id: trace.id(), start_unix_ns: trace.start_unix_ns() };
        let starts = Starts::of(trace.spans()).unwrap_or(Starts::of_head(&head));
        let payload = record::encode(part, trace.id(), trace.spans());
        self.held.push(Record { head, starts, payload });
    }

    /// Writes what is to be written, unless the last try was just now.
    fn write(&mut self, now: Instant) {
        let retry_at = self.failure.as_ref().and_then(|failure| failure.retry_at);
        if retry_at.is_none_or(|at| at <= now) {
            self.write_all(now);
        }
    }

    fn write_all(&mut self, now: Instant) {
        if self.held.is_empty() {
            return;
        }
        let mut done = self.store.look();
        self.apply_gone();
        while let (Ok(()), Some(Record { head, starts, payload })) = (&done, self.held.first()) {
            done = self.store.append(payload).map(|place| self.index.insert(head, *starts, place));
            if done.is_ok() {
                self.held.pop();
            }
            self.apply_gone();
            while done.is_ok() && self.index.len() > self.config.traces {
                done = self.store.evict();
                self.apply_gone();
            }
        }
        match done {
            Ok(()) => self.failure = None,
            Err(error) => self.fail(now, error),
        }
    }

    /// Forgets the oldest traces, also when their segment cannot be removed now.
    fn shrink_index(&mut self, now: Instant) {
        let oldest = self.index.oldest_segment();
        if let Err(error) = self.store.evict() {
            self.fail(now, error);
        }
        self.apply_gone();
        let forgotten = oldest.map_or(0, |segment| self.index.forget(segment));
        self.counts.traces_evicted.inc_by(forgotten);
    }

    fn fail(&mut self, now: Instant, error: StoreError) {
        self.counts.write_failures.inc();
        self.failure = Some(Failure { error, retry_at: Some(now + self.config.retry) });
    }

    /// Forgets what was in segments that are no more.
    fn apply_gone(&mut self) {
        for (segment, why) in self.store.take_gone() {
            let traces = self.index.forget(segment);
            match why {
                Gone::Evicted => self.counts.traces_evicted.inc_by(traces),
                Gone::Vanished => {
                    self.files_vanished += 1;
                    self.counts.traces_vanished.inc_by(traces);
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    fn measure(&self) {
        self.counts.stored.set(self.index.len() as f64);
        self.counts.pending.set(self.pending.len() as f64);
        self.counts.disk_bytes.set(self.store.bytes() as f64);
        self.counts.memory_bytes.set(self.memory_bytes() as f64);
    }
}
