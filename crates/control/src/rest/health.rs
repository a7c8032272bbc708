//! The health of the control plane itself.

use axum::http::StatusCode;
use nkudo_api::time::WallTime;
use nkudo_api::view::{ComponentView, HealthView};

use super::answer::{self, Answered};
use super::routes::Call;

pub(super) async fn show(call: Call) -> Answered {
    let report = call.control.supervisor.health();
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
    answer::json(StatusCode::OK, &HealthView { health: report.overall.as_str().to_owned(), components })
}
