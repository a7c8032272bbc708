//! The server: its parts, in the order in which they start and end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use nkudo_catalogue::{ControlMetrics, PREFIX};
use nkudo_exporter::{Bound, ExporterError};
use nkudo_host::clock;
use nkudo_journal::{JournalError, RealDisk, atomic_replace};
use nkudo_logbook::LogBook;
use nkudo_logging::{LogConfig, LogError, LogHandle};
use nkudo_metrics_core::Registry;
use nkudo_pki::PkiError;
use nkudo_recorder::{Recorder, RecorderError};
use nkudo_scribe::ScribeError;
use nkudo_store::{SqliteStore, Store, StoreError, StoreObserver};
use nkudo_supervision::{ComponentSpec, Supervisor};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, AdminError};
use crate::audit::Audit;
use crate::config::{COMPONENTS, Settings, Sources};
use crate::control::{Control, Limits};
use crate::data_dir::{DataDir, DataDirError, ServerIdentity};
use crate::grpc::Calls;
use crate::housekeeping;
use crate::listen::{self, Routers, TlsConfig};
use crate::rest::{self, Port};
use crate::roster::{Now, Roster};
use crate::traces;

/// How long the server's own certificate is good.
const SERVER_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often it is looked whether that is to be renewed.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(3600);
/// How long a part may take to end beyond the wait for open requests.
const STOP_EXTRA: Duration = Duration::from_secs(2);
/// Open actions of one agent.
const OPEN_ACTIONS_MAX: u32 = 10_000;
/// Fields that an event takes from the spans around it.
const CONTEXT_FIELDS: &[&str] = &["correlation_id", "action_id", "plan_id"];

/// What the names of the server's log files begin with.
const LOG_NAME: &str = "control-plane";

/// What is running, for `build_info` and for agents.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub version: &'static str,
    pub commit: &'static str,
    pub profile: &'static str,
}

/// Why the server does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Logging(#[from] LogError),
    #[error(transparent)]
    Listen(#[from] ExporterError),
    #[error("recent traces cannot be kept as they are configured")]
    Traces(#[from] RecorderError),
    #[error(transparent)]
    Audit(#[from] ScribeError),
    #[error("the server's certificate cannot be used")]
    Certificate(#[from] PkiError),
    #[error("cannot write {}", path.display())]
    AddrFile { path: PathBuf, source: JournalError },
    #[error("cannot listen to signals")]
    Signals { source: io::Error },
    #[error("{component} failed for good: {cause}")]
    Component { component: String, cause: String },
    #[error("these parts did not end in time: {0}")]
    Hung(String),
}

/// Runs until SIGTERM or SIGINT, or until a part fails for good.
///
/// # Errors
/// When something that it needs is not there, or a part failed.
pub async fn run(sources: Sources, settings: Settings, version: Version) -> Result<(), ServerError> {
    let (log, drain) = nkudo_logging::init_with_spans(&log_config(&settings), &traces::spans_options())?;
    for (variable, near) in &sources.unknown_variables {
        tracing::warn!(
            variable,
            did_you_mean = near,
            "environment variable is no setting of the control plane"
        );
    }
    for name in settings.log_components.keys().filter(|name| !COMPONENTS.contains(&name.as_str())) {
        tracing::warn!(name, "a level is set for a component that is none of the control plane's own");
    }
    // Each agent holds a connection.
    if let Err(error) = nkudo_host::limits::raise_open_files() {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
    let dir = DataDir::open(&settings.data_dir)?;
    let locked = dir.lock()?;
    settings.logs.write_files(&log, &settings.data_dir, LOG_NAME);
    let tls_bound = nkudo_exporter::bind(settings.listen, "listen").await?;
    let plain_bound = nkudo_exporter::bind(settings.http_listen, "http-listen").await?;
    let recorder = drain.map(|drain| traces::start(&settings, drain, &log)).transpose()?;
    let server = Server::assemble(dir, settings, &log, recorder, version).await?;
    let addr_file = AddrFile::write(&server.dir, tls_bound.local_addr(), plain_bound.local_addr())?;
    server.start(tls_bound, plain_bound);
    let ended = server.until_end(&sources, &log).await;
    let stopped = server.stop().await;
    drop(addr_file);
    drop(locked);
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

/// Operations of the store, as metrics.
#[derive(Debug)]
struct Observer(ControlMetrics);

impl StoreObserver for Observer {
    fn query(&self, query: &'static str, duration: Duration, failed: bool) {
        self.0.query(query, duration, failed);
    }
}

struct Server {
    dir: DataDir,
    settings: Settings,
    registry: Registry,
    supervisor: Supervisor,
    store: Arc<SqliteStore>,
    control: Arc<Control>,
    names: Vec<String>,
    tls: TlsConfig,
}

impl Server {
    async fn assemble(
        dir: DataDir,
        settings: Settings,
        log: &LogHandle,
        recorder: Option<Recorder>,
        version: Version,
    ) -> Result<Self, ServerError> {
        let registry = Registry::new();
        let metrics = ControlMetrics::register(&registry);
        log.register(&registry, PREFIX);
        recorder.iter().for_each(|recorder| recorder.register(&registry, PREFIX));
        let build = [("version", version.version), ("commit", version.commit), ("profile", version.profile)];
        nkudo_exporter::collectors::register(&registry, PREFIX, &build);
        let supervisor = Supervisor::new(&registry, PREFIX, clock::wall_ms);
        let url = settings.database_url.clone().unwrap_or_else(|| dir.database_url());
        let store = SqliteStore::open_observed(&url, Arc::new(Observer(metrics.clone()))).await?;
        let store = Arc::new(store);
        let (authority, _made) = admin::initialise(&dir, store.as_ref()).await?;
        let names = server_names(&settings);
        let now = Now::read();
        let identity = dir.server_identity(&authority, &names, SERVER_CERTIFICATE_LIFETIME, now.wall_ms)?;
        let tls = Arc::new(ArcSwap::new(tls_config(authority.certificate_pem(), &identity)?));
        let (standings, flushed_at) = (store.standings().await?, store.seen_flushed_at().await?);
        let roster = Roster::from_books(standings, flushed_at, settings.heartbeat_interval, now);
        let limits = Limits {
            certificate_lifetime: settings.certificate_lifetime,
            action_lifetime: settings.action_lifetime,
            open_actions_max: OPEN_ACTIONS_MAX,
            retention: settings.retention,
        };
        let books: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let control = Control::new(
            books,
            authority,
            roster,
            metrics,
            limits,
            version.version,
            supervisor.clone(),
            recorder,
        );
        let directory = settings.logs.directory(&settings.data_dir);
        let logs = settings.logs.enabled.then(|| LogBook::new(directory, LOG_NAME));
        let audit = Audit::start(&settings, &registry)?;
        audit.started(version.version).await;
        let control = Arc::new(control.with_logs(logs).with_audit(audit));
        Ok(Self { dir, settings, registry, supervisor, store, control, names, tls })
    }

    /// Starts the parts. They end in the reverse order: the ports first, then what was asked for, the audit log, the books last.
    fn start(&self, tls_bound: Bound, plain_bound: Bound) {
        tracing::info!(addr = %tls_bound.local_addr(), port = "tls", "listening");
        tracing::info!(addr = %plain_bound.local_addr(), port = "http", "listening");
        self.start_audit();
        self.start_traces();
        self.start_housekeeping();
        self.start_renewing();
        self.start_deeds();
        self.start_plain(plain_bound.into_listener());
        self.start_tls(tls_bound.into_listener());
        tell_systemd(&[sd_notify::NotifyState::Ready]);
        tracing::info!("ready");
    }

    fn start_audit(&self) {
        let audit = self.control.audit.clone();
        self.supervisor.start(ComponentSpec::new("audit"), move |context| {
            let audit = audit.clone();
            async move { audit.run(&context).await }
        });
    }

    fn start_traces(&self) {
        let Some(recorder) = &self.control.recorder else { return };
        let recorder = recorder.clone();
        self.supervisor.start(ComponentSpec::new("traces"), move |context| {
            let recorder = recorder.clone();
            async move { nkudo_recorder::watch(&recorder, &context).await }
        });
    }

    fn start_housekeeping(&self) {
        let (control, store) = (Arc::clone(&self.control), Arc::clone(&self.store));
        self.supervisor.start(ComponentSpec::new("housekeeping"), move |context| {
            let (control, store) = (Arc::clone(&control), Arc::clone(&store));
            async move {
                housekeeping::run(control, store, &context).await;
                Ok(())
            }
        });
    }

    /// The server's own certificate is renewed before it expires; open connections keep the one they began with.
    fn start_renewing(&self) {
        let (control, dir, names, tls) =
            (Arc::clone(&self.control), self.dir.clone(), self.names.clone(), Arc::clone(&self.tls));
        self.supervisor.start(ComponentSpec::new("certificate"), move |context| {
            let (control, dir, names, tls) =
                (Arc::clone(&control), dir.clone(), names.clone(), Arc::clone(&tls));
            async move {
                loop {
                    tokio::select! {
                        () = context.shutdown.cancelled() => return Ok(()),
                        () = tokio::time::sleep(CERTIFICATE_LOOK) => {}
                    }
                    let lifetime = SERVER_CERTIFICATE_LIFETIME;
                    let identity =
                        dir.server_identity(&control.authority, &names, lifetime, clock::wall_ms())?;
                    tls.store(tls_config(control.authority.certificate_pem(), &identity)?);
                }
            }
        });
    }

    /// What was asked for ends also when its connection has; the ports, which ask, have ended before.
    fn start_deeds(&self) {
        let control = Arc::clone(&self.control);
        self.supervisor.start(ComponentSpec::new("deeds"), move |context| {
            let control = Arc::clone(&control);
            async move {
                context.shutdown.cancelled().await;
                control.deeds.ended().await;
                Ok(())
            }
        });
    }

    fn start_tls(&self, listener: TcpListener) {
        let listener = Arc::new(listener);
        let routers = Routers {
            rest: rest::router(&self.control, &self.registry, Port::Tls),
            grpc: Some(nkudo_rpc::router(Arc::new(Calls(Arc::clone(&self.control))))),
            control: Arc::clone(&self.control),
        };
        let (tls, wait) = (Arc::clone(&self.tls), self.settings.stop_wait);
        self.supervisor.start(ComponentSpec::new("tls"), move |context| {
            let (listener, routers, tls) = (Arc::clone(&listener), routers.clone(), Arc::clone(&tls));
            async move {
                listen::serve_tls(&listener, routers, tls, context.shutdown.clone(), wait).await;
                Ok(())
            }
        });
    }

    fn start_plain(&self, listener: TcpListener) {
        let listener = Arc::new(listener);
        let rest = rest::router(&self.control, &self.registry, Port::Plain);
        let routers = Routers { rest, grpc: None, control: Arc::clone(&self.control) };
        let wait = self.settings.stop_wait;
        self.supervisor.start(ComponentSpec::new("http"), move |context| {
            let (listener, routers) = (Arc::clone(&listener), routers.clone());
            async move {
                listen::serve_plain(&listener, routers, context.shutdown.clone(), wait).await;
                Ok(())
            }
        });
    }

    /// Waits for a signal to end, or for a part that fails for good. SIGHUP reads the levels of the log again.
    async fn until_end(&self, sources: &Sources, log: &LogHandle) -> Result<(), ServerError> {
        let listen = |kind| signal(kind).map_err(|source| ServerError::Signals { source });
        let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let mut hup = listen(SignalKind::hangup())?;
        let mut running = self.settings.clone();
        loop {
            // Signals that come while another branch runs are kept by their streams.
            tokio::select! {
                _ = term.recv() => break tracing::info!(signal = "SIGTERM", "stopping"),
                _ = int.recv() => break tracing::info!(signal = "SIGINT", "stopping"),
                _ = hup.recv() => running = reload(sources, log, running, &self.control.audit).await,
                failed = self.supervisor.failed() => {
                    let (component, cause) = (failed.component.to_owned(), failed.cause);
                    tracing::error!(failed = component, cause, "a part failed for good; stopping");
                    return Err(ServerError::Component { component, cause });
                }
            }
        }
        Ok(())
    }

    async fn stop(&self) -> Result<(), ServerError> {
        tell_systemd(&[sd_notify::NotifyState::Stopping]);
        // Links and event streams end by themselves now; then the connections have nothing open any more.
        self.control.shutdown.cancel();
        let hung = self.supervisor.shutdown(self.settings.stop_wait + STOP_EXTRA).await;
        self.store.close().await;
        tracing::info!("stopped");
        if hung.is_empty() { Ok(()) } else { Err(ServerError::Hung(hung.join(", "))) }
    }
}

async fn reload(sources: &Sources, log: &LogHandle, old: Settings, audit: &Audit) -> Settings {
    let new = match sources.load() {
        Ok(new) => new,
        Err(error) => {
            tracing::error!(%error, "configuration not reloaded; the running one stays");
            audit.reloaded(Err(error.to_string())).await;
            return old;
        }
    };
    let changes = old.changes(&new);
    for key in &changes.restart {
        tracing::warn!(key, "configuration key changed; it takes effect at the next start");
    }
    if old.log_level != new.log_level {
        log.set_level(new.log_level);
    }
    for component in old.log_components.keys().filter(|name| !new.log_components.contains_key(*name)) {
        log.set_component_level(component, None);
    }
    for (component, level) in &new.log_components {
        log.set_component_level(component, Some(*level));
    }
    let changed = changes.live.join(",");
    tracing::info!(changed, "configuration reloaded");
    audit.reloaded(Ok(changed)).await;
    old.with_live_from(&new)
}

fn tls_config(ca_pem: &str, identity: &ServerIdentity) -> Result<Arc<rustls::ServerConfig>, PkiError> {
    nkudo_pki::server_config(ca_pem, &identity.chain_pem, &identity.key)
}

/// The names that agents and operators may know this server by.
fn server_names(settings: &Settings) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let hostname = nkudo_host::facts::read().map(|facts| facts.hostname).unwrap_or_default();
    names.extend((!hostname.is_empty()).then_some(hostname));
    names.extend(nkudo_host::net::addresses().iter().map(ToString::to_string));
    names.extend(settings.server_names.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Without systemd there is nobody to tell.
fn tell_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// `control-plane.addr.json`, there while the ports are served.
struct AddrFile(PathBuf);

impl AddrFile {
    fn write(dir: &DataDir, listen: SocketAddr, http_listen: SocketAddr) -> Result<Self, ServerError> {
        let path = dir.addr_file();
        let body = serde_json::json!({ "listen": listen, "http_listen": http_listen }).to_string();
        atomic_replace(&RealDisk, &path, body.as_bytes())
            .map_err(|source| ServerError::AddrFile { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for AddrFile {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "address file not removed");
    }
}
