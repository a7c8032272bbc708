//! The thread that owns the traces, and its handle.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nkudo_logging::{Redactor, RedactorError};
use nkudo_metrics_core::Registry;
use nkudo_spans::{AttributeValue, FinishedSpan, SpanDrain, SpansHandle, TraceId};
use nkudo_traces::{Config, ConfigError, Found, Query, QueryError, Recent, Trace};
use tokio::sync::oneshot;

use crate::metrics;

/// Questions and spans of others that wait; more are refused.
const WAITING_MAX: usize = 64;
/// How long spans wait for others to be taken with.
const GATHER: Duration = Duration::from_millis(200);
/// The longest sleep when there is nothing to do.
const SLEEP: Duration = Duration::from_secs(60);

/// Takes spans and answers questions. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    /// Dropped before `waker`, which tells the thread of it: the order of these two matters.
    asks: SyncSender<Ask>,
    waker: Waker,
    /// Spans of others that found no room.
    refused: Arc<AtomicU64>,
    dir: PathBuf,
    /// Files that somebody else deleted.
    vanished: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<String>>>,
    recent: Mutex<Option<Registering>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Tells the thread that there is something to do, also that nothing can be asked any more.
struct Waker {
    /// How often.
    count: Arc<AtomicU64>,
    spans: SpansHandle,
}

impl Waker {
    fn wake(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.spans.wake_drain();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.wake();
    }
}

/// What somebody may see of a trace; none where that is nothing.
type PartOf = Box<dyn Fn(Trace) -> Option<Trace> + Send>;

/// Exposes the traces' metrics, once.
type Registering = Box<dyn FnOnce(&Registry, &str) + Send>;

enum Ask {
    Search(Query, oneshot::Sender<Result<Found, QueryError>>),
    SearchParts(Query, PartOf, oneshot::Sender<Result<Found, QueryError>>),
    Trace(TraceId, oneshot::Sender<Option<Trace>>),
    Offer(Vec<FinishedSpan>),
    Flush(oneshot::Sender<()>),
}

/// The recorder cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Redactor(#[from] RedactorError),
    #[error("the thread that records traces cannot be started")]
    Thread(#[from] io::Error),
}

/// A question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("too many ask for traces at once; try again in a moment")]
    Busy,
    #[error("traces are not recorded any more: the program ends, or the recorder failed")]
    Gone,
}

impl Recorder {
    /// Opens the traces in a directory and has a thread drain into them, with what `redactor` leaves of their texts.
    ///
    /// # Errors
    /// When the bounds make no sense, or there is no thread. A disk that does not work is told by [`Recorder::failure`].
    pub fn start(
        dir: &Path,
        config: Config,
        drain: SpanDrain,
        redactor: Redactor,
    ) -> Result<Self, RecorderError> {
        let spans = drain.handle();
        let recent = Recent::open(dir, config)?;
        let registering = recent.registering();
        let (asks, asked) = sync_channel(WAITING_MAX);
        let failure = Arc::new(Mutex::new(None));
        let (count, vanished) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut thread = Thread {
            recent,
            redactor,
            drain,
            asked,
            count: count.clone(),
            vanished: vanished.clone(),
            failure: failure.clone(),
        };
        let joined = std::thread::Builder::new().name("traces".to_owned()).spawn(move || thread.run())?;
        let registering: Registering = Box::new(registering);
        Ok(Self(Arc::new(Inner {
            asks,
            waker: Waker { count, spans },
            refused: Arc::default(),
            dir: dir.to_owned(),
            vanished,
            failure,
            recent: Mutex::new(Some(registering)),
            thread: Mutex::new(Some(joined)),
        })))
    }

    /// The traces that are asked for.
    ///
    /// # Errors
    /// When the query is none, too many ask at once, or nothing is recorded any more.
    pub async fn search(&self, query: Query) -> Result<Found, NoAnswer> {
        Ok(self.ask(|answer| Ask::Search(query, answer)).await??)
    }

    /// The traces that are asked for, for somebody who may see only a part of each: everything but their order is of what
    /// `part` leaves of them.
    ///
    /// # Errors
    /// As [`Recorder::search`].
    pub async fn search_parts(
        &self,
        query: Query,
        part: impl Fn(Trace) -> Option<Trace> + Send + 'static,
    ) -> Result<Found, NoAnswer> {
        Ok(self.ask(|answer| Ask::SearchParts(query, Box::new(part), answer)).await??)
    }

    /// What is known of a trace, also while it goes on.
    ///
    /// # Errors
    /// When too many ask at once, or nothing is recorded any more.
    pub async fn trace(&self, id: TraceId) -> Result<Option<Trace>, NoAnswer> {
        self.ask(|answer| Ask::Trace(id, answer)).await
    }

    /// Takes spans that ended in another program. Says whether there was room; what found none is counted.
    pub fn offer(&self, spans: Vec<FinishedSpan>) -> bool {
        let count = spans.len() as u64;
        let is_taken = self.send(Ask::Offer(spans)).is_ok();
        if !is_taken {
            self.0.refused.fetch_add(count, Ordering::Relaxed);
        }
        is_taken
    }

    /// Has everything that ended before be on disk: for the end of a program.
    ///
    /// # Errors
    /// When nothing is recorded any more.
    pub async fn flush(&self) -> Result<(), NoAnswer> {
        self.ask(Ask::Flush).await
    }

    /// Why traces are not written, while that is so.
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many files of the traces somebody else deleted so far.
    pub fn files_vanished(&self) -> u64 {
        self.0.vanished.load(Ordering::Relaxed)
    }

    /// Where the traces are.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Whether the thread is there.
    pub fn is_alive(&self) -> bool {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Exposes what became of spans and traces, under names that begin with `prefix`. The first registry gets it.
    pub fn register(&self, registry: &Registry, prefix: &str) {
        let registering = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(register) = registering {
            register(registry, prefix);
            metrics::register(self.0.waker.spans.clone(), self.0.refused.clone(), registry, prefix);
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.send(ask(answer))?;
        answered.await.map_err(|_| NoAnswer::Gone)
    }

    fn send(&self, ask: Ask) -> Result<(), NoAnswer> {
        self.0.asks.try_send(ask).map_err(|refused| match refused {
            TrySendError::Full(_) => NoAnswer::Busy,
            TrySendError::Disconnected(_) => NoAnswer::Gone,
        })?;
        self.0.waker.wake();
        Ok(())
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("failure", &self.failure()).finish_non_exhaustive()
    }
}

struct Thread {
    recent: Recent,
    redactor: Redactor,
    drain: SpanDrain,
    asked: Receiver<Ask>,
    count: Arc<AtomicU64>,
    vanished: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Thread {
    fn run(&mut self) {
        loop {
            let count = self.count.load(Ordering::SeqCst);
            // In this order: an answer tells what had ended before the question.
            let (asks, is_over) = self.take_asks();
            let mut found = self.pass();
            for ask in asks {
                self.answer(ask);
                // The rings of the threads fill up while the disk is read.
                found += self.pass();
            }
            let now = Instant::now();
            self.recent.tick(now);
            self.vanished.store(self.recent.files_vanished(), Ordering::Relaxed);
            self.show_failure();
            if is_over {
                self.recent.flush(Instant::now());
                return;
            }
            let is_idle = || self.count.load(Ordering::SeqCst) == count;
            if found > 0 {
                self.drain.doze(GATHER, is_idle);
            } else {
                let due = self.recent.next_due().map_or(SLEEP, |due| due.saturating_duration_since(now));
                self.drain.sleep(due.min(SLEEP), is_idle);
            }
        }
    }

    /// What was asked by now, and whether nothing comes any more.
    fn take_asks(&self) -> (Vec<Ask>, bool) {
        let mut asks = Vec::new();
        loop {
            match self.asked.try_recv() {
                Ok(ask) => asks.push(ask),
                Err(TryRecvError::Empty) => return (asks, false),
                Err(TryRecvError::Disconnected) => return (asks, true),
            }
        }
    }

    /// Takes over what has finished.
    fn pass(&mut self) -> usize {
        let mut spans = Vec::new();
        self.drain.pass(|span| spans.extend(span.to_finished()));
        let found = spans.len();
        self.take(spans);
        found
    }

    fn take(&mut self, mut spans: Vec<FinishedSpan>) {
        spans.iter_mut().for_each(|span| redact(&self.redactor, span));
        self.recent.offer(Instant::now(), spans);
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever does not wait any more need not hear it.
        match ask {
            Ask::Search(query, answer) => drop(answer.send(self.recent.search(&query))),
            Ask::SearchParts(query, part, answer) => {
                drop(answer.send(self.recent.search_parts(&query, part)));
            }
            Ask::Trace(id, answer) => drop(answer.send(self.recent.trace(id))),
            Ask::Offer(spans) => self.take(spans),
            Ask::Flush(answer) => {
                self.recent.flush(Instant::now());
                let _is_awaited = answer.send(()).is_ok();
            }
        }
    }

    fn show_failure(&self) {
        let failure = self.recent.failure().map(|error| format!("{error}: {}", error.source));
        let mut shown = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != failure {
            *shown = failure;
        }
    }
}

/// Replaces secrets in the texts of a span. Names of fields and modules are the program's own.
fn redact(redactor: &Redactor, span: &mut FinishedSpan) {
    if let Cow::Owned(name) = redactor.redact_text(&span.name) {
        span.name = name.into();
    }
    for (_, value) in &mut span.attributes {
        if let AttributeValue::Text(text) = value
            && let Cow::Owned(redacted) = redactor.redact_text(text)
        {
            *text = redacted;
        }
    }
}
