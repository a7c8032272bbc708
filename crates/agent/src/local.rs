//! The local socket: the REST paths that make sense on one host, for its own command line.

mod actions;
mod answer;
mod connections;
mod doctor;
mod events;
mod explain;
mod history;
mod identity;
mod logs;
mod paging;
mod traces;
mod views;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use nkudo_executor::{Handle, Providers};
use nkudo_logbook::LogBook;
use nkudo_logging::LogHandle;
use nkudo_metrics_core::Registry;
use nkudo_recorder::Recorder;
use nkudo_supervision::{Sender, Supervisor};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::history::Ask;
use crate::link::Standing;
use crate::outages::Outages;

/// The name of the socket in the state directory.
pub const SOCKET_NAME: &str = "agent.sock";

/// What the socket's answers are made from.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) executor: Handle,
    pub(crate) supervisor: Supervisor,
    pub(crate) providers: Providers,
    pub(crate) standing: Arc<Standing>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) state_dir: PathBuf,
    pub(crate) registry: Registry,
    pub(crate) log: LogHandle,
    /// None where none is written.
    pub(crate) logs: Option<LogBook>,
    /// None where it is off.
    pub(crate) history: Option<Sender<Ask>>,
    /// None where nothing is recorded.
    pub(crate) recorder: Option<Recorder>,
    pub(crate) audit: Audit,
}

/// What handlers are given: what answers are made from, and when to let go.
pub(crate) struct Served {
    pub(crate) local: Local,
    pub(crate) shutdown: CancellationToken,
}

impl Deref for Served {
    type Target = Local;

    fn deref(&self) -> &Local {
        &self.local
    }
}

/// Opens the socket, for its owner only. What an agent that was killed left behind is replaced.
pub(crate) fn bind(state_dir: &Path) -> std::io::Result<UnixListener> {
    nkudo_host::unix::bind(&state_dir.join(SOCKET_NAME))
}

/// Serves until `shutdown`, then lets open requests be answered within a bound.
pub(crate) async fn serve(listener: UnixListener, local: Local, shutdown: CancellationToken) {
    connections::serve(listener, router(local, shutdown.clone()), shutdown).await;
}

fn router(local: Local, shutdown: CancellationToken) -> Router {
    Router::new()
        .route("/v1/actions", post(actions::submit).get(actions::list))
        .route("/v1/actions/{action_id}", get(actions::show))
        .route("/v1/actions/{action_id}/cancel", post(actions::cancel))
        .route("/v1/actions/{action_id}/events", get(events::of_action))
        .route("/v1/vms", get(views::vms))
        .route("/v1/vms/{vm_id}", get(views::vm))
        .route("/v1/vms/{vm_id}/explain", get(explain::vm))
        .route("/v1/doctor", get(doctor::look))
        .route("/v1/executions", get(views::executions))
        .route("/v1/status", get(views::status))
        .route("/v1/renew", post(identity::renew))
        .route("/v1/unenroll", post(identity::unenroll))
        .route("/v1/health", get(views::health))
        .route("/v1/health/history", get(views::health_history))
        .route("/v1/metrics", get(views::metrics))
        .route("/v1/metrics/query", get(history::query))
        .route("/v1/log-level", put(views::set_log_level).get(views::log_level))
        .route("/v1/traces", get(traces::list))
        .route("/v1/traces/{trace_id}", get(traces::show))
        .route("/v1/logs", get(logs::list))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .with_state(Arc::new(Served { local, shutdown }))
}
