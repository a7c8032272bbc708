//! The host's own history of metrics: the registry's samples on disk, and answers from them.
//!
//! Nothing else of the agent waits for it or fails with it: where the disk is full or the database damaged there is a gap,
//! and a word in the health.

mod asked;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nkudo_catalogue::{HistoryMetrics, HistoryReading};
use nkudo_host::clock;
use nkudo_metrics_core::{MetricKind, Registry, Sample};
use nkudo_supervision::{Context, Health, Operation, Receiver, Sender};
use nkudo_timeseries::{
    Answer, Config, Kind, Now, Query, QueryError, Retention, Samples, SamplesError, SeriesId, Stats,
    StoredSamples, Tended,
};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use asked::Asked;

use crate::config::Settings;

/// Questions that wait for an answer; more make their askers wait.
pub(crate) const MAILBOX_MAX: usize = 16;
/// How soon a database that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(5);
/// How long an answer may take; rows wait for it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Series of a host with many VMs that come and go; each takes some 300 bytes of memory.
const SERIES_MAX: usize = 4_000;
const PANICKED: &str =
    "the history of metrics panicked, which is a fault of the program; the log tells where";
/// The directory within the state directory.
const DIR: &str = "samples";

/// A question, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask {
    query: Query,
    answer: oneshot::Sender<Result<Answer, HistoryError>>,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(
        "this host keeps no history of its metrics: [history] enabled is false in the agent's configuration; \
         set it to true and start the agent again"
    )]
    Off,
    /// It could not be opened; the sentence says why.
    #[error("there is no history of metrics: {0}")]
    Closed(String),
    #[error("the history does not answer; try again in a moment")]
    NoAnswer,
    #[error("the answer takes longer than {} s; ask for a shorter range, or for fewer series by their labels", ANSWER_DEADLINE.as_secs())]
    Slow,
}

/// Asks the history of a running daemon.
pub(crate) async fn ask(history: &Sender<Ask>, query: Query) -> Result<Answer, HistoryError> {
    let (answer, answered) = oneshot::channel();
    history.send(Ask { query, answer }).await.map_err(|_| HistoryError::NoAnswer)?;
    answered.await.map_err(|_| HistoryError::NoAnswer)?
}

/// Asks the files of a host whose daemon is down, and changes nothing in them; also what was found damaged. None where
/// there are no files.
///
/// # Errors
/// When they cannot be read, or the question has no answer.
pub async fn ask_files(
    settings: &Settings,
    query: &Query,
) -> Result<Option<(Answer, Option<String>)>, HistoryError> {
    if !settings.history_enabled {
        return Err(HistoryError::Off);
    }
    let dir = dir(&settings.state_dir);
    // Where it cannot be told, opening says why.
    if matches!(dir.try_exists(), Ok(false)) {
        return Ok(None);
    }
    let closed = |error: SamplesError| HistoryError::Closed(crate::link::told(&error));
    let mut samples = StoredSamples::open(&dir, config(settings)).await.map_err(closed)?;
    let answer = samples.query(query).await?;
    Ok(Some((answer, loss(&samples.stats()))))
}

/// What was found damaged, in words.
fn loss(stats: &Stats) -> Option<String> {
    let mut lost = Vec::new();
    if stats.databases_set_aside > 0 {
        lost.push(
            "its database was damaged, was set aside as samples.db.damaged and is begun anew".to_owned(),
        );
    }
    if stats.journal_damaged_bytes > 0 {
        let bytes = stats.journal_damaged_bytes;
        lost.push(format!(
            "{bytes} bytes of its journal were damaged; samples in them are lost, the bytes stay on the disk"
        ));
    }
    if stats.journal_malformed > 0 {
        lost.push(format!("{} records of its journal made no sense", stats.journal_malformed));
    }
    (!lost.is_empty()).then(|| lost.join("; "))
}

fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join(DIR)
}

fn config(settings: &Settings) -> Config {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let retention = Retention {
        raw_ms: ms(settings.history_raw),
        hourly_ms: ms(settings.history_hourly),
        daily_ms: ms(settings.history_daily),
        disk_bytes: settings.history_disk_bytes,
    };
    // An increase counts over some lost samples, whatever their distance.
    let lookback_ms = ms(settings.history_interval).saturating_mul(4).max(Config::default().lookback_ms);
    Config { retention, lookback_ms, series_max: SERIES_MAX, ..Config::default() }
}

/// Records and answers.
pub(crate) struct History {
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) registry: Registry,
    pub(crate) metrics: HistoryMetrics,
    /// Samples taken since the program began, those of an earlier opening of the store.
    pub(crate) taken: AtomicU64,
}

impl History {
    /// Records and answers until shutdown.
    pub(crate) async fn run(&self, mailbox: &mut Receiver<Ask>, context: &Context) {
        while let Err(sentence) = self.keep(mailbox, context).await {
            tracing::warn!(reason = sentence, "no history of metrics is kept");
            context.health.error("kept");
            context.health.set(Health::Degraded(sentence.clone()));
            refuse_for_a_while(&sentence, mailbox, context).await;
            if context.shutdown.is_cancelled() {
                return;
            }
        }
    }

    /// Opens the store and works with it until shutdown, or until it cannot go on: then it says why.
    async fn keep(&self, mailbox: &mut Receiver<Ask>, context: &Context) -> Result<(), String> {
        let settings = self.settings.borrow().clone();
        let began = Instant::now();
        let opened =
            apart(async move || Samples::open(&dir(&settings.state_dir), config(&settings)).await).await;
        let opened = opened.map_err(|Panicked| PANICKED.to_owned())?;
        context.operations.ended(Operation::FileRead, 0, began.elapsed(), opened.is_ok());
        let mut samples = opened.map_err(|error| crate::link::told(&error))?;
        context.health.set(Health::Healthy);
        if let Some(loss) = loss(&samples.stats()) {
            tracing::warn!(reason = loss, "the history of metrics has lost something");
            context.health.error("loss");
        }
        let mut ticks = interval(self.settings.borrow().history_interval);
        // Rows that were missed are a gap; many at once would be no row of their time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // What the journal gave back was taken before.
        let opened_with = samples.stats().recorded;
        let taken_before = self.taken.load(Ordering::Relaxed);
        loop {
            // Each is cancel safe: a tick or a question that is not taken now is taken the next time.
            tokio::select! {
                () = context.shutdown.cancelled() => break,
                _ = ticks.tick() => {
                    samples = self.record(samples, context).await?;
                    let taken = taken_before + samples.stats().recorded.saturating_sub(opened_with);
                    self.taken.store(taken, Ordering::Relaxed);
                    self.metrics.show(&HistoryReading { recorded: taken, ..reading(&samples.stats()) });
                }
                ask = mailbox.recv() => {
                    let Some(ask) = ask else { break };
                    samples = answer(samples, ask).await.map_err(|Panicked| PANICKED.to_owned())?;
                }
            }
        }
        let closed = apart(async move || samples.close().await).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(reason = crate::link::told(&error), "the history of metrics was not closed well");
        }
        Ok(())
    }

    /// Records one row and tends what is kept. Where the store cannot go on: why.
    async fn record(&self, mut samples: Samples, context: &Context) -> Result<Samples, String> {
        let registry = self.registry.clone();
        let (samples, tended, took) = apart(async move || {
            let now = Now { wall_ms: clock::wall_ms(), steady_ms: clock::boottime_ms() };
            let now_ms = now.wall_ms;
            let row = row(&mut samples, &registry, now_ms);
            let (before, began) = (samples.stats(), Instant::now());
            samples.record(now_ms, &row);
            let tended = samples.tend(now).await;
            let after = samples.stats();
            if after.clock_doubts > before.clock_doubts {
                tracing::warn!(
                    "the clock is far ahead of the history: nothing is removed by its age for a while"
                );
            }
            let complaint = if after.unjournaled > before.unjournaled {
                Some("samples of the history are in memory only: its journal cannot be written")
            } else if after.series_over_limit > before.series_over_limit {
                Some("the history has as many series as it may: new ones are not recorded")
            } else {
                None
            };
            let samples = if matches!(tended, Err(SamplesError::Gone { .. })) {
                samples.reopen().await
            } else {
                Ok(samples)
            };
            (samples, tended.map(|tended| (tended, complaint)), began.elapsed())
        })
        .await
        .map_err(|Panicked| PANICKED.to_owned())?;
        self.metrics.row(took);
        context.operations.ended(Operation::FileWrite, 0, took, tended.is_ok());
        match tended {
            Ok((_, Some(complaint))) => {
                context.health.error("record");
                context.health.set(Health::Degraded(complaint.to_owned()));
            }
            // What failed is not mended by waiting.
            Ok((Tended::Waiting, None)) => {}
            Ok((Tended::Done, None)) => context.health.set(Health::Healthy),
            Err(error) => {
                let sentence = crate::link::told(&error);
                tracing::warn!(reason = sentence, "the history of metrics is not kept as it should be");
                context.health.error("tend");
                context.health.set(Health::Degraded(sentence));
            }
        }
        context.health.progress();
        samples.map_err(|error| crate::link::told(&error))
    }
}

/// Answers a question, unless whoever asked has gone.
async fn answer(mut samples: Samples, ask: Ask) -> Result<Samples, Panicked> {
    let Ask { query, answer } = ask;
    if answer.is_closed() {
        return Ok(samples);
    }
    let (samples, answered) = apart(async move || {
        let answered = tokio::time::timeout(ANSWER_DEADLINE, samples.query(&query)).await;
        (samples, answered)
    })
    .await?;
    let answered = answered.map_or(Err(HistoryError::Slow), |answered| answered.map_err(HistoryError::from));
    // It may have gone meanwhile.
    drop(answer.send(answered));
    Ok(samples)
}

/// Answers that there is nothing, until it is time to try again.
async fn refuse_for_a_while(sentence: &str, mailbox: &mut Receiver<Ask>, context: &Context) {
    let again = Instant::now() + OPEN_AGAIN;
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep_until(again) => return,
            ask = mailbox.recv() => {
                let Some(Ask { answer, .. }) = ask else { return };
                drop(answer.send(Err(HistoryError::Closed(sentence.to_owned()))));
            }
        }
    }
}

/// The work ended by a panic, and the store with it.
#[derive(Debug)]
struct Panicked;

/// Works on a thread of its own: to compress what is sealed, or to read a month, takes too long for a worker.
async fn apart<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    let runtime = Handle::current();
    match tokio::task::spawn_blocking(move || runtime.block_on(work())).await {
        Ok(done) => Ok(done),
        Err(ended) if ended.is_panic() => Err(Panicked),
        // The runtime ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

/// Every sample of the registry, by its series. What is refused is counted by the store.
fn row(samples: &mut Samples, registry: &Registry, now_ms: i64) -> Vec<(SeriesId, f64)> {
    let series = |sample: &Sample| {
        let labels: Vec<(&str, &str)> =
            sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        samples.series(&sample.name, &labels, kind(sample), now_ms).ok().map(|id| (id, sample.value))
    };
    registry.snapshot().iter().filter_map(series).collect()
}

fn kind(sample: &Sample) -> Kind {
    match sample.kind {
        MetricKind::Counter | MetricKind::Histogram => Kind::Counter,
        MetricKind::Summary if !sample.labels.iter().any(|(name, _)| name == "quantile") => Kind::Counter,
        MetricKind::Gauge | MetricKind::Summary | MetricKind::Info | MetricKind::StateSet => Kind::Gauge,
    }
}

fn reading(stats: &Stats) -> HistoryReading {
    HistoryReading {
        recorded: stats.recorded,
        refused: stats.late + stats.unknown,
        series_refused: stats.series_over_limit + stats.series_malformed,
        dropped: stats.dropped,
        series_evicted: stats.evicted_series,
        unjournaled: stats.unjournaled,
        evicted: stats.evicted + stats.evicted_aggregates,
        corrupt: stats.corrupt
            + stats.journal_malformed
            + stats.databases_set_aside
            + u64::from(stats.journal_damaged_bytes > 0),
        gone: stats.directories_gone,
        seals: stats.seals,
        merges: stats.merges,
        failures: stats.failures,
        clock_steps: stats.steps_back,
        clock_doubts: stats.clock_doubts,
        series: stats.series,
        open_bytes: stats.open_bytes,
        disk_bytes: stats.disk_bytes,
    }
}
