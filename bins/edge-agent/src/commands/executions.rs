//! `executions`.

use nkudo_agent::config::Settings;
use nkudo_api::view::{ExecutionView, List};
use nkudo_domain::{ActionType, ExecutionStatus};

use nkudo_terminal::daemon::view;
use nkudo_terminal::print::{self, bytes, or_dash};
use nkudo_terminal::{Failure, Output};

/// Which executions are wanted.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) status: Option<String>,
    pub(crate) action_type: Option<String>,
    pub(crate) limit: u32,
}

pub(crate) async fn run(settings: &Settings, filter: Filter, output: Output) -> Result<(), Failure> {
    let status: Option<ExecutionStatus> = parsed("--status", filter.status)?;
    let action_type: Option<ActionType> = parsed("--action-type", filter.action_type)?;
    let mut path = format!("/v1/executions?limit={}", filter.limit);
    if let Some(status) = status {
        path.push_str(&format!("&status={status}"));
    }
    if let Some(action_type) = action_type {
        path.push_str(&format!("&action_type={action_type}"));
    }
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let list: List<ExecutionView> = view(settings, &path, |offline| {
        let wanted = |view: &ExecutionView| {
            status.is_none_or(|status| view.status == status)
                && action_type.is_none_or(|action_type| view.action_type == action_type)
        };
        Ok(List::whole(offline.executions().into_iter().rev().filter(wanted).take(limit).collect()))
    })
    .await?;
    match output {
        Output::Json => print::json(&list),
        Output::Text if list.items.is_empty() => print::line("no executions"),
        Output::Text => {
            let rows = list.items.iter().map(|execution| {
                vec![
                    execution.started_at.to_string(),
                    execution.action_type.to_string(),
                    execution.status.to_string(),
                    or_dash(execution.duration_ms.map(|ms| format!("{ms} ms"))),
                    format!("{} %", execution.resource_usage.cpu_percent),
                    bytes(execution.resource_usage.memory_bytes),
                    execution.retries.to_string(),
                    execution.action_id.to_string(),
                    or_dash(execution.error.as_deref()),
                ]
            });
            let headings =
                ["started", "action", "status", "duration", "cpu", "memory", "retries", "action id", "error"];
            print::table(&headings, rows)
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    flag: &str,
    text: Option<String>,
) -> Result<Option<T>, Failure> {
    let parse = |text: String| text.parse().map_err(|error| Failure::Refused(format!("{flag}: {error}")));
    text.map(parse).transpose()
}
