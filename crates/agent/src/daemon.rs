//! The daemon: its parts, in the order in which they start and end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_executor::{Command, Executor, Handle, Providers};
use nkudo_exporter::{Bound, ExporterError, ProbeAnswer, Probes};
use nkudo_host::clock;
use nkudo_journal::{JournalError, RealDisk};
use nkudo_logbook::LogBook;
use nkudo_logging::{LogConfig, LogError, LogHandle};
use nkudo_metrics_core::Registry;
use nkudo_recorder::{Recorder, RecorderError};
use nkudo_scribe::ScribeError;
use nkudo_supervision::{Check, ComponentError, ComponentSpec, Receiver, Sender, Supervisor};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::addr_file::AddrFile;
use crate::audit::Audit;
use crate::config::{COMPONENTS, Settings, Sources};
use crate::history::{self, Ask, History};
use crate::link::{Link, Standing};
use crate::local::{self, Local};
use crate::offline::executor_config;
use crate::outages::Outages;
use crate::providers::{providers, qemu};
use crate::reload::Reloader;
use crate::sampler::Sampler;
use crate::state_dir::{StateDir, StateDirError};
use crate::traces;

/// How long the executor may take to answer a look before it is not well.
const EXECUTOR_ANSWERS: Duration = Duration::from_secs(5);
/// Messages that wait for the executor; more make their senders wait.
pub(crate) const EXECUTOR_MAILBOX_MAX: usize = 256;
/// How long a part may take to end beyond the wait for running actions.
const STOP_EXTRA: Duration = Duration::from_secs(5);
/// The prefix of every metric.
const PREFIX: &str = "nkudo_";
/// Fields that an event takes from the spans around it.
const CONTEXT_FIELDS: &[&str] = &["correlation_id", "action_id", "plan_id"];
/// What the names of the daemon's log files begin with.
pub(crate) const LOG_NAME: &str = "edge-agent";

/// What is running, for `build_info`.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub version: &'static str,
    pub commit: &'static str,
    pub profile: &'static str,
}

/// Why the daemon does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error(transparent)]
    Logging(#[from] LogError),
    #[error(transparent)]
    Exporter(#[from] ExporterError),
    #[error("recent traces cannot be kept as they are configured")]
    Traces(#[from] RecorderError),
    #[error(transparent)]
    Audit(#[from] ScribeError),
    #[error("cannot open {}", path.display())]
    Socket { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}", path.display())]
    AddrFile { path: PathBuf, source: JournalError },
    #[error("cannot listen to signals")]
    Signals { source: std::io::Error },
    #[error("{component} failed for good: {cause}")]
    Component { component: String, cause: String },
    #[error("these parts did not end in time: {0}")]
    Hung(String),
}

/// Runs until SIGTERM or SIGINT, or until a part fails for good. VMs run on.
pub async fn run(sources: Sources, settings: Settings, version: Version) -> Result<(), DaemonError> {
    let (log, drain) = nkudo_logging::init_with_spans(&log_config(&settings), &traces::spans_options())?;
    for (variable, near) in &sources.unknown_variables {
        tracing::warn!(variable, did_you_mean = near, "environment variable is no setting of the agent");
    }
    for name in settings.log_components.keys().filter(|name| !COMPONENTS.contains(&name.as_str())) {
        tracing::warn!(name, "a level is set for a component that is none of the agent's own");
    }
    let dir = StateDir::exclusive(&settings.state_dir).await?;
    settings.logs.write_files(&log, &settings.state_dir, LOG_NAME);
    let bound = nkudo_exporter::bind(settings.metrics_addr, "metrics-addr").await?;
    let socket = local::bind(dir.path())
        .map_err(|source| DaemonError::Socket { path: dir.path().join(local::SOCKET_NAME), source })?;
    let addr_file = AddrFile::write(dir.path(), bound.local_addr())?;
    let recorder = drain.map(|drain| traces::start(&settings, drain, &log)).transpose()?;
    let daemon = Daemon::assemble(settings, log.clone(), recorder, version).await?;
    let audit = daemon.audit.clone();
    audit.started(version.version).await;
    let reloader = Reloader { sources, log, settings: daemon.settings.clone(), audit };
    daemon.start(bound, socket);
    let ended = daemon.until_end(&reloader).await;
    if let Err(fault) = &ended {
        daemon.outages.ends_for(fault.to_string());
    }
    let stopped = daemon.stop().await;
    drop(addr_file);
    ended.and(stopped)
}

/// How a program of these settings logs.
pub fn log_config(settings: &Settings) -> LogConfig {
    LogConfig {
        format: settings.log_format,
        level: settings.log_level,
        components: settings.log_components.clone(),
        target_prefix: "nkudo_",
        context_fields: CONTEXT_FIELDS,
        repeats: settings.logs.repeat_limit(),
        secrets: nkudo_pki::SECRET_PREFIXES,
        ..LogConfig::default()
    }
}

/// The log files of the daemon of these settings.
pub fn log_book(settings: &Settings) -> LogBook {
    LogBook::new(settings.logs.directory(&settings.state_dir), LOG_NAME)
}

/// Where the history is asked, and hears it.
struct Questions {
    sender: Sender<Ask>,
    /// Locked by the history while it runs.
    mailbox: Arc<Mutex<Receiver<Ask>>>,
}

struct Daemon {
    settings: watch::Sender<Settings>,
    registry: Registry,
    metrics: AgentMetrics,
    supervisor: Supervisor,
    providers: Providers,
    executor: Arc<Executor<RealDisk>>,
    /// Locked by the executor while it runs; a restarted one takes it over.
    mailbox: Arc<Mutex<Receiver<Command>>>,
    handle: Handle,
    /// None where it is off.
    history: Option<Questions>,
    standing: Arc<Standing>,
    outages: Arc<Outages>,
    log: LogHandle,
    recorder: Option<Recorder>,
    /// None where none is written.
    logs: Option<LogBook>,
    audit: Audit,
    ready: Arc<AtomicBool>,
}

impl Daemon {
    async fn assemble(
        settings: Settings,
        log: LogHandle,
        recorder: Option<Recorder>,
        version: Version,
    ) -> Result<Self, ScribeError> {
        let registry = Registry::new();
        let metrics = AgentMetrics::register(&registry);
        log.register(&registry, PREFIX);
        recorder.iter().for_each(|recorder| recorder.register(&registry, PREFIX));
        nkudo_exporter::collectors::register(
            &registry,
            PREFIX,
            &[("version", version.version), ("commit", version.commit), ("profile", version.profile)],
        );
        let supervisor = Supervisor::new(&registry, PREFIX, clock::wall_ms);
        let providers = providers(&settings);
        let (commands, mailbox) = supervisor.mailbox("executor", EXECUTOR_MAILBOX_MAX);
        let history = settings.history_enabled.then(|| {
            let (sender, mailbox) = supervisor.mailbox("history", history::MAILBOX_MAX);
            Questions { sender, mailbox: Arc::new(Mutex::new(mailbox)) }
        });
        let (executor, handle) = Executor::new(
            executor_config(&settings),
            providers.clone(),
            RealDisk,
            metrics.clone(),
            supervisor.operations("executor"),
            commands,
        );
        let audit = Audit::start(&settings, Audit::register(&registry))?;
        let executor = match audit.witness() {
            Some(witness) => executor.witnessed_by(witness),
            None => executor,
        };
        let logs = settings.logs.enabled.then(|| log_book(&settings));
        let outages = Outages::open(settings.state_dir.clone(), metrics.outages.clone()).await;
        Ok(Self {
            settings: watch::Sender::new(settings),
            registry,
            metrics,
            supervisor,
            providers,
            executor: Arc::new(executor),
            mailbox: Arc::new(Mutex::new(mailbox)),
            history,
            handle,
            standing: Arc::default(),
            outages: Arc::new(outages),
            log,
            recorder,
            logs,
            audit,
            ready: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Starts the parts. They end in the reverse order: the executor before the link and the socket, so that whoever
    /// waits for the outcome of an action still hears it, the metrics late, and the audit log last.
    fn start(&self, bound: Bound, socket: UnixListener) {
        tracing::info!(addr = %bound.local_addr(), "listening");
        self.start_audit();
        self.start_exporter(bound);
        self.start_traces();
        self.start_history();
        self.start_local(socket);
        self.start_outages();
        self.start_link();
        self.start_executor();
        self.start_sampler();
    }
}

impl Daemon {
    fn start_exporter(&self, bound: Bound) {
        let bound = Arc::new(bound);
        let registry = self.registry.clone();
        let probes = self.probes();
        self.supervisor.start(ComponentSpec::new("exporter"), move |context| {
            let (bound, registry, probes) = (Arc::clone(&bound), registry.clone(), probes.clone());
            async move {
                bound.serve(registry, probes, context.shutdown.clone()).await;
                Ok(())
            }
        });
    }

    fn probes(&self) -> Probes {
        let (supervisor, ready) = (self.supervisor.clone(), Arc::clone(&self.ready));
        let health = move || {
            let overall = supervisor.health().overall;
            ProbeAnswer { ok: !overall.is_unhealthy(), body: format!("{}\n", overall.as_str()) }
        };
        let ready = move || {
            let ready = ready.load(Ordering::Acquire);
            let body = if ready { "ready\n" } else { "not ready: vms are being adopted\n" };
            ProbeAnswer { ok: ready, body: body.to_owned() }
        };
        Probes { health: Arc::new(health), ready: Arc::new(ready) }
    }

    fn start_executor(&self) {
        let (executor, mailbox) = (Arc::clone(&self.executor), Arc::clone(&self.mailbox));
        let ready = Arc::clone(&self.ready);
        let handle = self.handle.clone();
        let qemu = Arc::new(qemu(&self.settings.borrow()));
        let answers = Check::new("answers", EXECUTOR_ANSWERS, move || {
            let handle = handle.clone();
            async move { handle.look(|_| ()).await.map_err(|error| error.to_string()) }
        });
        self.supervisor.start(ComponentSpec::new("executor").with_check(answers), move |context| {
            let (executor, mailbox, ready) =
                (Arc::clone(&executor), Arc::clone(&mailbox), Arc::clone(&ready));
            let (readiness, qemu) = (Arc::clone(&ready), Arc::clone(&qemu));
            async move {
                let mut mailbox = mailbox.lock().await;
                qemu.sweep();
                let tell_ready = || {
                    ready.store(true, Ordering::Release);
                    tell_systemd(&[sd_notify::NotifyState::Ready]);
                    tracing::info!("ready");
                };
                let ran = Box::pin(executor.run(&mut mailbox, context.shutdown.clone(), tell_ready)).await;
                // What keeps it from starting the first time is not mended by trying again.
                let was_ready = readiness.load(Ordering::Acquire);
                ran.map_err(|error| if was_ready { error.into() } else { ComponentError::hopeless(error) })
            }
        });
    }

    fn start_audit(&self) {
        let audit = self.audit.clone();
        self.supervisor.start(ComponentSpec::new("audit"), move |context| {
            let audit = audit.clone();
            async move { audit.run(&context).await }
        });
    }

    fn start_traces(&self) {
        let Some(recorder) = &self.recorder else { return };
        let recorder = recorder.clone();
        self.supervisor.start(ComponentSpec::new("traces"), move |context| {
            let recorder = recorder.clone();
            async move { nkudo_recorder::watch(&recorder, &context).await }
        });
    }

    fn start_history(&self) {
        let Some(Questions { mailbox, .. }) = &self.history else { return };
        let history = Arc::new(History {
            settings: self.settings.subscribe(),
            registry: self.registry.clone(),
            metrics: self.metrics.history.clone(),
            taken: AtomicU64::new(0),
        });
        let mailbox = Arc::clone(mailbox);
        self.supervisor.start(ComponentSpec::new("history"), move |context| {
            let (history, mailbox) = (Arc::clone(&history), Arc::clone(&mailbox));
            async move {
                history.run(&mut *mailbox.lock().await, &context).await;
                Ok(())
            }
        });
    }

    fn start_local(&self, socket: UnixListener) {
        let socket = Arc::new(Mutex::new(Some(socket)));
        let local = Local {
            executor: self.handle.clone(),
            supervisor: self.supervisor.clone(),
            providers: self.providers.clone(),
            standing: Arc::clone(&self.standing),
            outages: Arc::clone(&self.outages),
            state_dir: self.settings.borrow().state_dir.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            logs: self.logs.clone(),
            history: self.history.as_ref().map(|history| history.sender.clone()),
            recorder: self.recorder.clone(),
            audit: self.audit.clone(),
        };
        let path = self.settings.borrow().state_dir.clone();
        self.supervisor.start(ComponentSpec::new("local"), move |context| {
            let (socket, local, path) = (Arc::clone(&socket), local.clone(), path.clone());
            async move {
                // The first start has the socket that was opened before anything began; a restart opens its own.
                let listener = match socket.lock().await.take() {
                    Some(listener) => listener,
                    None => local::bind(&path)?,
                };
                local::serve(listener, local, context.shutdown.clone()).await;
                Ok(())
            }
        });
    }

    /// Ends after the link, whose last words it writes down.
    fn start_outages(&self) {
        let outages = Arc::clone(&self.outages);
        self.supervisor.start(ComponentSpec::new("outages"), move |context| {
            let outages = Arc::clone(&outages);
            async move {
                outages.run(&context).await;
                Ok(())
            }
        });
    }

    fn start_link(&self) {
        let link = Arc::new(Link {
            state_dir: self.settings.borrow().state_dir.clone(),
            executor: self.handle.clone(),
            supervisor: self.supervisor.clone(),
            metrics: self.metrics.clone(),
            standing: Arc::clone(&self.standing),
            outages: Arc::clone(&self.outages),
            recorder: self.recorder.clone(),
            logs: self.logs.clone(),
            audit: self.audit.clone(),
        });
        self.supervisor.start(ComponentSpec::new("link"), move |context| {
            let link = Arc::clone(&link);
            async move {
                link.run(&context).await;
                Ok(())
            }
        });
    }

    fn start_sampler(&self) {
        let sampler = Arc::new(Sampler {
            settings: self.settings.subscribe(),
            executor: self.handle.clone(),
            providers: self.providers.clone(),
            supervisor: self.supervisor.clone(),
            metrics: self.metrics.clone(),
        });
        self.supervisor.start(ComponentSpec::new("sampler"), move |context| {
            let sampler = Arc::clone(&sampler);
            async move {
                sampler.run(&context).await;
                Ok(())
            }
        });
    }

    /// Waits for a signal to end, or for a part that fails for good. SIGHUP reloads the configuration.
    async fn until_end(&self, reloader: &Reloader) -> Result<(), DaemonError> {
        let listen = |kind| signal(kind).map_err(|source| DaemonError::Signals { source });
        let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let mut hup = listen(SignalKind::hangup())?;
        loop {
            // Signals that come while another branch runs are kept by their streams.
            tokio::select! {
                _ = term.recv() => break tracing::info!(signal = "SIGTERM", "stopping; vms run on"),
                _ = int.recv() => break tracing::info!(signal = "SIGINT", "stopping; vms run on"),
                _ = hup.recv() => reloader.reload().await,
                failed = self.supervisor.failed() => {
                    let (component, cause) = (failed.component.to_owned(), failed.cause);
                    tracing::error!(failed = component, cause, "a part failed for good; stopping");
                    return Err(DaemonError::Component { component, cause });
                }
            }
        }
        Ok(())
    }

    async fn stop(&self) -> Result<(), DaemonError> {
        tell_systemd(&[sd_notify::NotifyState::Stopping]);
        let wait = self.settings.borrow().stop_wait + STOP_EXTRA;
        let hung = self.supervisor.shutdown(wait).await;
        let socket = self.settings.borrow().state_dir.join(local::SOCKET_NAME);
        if let Err(error) = std::fs::remove_file(&socket) {
            tracing::debug!(path = %socket.display(), %error, "socket not removed");
        }
        tracing::info!("stopped");
        if hung.is_empty() { Ok(()) } else { Err(DaemonError::Hung(hung.join(", "))) }
    }
}

/// Without systemd there is nobody to tell.
fn tell_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
