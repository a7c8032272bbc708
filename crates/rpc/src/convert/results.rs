//! Ends of actions.

use nkudo_domain::{ActionId, CommandOutput, EndStatus, ResourceUsage};

use super::{WireError, body_json, cut, parsed, read_body};
use crate::generated as wire;
use crate::message::{ActionResult, ExecutionReport};
use crate::trace_context::TraceContext;

impl From<ActionResult> for wire::Result {
    fn from(result: ActionResult) -> Self {
        let ActionResult { seq, action_id, action, status, changed, error, retries, .. } = result;
        let context = action.as_ref().map(TraceContext::of).unwrap_or_default();
        Self {
            seq,
            action_id: action_id.to_string(),
            body_json: action.map(|action| body_json(&action)).unwrap_or_default(),
            status: status.to_string(),
            changed,
            error,
            retries,
            created_at_ms: result.created_at_ms,
            completed_at_ms: result.completed_at_ms,
            execution: result.execution.map(wire::Execution::from),
            trace_id: context.trace_id.map(|id| id.to_string()),
            parent_span_id: context.parent_span_id.map(|id| id.to_string()),
        }
    }
}

impl TryFrom<wire::Result> for ActionResult {
    type Error = WireError;

    fn try_from(result: wire::Result) -> Result<Self, WireError> {
        let action_id: ActionId = parsed("result.action_id", &result.action_id)?;
        // Whatever else cannot be read: the action has ended, and that has to be known.
        let context = TraceContext {
            trace_id: result.trace_id.and_then(|id| id.parse().ok()),
            parent_span_id: result.parent_span_id.and_then(|id| id.parse().ok()),
        };
        let action = read_body(&result.body_json, &action_id, context, None).ok();
        let (status, error) = match result.status.parse() {
            Ok(status) => (status, result.error),
            Err(_) => {
                let said = cut(result.status);
                let error = format!("the host says that it ended as `{said}`, which is not known here");
                (EndStatus::Failure, Some(error))
            }
        };
        Ok(Self {
            seq: result.seq,
            action_id,
            action,
            status,
            changed: result.changed,
            error: error.map(cut),
            retries: result.retries,
            created_at_ms: result.created_at_ms,
            completed_at_ms: result.completed_at_ms,
            execution: result.execution.map(ExecutionReport::from),
        })
    }
}

impl From<ExecutionReport> for wire::Execution {
    fn from(execution: ExecutionReport) -> Self {
        Self {
            started_at_ms: execution.started_at_ms,
            duration_ms: execution.duration_ms,
            cpu_percent: execution.usage.cpu_percent,
            memory_bytes: execution.usage.memory_bytes,
            output: execution.output.map(|output| wire::CommandOutput {
                exit_code: output.exit_code,
                stdout: output.stdout,
                stderr: output.stderr,
                truncated: output.truncated,
            }),
        }
    }
}

impl From<wire::Execution> for ExecutionReport {
    fn from(execution: wire::Execution) -> Self {
        Self {
            started_at_ms: execution.started_at_ms,
            duration_ms: execution.duration_ms,
            usage: ResourceUsage {
                // What is no number cannot be kept.
                cpu_percent: Some(execution.cpu_percent).filter(|cpu| cpu.is_finite()).unwrap_or(0.0),
                memory_bytes: execution.memory_bytes,
            },
            output: execution.output.map(|output| {
                let wire::CommandOutput { exit_code, stdout, stderr, truncated } = output;
                CommandOutput { exit_code, stdout, stderr, truncated }.bounded()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_wrote_is_told_and_no_more_of_it_than_is_kept() {
        let report = |stdout: &str, truncated| ExecutionReport {
            started_at_ms: 1,
            duration_ms: 2,
            usage: ResourceUsage::default(),
            output: Some(CommandOutput {
                exit_code: Some(-3),
                stdout: stdout.to_owned(),
                stderr: "x".to_owned(),
                truncated,
            }),
        };
        let told = |report: ExecutionReport| ExecutionReport::from(wire::Execution::from(report));
        let none = ExecutionReport { output: None, ..report("", false) };
        for report in [report("out", false), report("out", true), none] {
            assert_eq!(told(report.clone()), report);
        }
        // A host of another version, or one that is not to be trusted.
        let long = "ü".repeat(CommandOutput::TEXT_MAX_BYTES);
        let output = told(report(&long, false)).output.unwrap();
        assert_eq!((output.stdout.len(), output.truncated), (CommandOutput::TEXT_MAX_BYTES, true));
    }
}
