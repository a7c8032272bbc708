//! VMs, executions, status, health, metrics and the log's level.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use nkudo_api::Problem;
use nkudo_api::time::WallTime;
use nkudo_api::view::{
    ComponentView, ExecutionView, HealthChangeView, HostHealthView, List, LogLevelView, StatusView, VmView,
};
use nkudo_domain::{ActionType, ExecutionStatus, VmId, VmState};
use nkudo_executor::projection::{vm_view, vms_by_state};
use nkudo_host::clock;
use nkudo_logging::{InvalidLevel, LogLevel};
use nkudo_supervision::Health;
use nkudo_tracker::Tracker;

use super::Served;
use super::answer::{self, Refused};
use super::paging::ListQuery;
use crate::outages;
use crate::status::status as status_of;

pub(crate) async fn vms(
    State(local): State<Arc<Served>>,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<List<VmView>>, Refused> {
    let query = ListQuery::read(query, &["state"])?;
    let state: Option<VmState> = query.get("state")?;
    let views = all_vms(&local).await?;
    Ok(Json(
        query.page(views.into_iter().filter(|vm| state.is_none_or(|wanted| vm.state == wanted)).collect()),
    ))
}

pub(crate) async fn vm(
    State(local): State<Arc<Served>>,
    Path(vm_id): Path<String>,
) -> Result<Json<VmView>, Refused> {
    let vm_id: VmId = vm_id
        .parse()
        .map_err(|error: nkudo_domain::InvalidId| Refused::invalid("vm_id", error.to_string()))?;
    let found = all_vms(&local).await?.into_iter().find(|vm| vm.vm_id == vm_id);
    found.map(Json).ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("no vm {vm_id} on this host")))
}

async fn all_vms(local: &Served) -> Result<Vec<VmView>, Refused> {
    let providers = local.providers.clone();
    let look = move |tracker: &Tracker| {
        let pid = |vm_id, provider| {
            let provider = providers.0.get(&provider)?;
            provider.identity(vm_id).map(|identity| identity.pid)
        };
        tracker.vms().map(|(vm_id, vm)| vm_view(vm, pid(vm_id, vm.provider))).collect()
    };
    Ok(local.executor.look(look).await?)
}

pub(crate) async fn executions(
    State(local): State<Arc<Served>>,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<List<ExecutionView>>, Refused> {
    let query = ListQuery::read(query, &["status", "action_type", "vm_id", "since", "until"])?;
    let status: Option<ExecutionStatus> = query.get("status")?;
    let action_type: Option<ActionType> = query.get("action_type")?;
    let vm_id: Option<VmId> = query.get("vm_id")?;
    let (since, until) = (query.time("since")?, query.time("until")?);
    let look = move |tracker: &Tracker| -> Vec<ExecutionView> {
        let all: Vec<ExecutionView> = tracker.executions().map(ExecutionView::from).collect();
        all.into_iter()
            .rev()
            .filter(|view| {
                status.is_none_or(|wanted| view.status == wanted)
                    && action_type.is_none_or(|wanted| view.action_type == wanted)
                    && vm_id.is_none_or(|wanted| view.vm_id == Some(wanted))
                    && since.is_none_or(|since| view.started_at >= since)
                    && until.is_none_or(|until| view.started_at <= until)
            })
            .collect()
    };
    let views = local.executor.look(look).await?;
    Ok(Json(query.page(views)))
}

pub(crate) async fn status(State(local): State<Arc<Served>>) -> Result<Json<StatusView>, Refused> {
    let look = |tracker: &Tracker| (vms_by_state(tracker), tracker.queue_depth() as u64);
    let (vms, queue_depth) = local.executor.look(look).await?;
    let now_ms = clock::wall_ms();
    let (identity, connection) = (local.standing.identity(), local.standing.connection());
    let last_outage = local.outages.last();
    let mut status = status_of(identity.as_ref(), Some(connection), vms, queue_depth, last_outage, now_ms);
    // A certificate that was revoked looks good to its owner; only the control plane knows.
    status.certificate.valid &= !local.standing.is_refused();
    Ok(Json(status))
}

/// Health now, and the outages since a time, or of the last day.
pub(crate) async fn health(
    State(local): State<Arc<Served>>,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<HostHealthView>, Refused> {
    let query = ListQuery::read(query, &["since"])?;
    let since_ms =
        query.time("since")?.map_or_else(|| outages::since_default(clock::wall_ms()), |since| since.0);
    let report = local.supervisor.health();
    let components = report
        .components
        .into_iter()
        .map(|component| ComponentView {
            component: component.name.to_owned(),
            health: component.health.as_str().to_owned(),
            reason: component.health.reason().map(str::to_owned),
            since: WallTime(component.since_ms),
            restarts: component.restarts,
        })
        .collect();
    Ok(Json(HostHealthView {
        health: report.overall.as_str().to_owned(),
        daemon_running: true,
        components,
        outages: query.page(local.outages.since(since_ms)).items,
    }))
}

pub(crate) async fn health_history(
    State(local): State<Arc<Served>>,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<List<HealthChangeView>>, Refused> {
    let query = ListQuery::read(query, &["since"])?;
    let since_ms = query.time("since")?.map_or(i64::MIN, |since| since.0);
    let changes = local.supervisor.history(since_ms).into_iter().map(|change| HealthChangeView {
        at: WallTime(change.at_ms),
        component: change.component.to_owned(),
        health: Health::as_str(&change.health).to_owned(),
        reason: change.health.reason().map(str::to_owned),
    });
    Ok(Json(query.page(changes.collect())))
}

/// Collectors may take their time, which no worker is to wait for.
pub(crate) async fn metrics(
    State(local): State<Arc<Served>>,
) -> Result<Json<List<nkudo_api::view::SampleView>>, Refused> {
    let registry = local.registry.clone();
    let views = tokio::task::spawn_blocking(move || crate::samples::views(&registry)).await;
    let failed = |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be read");
    Ok(Json(List::whole(views.map_err(failed)?)))
}

pub(crate) async fn log_level(State(local): State<Arc<Served>>) -> Json<LogLevelView> {
    Json(LogLevelView { level: local.log.level().as_str().to_owned() })
}

pub(crate) async fn set_log_level(
    State(local): State<Arc<Served>>,
    body: Body,
) -> Result<Json<LogLevelView>, Refused> {
    let body = answer::json(&answer::body(body).await?)?;
    let wanted = nkudo_api::log_level::parse(&body).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let level: LogLevel =
        wanted.parse().map_err(|error: InvalidLevel| Refused::invalid("level", error.to_string()))?;
    local.log.set_level(level);
    tracing::info!(level = level.as_str(), "log level changed");
    local.audit.log_level_set(level.as_str()).await;
    Ok(Json(LogLevelView { level: level.as_str().to_owned() }))
}
