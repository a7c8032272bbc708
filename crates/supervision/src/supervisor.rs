//! Starts components, starts them again, ends them in order.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nkudo_metrics_core::{Collector, Registry, SampleSink};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use crate::component::{ComponentError, ComponentSpec, Context};
use crate::health::{Board, Health, HealthChange, HealthReporter, Report};
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::metrics::{self, ByCause, ByComponent, Metrics};
use crate::operations::Operations;
use crate::restart::{RestartBudget, Restarts};
use crate::task::Measured;
use crate::watch::{CHECK_INTERVAL, Stats, Watched, WatchedMailbox};

/// A component that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub component: &'static str,
    pub cause: String,
}

/// Runs the long-lived parts of a program. Cheap to clone; all clones are the same supervisor.
#[derive(Debug, Clone)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    board: Arc<Board>,
    failed: watch::Sender<Option<Failed>>,
    clock: fn() -> i64,
    /// Of the components: their time may be paused in tests.
    runtime: OnceLock<Handle>,
    state: Mutex<State>,
}

/// Reads every component for a scrape.
struct Components(Arc<Inner>);

impl Collector for Components {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let now = (self.0.clock)() as f64 / 1_000.0;
        // A scrape asks on a thread of its own.
        let _time = self.0.runtime.get().map(Handle::enter);
        self.0.state().watched.iter().for_each(|watched| metrics::sample(&watched.read(now), sink));
    }
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their start.
    components: Vec<Running>,
    watched: Vec<Watched>,
    checker: Option<JoinHandle<()>>,
    /// The end was asked for; nothing starts any more.
    ending: bool,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn watched(&mut self, name: &'static str) -> &mut Watched {
        let index = self.watched.iter().position(|watched| watched.name == name).unwrap_or_else(|| {
            self.watched.push(Watched::new(name));
            self.watched.len() - 1
        });
        &mut self.watched[index]
    }
}

impl Running {
    /// Answers whether the component ended by then; else it is dropped.
    async fn end(mut self, by: Instant) -> bool {
        let span = tracing::info_span!("component stop", component = self.name, error = Empty);
        self.shutdown.cancel();
        let ended = tokio::time::timeout_at(by, &mut self.task).await.is_ok();
        if !ended {
            self.task.abort();
            span.record("error", "it did not end in time and was dropped");
        }
        ended
    }
}

impl Supervisor {
    /// A supervisor whose metrics are registered with this prefix. `clock` tells the wall clock in Unix milliseconds.
    pub fn new(registry: &Registry, prefix: &str, clock: fn() -> i64) -> Self {
        let metrics = Metrics::register(registry, prefix);
        let board = Arc::new(Board::new(clock, metrics.clone()));
        let failed = watch::Sender::new(None);
        let inner = Arc::new(Inner {
            metrics,
            board,
            failed,
            clock,
            runtime: OnceLock::new(),
            state: Mutex::default(),
        });
        registry.collector(metrics::read_descs(prefix), Arc::new(Components(Arc::clone(&inner))));
        Self(inner)
    }

    /// A bounded queue for messages to the component of this name, of at least one place.
    pub fn mailbox<T>(&self, component: &'static str, capacity: usize) -> (Sender<T>, Receiver<T>) {
        let capacity = capacity.max(1);
        let mut state = self.0.state();
        let watched = state.watched(component);
        let (sender, receiver, progress) =
            mailbox(component, capacity, self.0.metrics.mailbox(component), watched.traffic());
        watched.mailboxes.push(WatchedMailbox::new(progress, capacity));
        (sender, receiver)
    }

    /// Starts a component. `factory` makes its future, anew for each restart. Once [`Supervisor::shutdown`] was asked
    /// for, nothing is started any more.
    ///
    /// # Panics
    /// When a component of this name runs: names are written in the program, one for each.
    pub fn start<F, Fut>(&self, spec: ComponentSpec, factory: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ComponentError>> + Send + 'static,
    {
        let name = spec.name;
        self.0.runtime.get_or_init(Handle::current);
        let mut state = self.0.state();
        if state.ending {
            tracing::warn!(part = name, "component is not started: the end was asked for");
            return;
        }
        state.components.retain(|running| !running.task.is_finished());
        assert!(state.components.iter().all(|running| running.name != name), "{name} is started twice");
        self.0.board.add(name);
        self.0.metrics.begin(name);
        let watched = state.watched(name);
        watched.begin(spec.progress_within, spec.checks);
        let (board, pulse) = (Arc::clone(&self.0.board), Arc::clone(&watched.pulse));
        let stats = watched.stats();
        let shutdown = CancellationToken::new();
        let context = Context {
            name,
            shutdown: shutdown.clone(),
            health: HealthReporter { name, board, pulse },
            operations: self.operations(name),
        };
        let task = spawn(keep_running(Arc::clone(&self.0), spec.restart, context, stats, Arc::new(factory)));
        state.components.push(Running { name, shutdown, task });
        if state.checker.is_none() {
            state.checker = Some(spawn(check_all(self.clone())));
        }
    }

    /// Counts operations of the component of this name, for parts of it that were made before it was started.
    pub fn operations(&self, component: &'static str) -> Operations {
        Operations::of(component, self.0.metrics.clone())
    }

    /// Ends once a component was given up, and says which and why. Cancel safe.
    pub async fn failed(&self) -> Failed {
        let mut failed = self.0.failed.subscribe();
        let told = failed.wait_for(Option::is_some).await;
        match told.map(|failed| failed.clone()) {
            Ok(Some(failed)) => failed,
            // The sender lives as long as this supervisor.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// How every component does.
    pub fn health(&self) -> Report {
        self.0.board.report()
    }

    /// The changes of health since a point in time (Unix milliseconds), oldest first.
    pub fn history(&self, since_ms: i64) -> Vec<HealthChange> {
        self.0.board.history(since_ms)
    }

    /// Ends every component, the last started first. Each has what is left of `deadline`; those that do not end in
    /// time are dropped and named.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<String> {
        let end_at = Instant::now() + deadline;
        let (components, checker) = {
            let mut state = self.0.state();
            state.ending = true;
            (std::mem::take(&mut state.components), state.checker.take())
        };
        let mut hung = Vec::new();
        for component in components.into_iter().rev() {
            let name = component.name;
            if !component.end(end_at).await {
                hung.push(name.to_owned());
            }
        }
        if let Some(checker) = checker {
            checker.abort();
        }
        hung
    }
}

/// Runs a component until it is to end or is given up.
async fn keep_running<F, Fut>(
    supervisor: Arc<Inner>,
    budget: RestartBudget,
    context: Context,
    stats: Stats,
    factory: Arc<F>,
) where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), ComponentError>> + Send + 'static,
{
    let name = context.name;
    let mut restarts = Restarts::default();
    let random = RandomState::new();
    let mut run: u64 = 0;
    loop {
        run += 1;
        supervisor.metrics.starts.get(&ByComponent { component: name }).inc();
        let (factory, given) = (Arc::clone(&factory), context.clone());
        // The factory is called in the task, so that its panic is the component's.
        let measured = Arc::clone(&stats.task);
        stats.life.started();
        let starting = tracing::info_span!("component start", component = name, run);
        let mut task = AbortOnDrop(spawn(async move {
            let component = starting.in_scope(|| factory(given));
            drop(starting);
            Measured::new(component, measured).await
        }));
        let ended = (&mut task.0).await;
        if context.shutdown.is_cancelled() {
            stats.life.stopped();
            return tell_end(name, ended);
        }
        stats.life.failed();
        supervisor.state().watched(name).interrupted();
        let hopeless = matches!(&ended, Ok(Err(error)) if error.hopeless);
        let (cause, detail) = why(ended);
        let jitter = f64::from(u16::try_from(random.hash_one(Instant::now()) % 1_000).unwrap_or(0)) / 1_000.0;
        let delay = if hopeless { None } else { restarts.next(&budget, Instant::now(), jitter) };
        let Some(delay) = delay else {
            tracing::error!(part = name, cause, detail, "component is given up");
            stats.life.given_up();
            supervisor.board.set_own(name, Health::Unhealthy(format!("given up: {detail}")));
            supervisor.failed.send_if_modified(|failed| {
                let first = failed.is_none();
                failed.get_or_insert(Failed { component: name, cause: detail });
                first
            });
            return;
        };
        supervisor.metrics.restarts.get(&ByCause { component: name, cause }).inc();
        let delay_ms = delay.as_millis();
        tracing::error!(part = name, cause, detail, delay_ms, "component failed and is started again");
        supervisor.board.set_own(name, Health::Unhealthy(detail));
        // Nothing is lost when the sleep is dropped.
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
        stats.life.delayed(delay);
        // The wait was no lack of progress.
        context.health.pulse.progress();
        supervisor.board.restarted(name);
        supervisor.board.set_own(name, Health::Healthy);
    }
}

/// An error or a panic at the end is told, though nothing follows from it.
fn tell_end(name: &'static str, ended: Result<Result<(), ComponentError>, JoinError>) {
    if !matches!(ended, Ok(Ok(()))) {
        let (cause, detail) = why(ended);
        tracing::error!(part = name, cause, detail, "component did not end well");
    }
}

fn why(ended: Result<Result<(), ComponentError>, JoinError>) -> (&'static str, String) {
    match ended {
        Ok(Ok(())) => ("ended", "it ended without being asked to".to_owned()),
        Ok(Err(error)) => ("error", error.to_string()),
        Err(error) => {
            let message = error.try_into_panic().map_or_else(
                |error| error.to_string(),
                |panic| {
                    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                    text.unwrap_or_else(|| "a panic without words".to_owned())
                },
            );
            ("panic", format!("panicked: {message}"))
        }
    }
}

async fn check_all(supervisor: Supervisor) {
    let inner = &supervisor.0;
    let mut interval = tokio::time::interval(CHECK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asking = JoinSet::new();
    loop {
        // Both are cancel safe: a tick and an answer that are not taken now are taken the next time.
        tokio::select! {
            now = interval.tick() => {
                inner.state().watched.iter_mut().for_each(|watched| watched.check(now, &mut asking));
            }
            Some(answered) = asking.join_next_with_id() => {
                let (task, answer) = match answered {
                    Ok(answered) => answered,
                    Err(error) => (error.id(), Err("the check panicked".to_owned())),
                };
                // A component that started anew meanwhile has no use for the answer.
                inner.state().watched.iter_mut().any(|watched| watched.answered(task, &answer));
            }
        }
        let told: Vec<_> = {
            let state = inner.state();
            let started = |watched: &&Watched| state.components.iter().any(|it| it.name == watched.name);
            state.watched.iter().filter(started).map(|watched| (watched.name, watched.health())).collect()
        };
        told.into_iter().for_each(|(name, health)| inner.board.set_checked(name, health));
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that starts long-lived tasks")]
fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}

/// A component's task goes when its keeper goes.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
