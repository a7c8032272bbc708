//! The handles that the control plane's parts write to.

use std::time::Duration;

use nkudo_domain::{AgentId, SiteId};
use nkudo_metrics_core::{Counter, Desc, Family, Gauge, Histogram, Registry, label_set};

const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BODY_BYTES: &[f64] = &[128.0, 1024.0, 8192.0, 65_536.0, 524_288.0, 4_194_304.0];
const QUERY_SECONDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
const TASK_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
/// Agents whose certificates are shown, at most.
const AGENTS_MAX: usize = 20_000;

const REQUESTS_TOTAL: Desc = Desc::counter(
    "nkudo_http_requests_total",
    "Answered HTTP requests; `route` is the path's template, `unknown` where there is none.",
)
.labels(&["method", "route", "status"]);
const REQUEST_DURATION: Desc = Desc::histogram(
    "nkudo_http_request_duration_seconds",
    "From a request's head to the head of its answer, in seconds.",
    REQUEST_SECONDS,
)
.unit("seconds")
.labels(&["method", "route"]);
const REQUEST_SIZE: Desc = Desc::histogram(
    "nkudo_http_request_size_bytes",
    "Bodies of requests as announced, in bytes.",
    BODY_BYTES,
)
.unit("bytes")
.labels(&["method", "route"]);
const RESPONSE_SIZE: Desc = Desc::histogram(
    "nkudo_http_response_size_bytes",
    "Bodies of answers in bytes; streams are not counted.",
    BODY_BYTES,
)
.unit("bytes")
.labels(&["method", "route"]);
const OPEN_CONNECTIONS: Desc =
    Desc::gauge("nkudo_open_connections", "Open network connections, of agents and of operators.");
const CONNECTIONS_REFUSED: Desc = Desc::counter(
    "nkudo_connections_refused_total",
    "Connections that were cut: too many at once (`limit`), or a TLS handshake that failed (`handshake`).",
)
.labels(&["cause"]);

const AGENTS: Desc = Desc::gauge("nkudo_agents_total", "Enrolled agents, of all tenants.");
const AGENTS_ONLINE: Desc = Desc::gauge("nkudo_agents_online", "Enrolled agents that are online or suspect.");
const AGENTS_OFFLINE: Desc = Desc::gauge("nkudo_agents_offline", "Enrolled agents that are offline.");
const AGENTS_REFRESHED: Desc = Desc::gauge(
    "nkudo_agents_refreshed_timestamp_seconds",
    "When the numbers of agents were last counted, in seconds since the Unix epoch.",
)
.unit("seconds");
const CERTIFICATE_EXPIRY: Desc = Desc::gauge(
    "nkudo_agent_certificate_expiry_timestamp",
    "When an agent's certificate expires, in seconds since the Unix epoch.",
)
.labels(&["agent_id", "site_id"])
.series_max(AGENTS_MAX);
const HEARTBEATS: Desc = Desc::counter("nkudo_heartbeats_received_total", "Heartbeats of agents.");
const NOT_UNDERSTOOD: Desc = Desc::counter(
    "nkudo_link_messages_not_understood_total",
    "Messages of agents that were passed over: of another version, or not valid.",
);
const LINKS: Desc = Desc::gauge("nkudo_links", "Open streams of agents.");
const ENROLMENTS: Desc =
    Desc::counter("nkudo_enrolments_total", "Agents that asked to be let in: `enrolled`, or `refused`.")
        .labels(&["outcome"]);
const LOGS_WENT_BACK: Desc = Desc::counter(
    "nkudo_agent_audit_logs_went_back_total",
    "Audit logs of agents that were found shorter than they had been, or other ones.",
);
const CERTIFICATES_ISSUED: Desc =
    Desc::counter("nkudo_certificates_issued_total", "Certificates issued to agents.");

const TASKS_QUEUED: Desc = Desc::counter("nkudo_tasks_queued_total", "Actions taken in from operators.");
const TASKS_COMPLETED: Desc = Desc::counter(
    "nkudo_tasks_completed_total",
    "Actions that ended with success, as their agents reported.",
);
const TASKS_FAILED: Desc = Desc::counter(
    "nkudo_tasks_failed_total",
    "Actions that ended otherwise: failed, cancelled, expired or refused.",
);
const TASK_DURATION: Desc = Desc::histogram(
    "nkudo_task_duration_seconds",
    "From an operator's request to the recorded end of the action, in seconds.",
    TASK_SECONDS,
)
.unit("seconds");
const TASKS_OPEN: Desc = Desc::gauge("nkudo_tasks_open", "Actions that have not ended.");

const DB_ERRORS: Desc = Desc::counter(
    "nkudo_db_connection_errors_total",
    "Operations of the store that failed: locked, full, read-only or not reachable.",
);
const DB_DURATION: Desc = Desc::histogram(
    "nkudo_db_query_duration_seconds",
    "How long operations of the store took, in seconds.",
    QUERY_SECONDS,
)
.unit("seconds")
.labels(&["query"]);
const DB_CONNECTIONS: Desc =
    Desc::gauge("nkudo_db_connections", "Connections to the database, `active` or `idle`.")
        .labels(&["state"]);

const FORGOTTEN: Desc = Desc::counter(
    "nkudo_db_forgotten_total",
    "Records that were removed because they were too old: `actions`, `executions`, `certificates`, `enrolment_tokens`, `agents`.",
)
.labels(&["kind"]);

/// What [`ControlMetrics::register`] registers.
pub(crate) fn descs() -> Vec<Desc> {
    vec![
        REQUESTS_TOTAL,
        REQUEST_DURATION,
        REQUEST_SIZE,
        RESPONSE_SIZE,
        OPEN_CONNECTIONS,
        CONNECTIONS_REFUSED,
        AGENTS,
        AGENTS_ONLINE,
        AGENTS_OFFLINE,
        AGENTS_REFRESHED,
        CERTIFICATE_EXPIRY,
        HEARTBEATS,
        NOT_UNDERSTOOD,
        LINKS,
        ENROLMENTS,
        CERTIFICATES_ISSUED,
        LOGS_WENT_BACK,
        TASKS_QUEUED,
        TASKS_COMPLETED,
        TASKS_FAILED,
        TASK_DURATION,
        TASKS_OPEN,
        DB_ERRORS,
        DB_DURATION,
        DB_CONNECTIONS,
        FORGOTTEN,
    ]
}

label_set! { struct ByAnswer { method: &'static str, route: &'static str, status: u16 } }
label_set! { struct ByRoute { method: &'static str, route: &'static str } }
label_set! { struct ByAgent { agent_id: String, site_id: String } }
label_set! { struct ByCause { cause: &'static str } }
label_set! { struct ByOutcome { outcome: &'static str } }
label_set! { struct ByQuery { query: &'static str } }
label_set! { struct ByKind { kind: &'static str } }
label_set! { struct ByState { state: &'static str } }

/// The control plane's own metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlMetrics {
    requests: Family<ByAnswer, Counter>,
    request_duration: Family<ByRoute, Histogram>,
    request_size: Family<ByRoute, Histogram>,
    response_size: Family<ByRoute, Histogram>,
    /// Open connections.
    pub open_connections: Gauge,
    connections_refused: Family<ByCause, Counter>,
    agents: Gauge,
    agents_online: Gauge,
    agents_offline: Gauge,
    agents_refreshed: Gauge,
    certificate_expiry: Family<ByAgent, Gauge>,
    /// Heartbeats of agents.
    pub heartbeats: Counter,
    /// Messages of agents that were passed over.
    pub messages_not_understood: Counter,
    /// Open streams of agents.
    pub links: Gauge,
    enrolments: Family<ByOutcome, Counter>,
    /// Certificates issued to agents.
    pub certificates_issued: Counter,
    /// Audit logs of agents that were found shorter than they had been.
    pub agent_logs_went_back: Counter,
    /// Actions taken in.
    pub tasks_queued: Counter,
    tasks_completed: Counter,
    tasks_failed: Counter,
    task_duration: Histogram,
    tasks_open: Gauge,
    db_errors: Counter,
    db_duration: Family<ByQuery, Histogram>,
    db_connections: Family<ByState, Gauge>,
    forgotten: Family<ByKind, Counter>,
}

impl ControlMetrics {
    /// Registers all of them.
    ///
    /// # Panics
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            requests: registry.counter_family(&REQUESTS_TOTAL),
            request_duration: registry.histogram_family(&REQUEST_DURATION),
            request_size: registry.histogram_family(&REQUEST_SIZE),
            response_size: registry.histogram_family(&RESPONSE_SIZE),
            open_connections: registry.gauge(&OPEN_CONNECTIONS),
            connections_refused: registry.counter_family(&CONNECTIONS_REFUSED),
            agents: registry.gauge(&AGENTS),
            agents_online: registry.gauge(&AGENTS_ONLINE),
            agents_offline: registry.gauge(&AGENTS_OFFLINE),
            agents_refreshed: registry.gauge(&AGENTS_REFRESHED),
            certificate_expiry: registry.gauge_family(&CERTIFICATE_EXPIRY),
            heartbeats: registry.counter(&HEARTBEATS),
            messages_not_understood: registry.counter(&NOT_UNDERSTOOD),
            links: registry.gauge(&LINKS),
            enrolments: registry.counter_family(&ENROLMENTS),
            certificates_issued: registry.counter(&CERTIFICATES_ISSUED),
            agent_logs_went_back: registry.counter(&LOGS_WENT_BACK),
            tasks_queued: registry.counter(&TASKS_QUEUED),
            tasks_completed: registry.counter(&TASKS_COMPLETED),
            tasks_failed: registry.counter(&TASKS_FAILED),
            task_duration: registry.histogram(&TASK_DURATION),
            tasks_open: registry.gauge(&TASKS_OPEN),
            db_errors: registry.counter(&DB_ERRORS),
            db_duration: registry.histogram_family(&DB_DURATION),
            db_connections: registry.gauge_family(&DB_CONNECTIONS),
            forgotten: registry.counter_family(&FORGOTTEN),
        };
        for cause in ["limit", "handshake"] {
            metrics.connections_refused.get(&ByCause { cause });
        }
        for outcome in ["enrolled", "refused"] {
            metrics.enrolments.get(&ByOutcome { outcome });
        }
        metrics
    }
}

/// Requests and connections.
impl ControlMetrics {
    /// A request was answered. `response_bytes` is none for a stream.
    pub fn request(
        &self,
        method: &'static str,
        route: &'static str,
        status: u16,
        duration: Duration,
        request_bytes: u64,
        response_bytes: Option<u64>,
    ) {
        self.requests.get(&ByAnswer { method, route, status }).inc();
        let by = ByRoute { method, route };
        self.request_duration.get(&by).observe(duration.as_secs_f64());
        self.request_size.get(&by).observe(request_bytes as f64);
        if let Some(bytes) = response_bytes {
            self.response_size.get(&by).observe(bytes as f64);
        }
    }

    /// A connection was cut because there were too many.
    pub fn connection_over_limit(&self) {
        self.connections_refused.get(&ByCause { cause: "limit" }).inc();
    }

    /// A TLS handshake failed.
    pub fn handshake_failed(&self) {
        self.connections_refused.get(&ByCause { cause: "handshake" }).inc();
    }
}

/// Agents and their actions.
impl ControlMetrics {
    /// How many agents there are; `now_ms` is the wall clock.
    pub fn agents(&self, online: u64, offline: u64, now_ms: i64) {
        self.agents.set((online + offline) as f64);
        self.agents_online.set(online as f64);
        self.agents_offline.set(offline as f64);
        self.agents_refreshed.set(now_ms as f64 / 1_000.0);
    }

    /// When an agent's certificate expires, Unix milliseconds.
    pub fn certificate_expiry(&self, agent_id: AgentId, site_id: &SiteId, expires_at_ms: i64) {
        let by = ByAgent { agent_id: agent_id.to_string(), site_id: site_id.to_string() };
        self.certificate_expiry.get(&by).set(expires_at_ms as f64 / 1_000.0);
    }

    /// Removes the series of an agent that is no longer enrolled.
    pub fn forget_agent(&self, agent_id: AgentId, site_id: &SiteId) {
        let by = ByAgent { agent_id: agent_id.to_string(), site_id: site_id.to_string() };
        self.certificate_expiry.remove(&by);
    }

    /// Somebody asked to be let in.
    pub fn enrolment(&self, enrolled: bool) {
        let outcome = if enrolled { "enrolled" } else { "refused" };
        self.enrolments.get(&ByOutcome { outcome }).inc();
    }

    /// An action that an operator asked for has ended.
    pub fn task_ended(&self, succeeded: bool, duration: Duration) {
        if succeeded { &self.tasks_completed } else { &self.tasks_failed }.inc();
        self.task_duration.observe(duration.as_secs_f64());
    }

    /// How many actions have not ended.
    pub fn tasks_open(&self, open: u64) {
        self.tasks_open.set(open as f64);
    }
}

/// The store.
impl ControlMetrics {
    /// An operation of the store.
    pub fn query(&self, query: &'static str, duration: Duration, failed: bool) {
        self.db_duration.get(&ByQuery { query }).observe(duration.as_secs_f64());
        self.db_errors.inc_by(u64::from(failed));
    }

    /// So many records of a kind were removed because they were too old.
    pub fn forgotten(&self, kind: &'static str, count: u64) {
        self.forgotten.get(&ByKind { kind }).inc_by(count);
    }

    /// Connections to the database.
    pub fn connections(&self, active: u32, idle: u32) {
        self.db_connections.get(&ByState { state: "active" }).set(f64::from(active));
        self.db_connections.get(&ByState { state: "idle" }).set(f64::from(idle));
    }
}
