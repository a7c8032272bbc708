//! Starts components, starts them again, ends them in order.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nkudo_metrics_core::Registry;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::component::{ComponentError, ComponentSpec, Context};
use crate::health::{Board, Health, HealthChange, HealthReporter, Report};
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::metrics::{ByCause, ByComponent, Metrics};
use crate::restart::Restarts;
use crate::watch::{CHECK_INTERVAL, Watched, WatchedMailbox};

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
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their start.
    components: Vec<Running>,
    watched: Vec<Watched>,
    checker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// A supervisor whose metrics are registered with this prefix. `clock` tells the wall clock in Unix milliseconds.
    pub fn new(registry: &Registry, prefix: &str, clock: fn() -> i64) -> Self {
        let metrics = Metrics::register(registry, prefix);
        let board = Arc::new(Board::new(clock, metrics.clone()));
        Self(Arc::new(Inner { metrics, board, failed: watch::Sender::new(None), state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bounded queue for messages to the component of this name.
    pub fn mailbox<T>(&self, component: &'static str, capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver, progress) = mailbox(capacity, self.0.metrics.mailbox(component, capacity));
        self.watched(component, |watched| watched.mailboxes.push(WatchedMailbox::new(progress)));
        (sender, receiver)
    }

    fn watched(&self, name: &'static str, change: impl FnOnce(&mut Watched)) {
        let mut state = self.state();
        let index = state.watched.iter().position(|watched| watched.name == name).unwrap_or_else(|| {
            state.watched.push(Watched::new(name));
            state.watched.len() - 1
        });
        change(&mut state.watched[index]);
    }

    /// Starts a component. `factory` makes its future, anew for each restart.
    pub fn start<F, Fut>(&self, spec: ComponentSpec, factory: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ComponentError>> + Send + 'static,
    {
        let name = spec.name;
        self.0.board.add(name);
        self.watched(name, |watched| watched.progress_within = spec.progress_within);
        let shutdown = CancellationToken::new();
        let health = HealthReporter { name, board: Arc::clone(&self.0.board) };
        let context = Context { name, shutdown: shutdown.clone(), health };
        let task = spawn(keep_running(Arc::clone(&self.0), spec, context, factory));
        let mut state = self.state();
        state.components.push(Running { name, shutdown, task });
        if state.checker.is_none() {
            state.checker = Some(spawn(check_all(self.clone())));
        }
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
            let mut state = self.state();
            (std::mem::take(&mut state.components), state.checker.take())
        };
        let mut hung = Vec::new();
        for mut component in components.into_iter().rev() {
            component.shutdown.cancel();
            if tokio::time::timeout_at(end_at, &mut component.task).await.is_err() {
                component.task.abort();
                hung.push(component.name.to_owned());
            }
        }
        if let Some(checker) = checker {
            checker.abort();
        }
        hung
    }
}

/// Runs a component until it is to end or is given up.
async fn keep_running<F, Fut>(supervisor: Arc<Inner>, spec: ComponentSpec, context: Context, factory: F)
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), ComponentError>> + Send + 'static,
{
    let mut restarts = Restarts::default();
    let random = RandomState::new();
    loop {
        supervisor.metrics.starts.get(&ByComponent { component: spec.name }).inc();
        let mut task = AbortOnDrop(spawn(factory(context.clone())));
        let ended = (&mut task.0).await;
        if context.shutdown.is_cancelled() {
            return tell_end(spec.name, ended);
        }
        let (cause, detail) = why(ended);
        let jitter = f64::from(u16::try_from(random.hash_one(Instant::now()) % 1_000).unwrap_or(0)) / 1_000.0;
        let Some(delay) = restarts.next(&spec.restart, Instant::now(), jitter) else {
            tracing::error!(part = spec.name, cause, detail, "component is given up");
            supervisor.board.set_own(spec.name, Health::Unhealthy(format!("given up: {detail}")));
            supervisor.failed.send_if_modified(|failed| {
                let first = failed.is_none();
                failed.get_or_insert(Failed { component: spec.name, cause: detail });
                first
            });
            return;
        };
        supervisor.metrics.restarts.get(&ByCause { component: spec.name, cause }).inc();
        let delay_ms = delay.as_millis();
        tracing::error!(part = spec.name, cause, detail, delay_ms, "component failed and is started again");
        supervisor.board.set_own(spec.name, Health::Unhealthy(detail));
        // Nothing is lost when the sleep is dropped.
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
        supervisor.board.restarted(spec.name);
        supervisor.board.set_own(spec.name, Health::Healthy);
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
    let mut interval = tokio::time::interval(CHECK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = interval.tick().await;
        let board = Arc::clone(&supervisor.0.board);
        supervisor.state().watched.iter_mut().for_each(|watched| watched.check(&board, now));
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
