//! `executions`.

use nkudo_api::view::ExecutionView;
use nkudo_terminal::Failure;
use nkudo_terminal::print::{bytes, or_dash};

use crate::cli::Executions;
use crate::list::{self, Row};
use crate::query::Query;
use crate::session::Session;

pub(crate) async fn run(session: &Session, executions: Executions) -> Result<(), Failure> {
    let Executions { status, of, listing } = executions;
    let query = of.narrow(Query::new("/v1/executions").with("status", status.as_ref()));
    list::run::<ExecutionRow>(session, &query, &listing).await
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct ExecutionRow(ExecutionView);

impl Row for ExecutionRow {
    const HEADINGS: &'static [&'static str] = &[
        "started",
        "action",
        "status",
        "duration",
        "cpu",
        "memory",
        "retries",
        "action id",
        "agent id",
        "vm id",
        "error",
    ];
    const NONE: &'static str = "no executions";

    fn cells(&self) -> Vec<String> {
        let Self(execution) = self;
        vec![
            execution.started_at.to_string(),
            execution.action_type.to_string(),
            execution.status.to_string(),
            or_dash(execution.duration_ms.map(|ms| format!("{ms} ms"))),
            format!("{} %", execution.resource_usage.cpu_percent),
            bytes(execution.resource_usage.memory_bytes),
            execution.retries.to_string(),
            execution.action_id.to_string(),
            or_dash(execution.agent_id.as_deref()),
            or_dash(execution.vm_id),
            or_dash(execution.error.as_deref()),
        ]
    }
}
