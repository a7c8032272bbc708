//! The host's own history of metrics: the registry's samples on disk, and answers from them.
//!
//! Nothing else of the agent waits for it or fails with it: where the disk is full or the database damaged there is a gap,
//! and a word in the health.

mod asked;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_catalogue::HistoryMetrics;
use nkudo_host::clock;
use nkudo_metrics_core::{MetricKind, Registry, Sample};
use nkudo_supervision::{Context, Health, Operation, Receiver, Sender};
use nkudo_timeseries::{Answer, Config, Kind, Query, QueryError, Retention, Samples, SamplesError, SeriesId};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use asked::Asked;

use crate::config::Settings;

/// Questions that wait for an answer; more make their askers wait.
pub(crate) const MAILBOX_MAX: usize = 16;
/// How soon a database that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(60);
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
    /// It could not be opened; the sentence says why.
    #[error("there is no history of metrics: {0}")]
    Closed(String),
    #[error("the history does not answer; try again in a moment")]
    NoAnswer,
}

/// Asks the history of a running daemon.
pub(crate) async fn ask(history: &Sender<Ask>, query: Query) -> Result<Answer, HistoryError> {
    let (answer, answered) = oneshot::channel();
    history.send(Ask { query, answer }).await.map_err(|_| HistoryError::NoAnswer)?;
    answered.await.map_err(|_| HistoryError::NoAnswer)?
}

/// Asks the files of a host whose daemon is down. None where there are none.
///
/// # Errors
/// When they cannot be read, or the question has no answer.
pub async fn ask_files(settings: &Settings, query: &Query) -> Result<Option<Answer>, HistoryError> {
    let dir = dir(&settings.state_dir);
    if !dir.exists() {
        return Ok(None);
    }
    let closed = |error: SamplesError| HistoryError::Closed(crate::link::told(&error));
    let mut samples = Samples::open(&dir, config(settings)).await.map_err(closed)?;
    let answer = samples.query(query).await;
    samples.close().await.map_err(closed)?;
    Ok(Some(answer?))
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
    Config { retention, lookback_ms, ..Config::default() }
}

/// Records and answers.
pub(crate) struct History {
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) registry: Registry,
    pub(crate) metrics: HistoryMetrics,
}

impl History {
    /// Records and answers until shutdown.
    pub(crate) async fn run(&self, mailbox: &mut Receiver<Ask>, context: &Context) {
        while !context.shutdown.is_cancelled() {
            let settings = self.settings.borrow().clone();
            let began = Instant::now();
            let opened = Samples::open(&dir(&settings.state_dir), config(&settings)).await;
            context.operations.ended(Operation::FileRead, 0, began.elapsed(), opened.is_ok());
            match opened {
                Ok(samples) => {
                    context.health.set(Health::Healthy);
                    self.work(samples, mailbox, context).await;
                }
                Err(error) => {
                    let sentence = crate::link::told(&error);
                    tracing::warn!(reason = sentence, "no history of metrics is kept");
                    context.health.error("open");
                    context.health.set(Health::Degraded(sentence.clone()));
                    refuse_for_a_while(&sentence, mailbox, context).await;
                }
            }
        }
    }

    async fn work(&self, samples: Samples, mailbox: &mut Receiver<Ask>, context: &Context) {
        let every = self.settings.borrow().history_interval;
        let mut ticks = interval(every);
        // Rows that were missed are a gap; many at once would be no row of their time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut samples = Some(samples);
        loop {
            // Each is cancel safe: a tick or a question that is not taken now is taken the next time.
            tokio::select! {
                () = context.shutdown.cancelled() => break,
                _ = ticks.tick() => {
                    let Some(open) = samples.take() else { break };
                    samples = self.record(open, context).await;
                }
                ask = mailbox.recv() => {
                    let (Some(Ask { query, answer }), Some(open)) = (ask, samples.take()) else { break };
                    let (open, answered) = apart(open, async move |samples| samples.query(&query).await).await;
                    samples = Some(open);
                    // Whoever asked may have gone.
                    drop(answer.send(answered.map_err(HistoryError::from)));
                }
            }
        }
        if let Some(samples) = samples
            && let Err(error) = samples.close().await
        {
            tracing::warn!(reason = crate::link::told(&error), "the history of metrics was not closed well");
        }
    }

    /// Records one row and tends what is kept.
    async fn record(&self, samples: Samples, context: &Context) -> Option<Samples> {
        let (registry, began) = (self.registry.clone(), Instant::now());
        let (samples, tended) = apart(samples, async move |samples| {
            let now_ms = clock::wall_ms();
            let row = row(samples, &registry, now_ms);
            samples.record(now_ms, &row);
            samples.tend(now_ms).await
        })
        .await;
        self.metrics.row(began.elapsed());
        self.metrics.show(&reading(&samples));
        context.operations.ended(Operation::FileWrite, 0, began.elapsed(), tended.is_ok());
        match tended {
            Ok(()) => context.health.set(Health::Healthy),
            Err(error) => {
                let sentence = crate::link::told(&error);
                tracing::warn!(reason = sentence, "the history of metrics is not kept as it should be");
                context.health.error("tend");
                context.health.set(Health::Degraded(sentence));
            }
        }
        context.health.progress();
        Some(samples)
    }
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

/// Works on a thread of its own: to compress what is sealed, or to read a month, takes too long for a worker.
async fn apart<T: Send + 'static>(
    mut samples: Samples,
    work: impl AsyncFnOnce(&mut Samples) -> T + Send + 'static,
) -> (Samples, T) {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        let result = runtime.block_on(work(&mut samples));
        (samples, result)
    });
    match done.await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
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

fn reading(samples: &Samples) -> nkudo_catalogue::HistoryReading {
    let stats = samples.stats();
    nkudo_catalogue::HistoryReading {
        recorded: stats.recorded,
        refused: stats.late + stats.unknown,
        series_refused: stats.series_over_limit + stats.series_malformed,
        dropped: stats.dropped,
        evicted: stats.evicted + stats.evicted_aggregates,
        corrupt: stats.corrupt + stats.journal_malformed + stats.databases_set_aside,
        seals: stats.seals,
        merges: stats.merges,
        failures: stats.failures,
        clock_steps: stats.steps_back,
        series: stats.series,
        open_bytes: stats.open_bytes,
        disk_bytes: stats.disk_bytes,
    }
}
