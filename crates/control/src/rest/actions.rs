//! Actions: asked for, listed, cancelled.

use axum::http::StatusCode;
use nkudo_api::Problem;
use nkudo_api::action::{Origin as Asking, parse};
use nkudo_api::time::WallTime;
use nkudo_api::view::{Accepted, ActionView, List, command_result};
use nkudo_domain::{ActionId, ActionStatus, AgentId, CommandOutput, SpanId, TraceId};
use nkudo_store::{ActionFilter, ActionRecord, Asked as AskedOfBooks, Cancelled, Origin};
use tracing::field::display;

use super::answer::{self, Answered, Refused};
use super::routes::Call;
use super::service::request_id;
use crate::audit::Asked;
use crate::control::Control;

pub(super) async fn submit(call: Call) -> Answered {
    let agent_id: AgentId = call.params.require("agent_id")?;
    let value = answer::parsed(&call.body)?;
    let action = parse(&value, "", asking(&call)).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let span = tracing::Span::current();
    span.record("action_id", display(&action.action_id)).record("vm_id", action.request.vm_id().map(display));
    let principal = call.principal()?;
    let control = &call.control;
    let now_ms = nkudo_host::clock::wall_ms();
    let lifetime_ms = i64::try_from(control.limits.action_lifetime.as_millis()).unwrap_or(i64::MAX);
    let action_id = action.action_id.clone();
    let action_type = action.request.action_type();
    let record = ActionRecord {
        tenant_id: principal.tenant_id.clone(),
        agent_id,
        action,
        origin: Origin::Fleet,
        status: ActionStatus::Queued,
        created_at_ms: now_ms,
        expires_at_ms: now_ms.saturating_add(lifetime_ms),
        sent_at_ms: None,
        cancel_asked: false,
        started_at_ms: None,
        completed_at_ms: None,
        duration_ms: None,
        changed: None,
        error: None,
        retries: 0,
        output: None,
    };
    let asked = Asked::of(&record.action, agent_id, &principal.tenant_id, &principal.key_id);
    // What was taken in before is answered as it was then.
    if let Err(no_room) = control.audit.room_for(action_type)
        && control.store.action(&principal.tenant_id, &action_id).await?.is_none()
    {
        control.audit.count_refused();
        return Err(no_room.into());
    }
    let refused = match control.store.ask(&record, control.limits.open_actions_max).await? {
        AskedOfBooks::New => {
            control.metrics.tasks_queued.inc();
            tracing::info!(
                action_type = action_type.as_str(), %agent_id, by = %principal, "action taken in"
            );
            control.roster.wake(agent_id);
            control.changed(&principal.tenant_id, &action_id);
            control.audit.action_accepted(asked).await;
            return answer::json(StatusCode::ACCEPTED, &Accepted { action_id });
        }
        AskedOfBooks::Repeated(_) => return answer::json(StatusCode::ACCEPTED, &Accepted { action_id }),
        AskedOfBooks::Conflict => {
            let detail = format!(
                "action {action_id} was asked for with another body, or of another agent; take another action_id"
            );
            Refused::new(StatusCode::CONFLICT, detail)
        }
        AskedOfBooks::NoAgent => no_agent(agent_id),
        AskedOfBooks::VmElsewhere(other) => {
            let detail = format!(
                "agent {other} has a vm of that vm_id, or is to make it; delete it there first (if that host is no more, \
                 unenrol the agent), or take another vm_id"
            );
            Refused::new(StatusCode::CONFLICT, detail)
        }
        AskedOfBooks::QueueFull => {
            let max = control.limits.open_actions_max;
            let detail = format!("{max} actions of the agent have not ended; wait for some, or cancel them");
            Refused::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    };
    control.audit.action_refused(asked, &refused.0.detail).await;
    Err(refused)
}

pub(super) fn no_agent(agent_id: AgentId) -> Refused {
    Refused::not_found(format!("there is no agent {agent_id}; nkudo agents lists those that are enrolled"))
}

/// A new id, the trace of the request and its span in it.
fn asking(call: &Call) -> Asking {
    let action_id: ActionId =
        uuid::Uuid::now_v7().to_string().parse().expect("a UUID is made of what an action id may have");
    let span = nkudo_spans::current();
    let trace_id = span.map_or_else(nkudo_spans::TraceId::generate, |span| span.trace_id);
    Asking {
        action_id,
        trace_id: TraceId::from_bytes(trace_id.to_bytes()),
        parent_span_id: span.and_then(|span| SpanId::from_bytes(span.span_id.to_bytes())),
        correlation_id: request_id(&call.headers).map(str::to_owned),
    }
}

pub(super) async fn list(call: Call) -> Answered {
    let filter = ActionFilter {
        agent_id: call.params.get("agent_id")?,
        status: call.params.get("status")?,
        action_type: call.params.get("action_type")?,
        vm_id: call.params.get("vm_id")?,
        since_ms: call.params.time_ms("since")?,
        until_ms: call.params.time_ms("until")?,
    };
    let listed =
        call.control.store.actions(&call.principal()?.tenant_id, &filter, &call.params.page()?).await?;
    let items: Vec<ActionView> =
        listed.items.into_iter().map(|record| in_list(&call.control, record)).collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

pub(super) async fn show(call: Call) -> Answered {
    let action_id: ActionId = call.params.require("action_id")?;
    let found = call.control.store.action(&call.principal()?.tenant_id, &action_id).await?;
    let record = found.ok_or_else(|| unknown(&action_id))?;
    answer::json(StatusCode::OK, &view(&call.control, &record))
}

pub(super) async fn cancel(call: Call) -> Answered {
    let action_id: ActionId = call.params.require("action_id")?;
    let principal = call.principal()?;
    let (control, tenant_id) = (&call.control, &principal.tenant_id);
    let known = control.store.action(tenant_id, &action_id).await?.ok_or_else(|| unknown(&action_id))?;
    // Before the books have it: whenever the server is killed, what is cancelled has its line.
    if is_open(known.status) && !known.cancel_asked {
        control.audit.cancel_asked(&action_id, tenant_id, &principal.key_id).await;
    }
    let now_ms = nkudo_host::clock::wall_ms();
    match control.store.cancel(tenant_id, &action_id, now_ms).await? {
        Cancelled::Done => {
            if let Some(record) = control.store.action(tenant_id, &action_id).await? {
                control.ended(&[record]);
            }
        }
        Cancelled::Asked(agent_id) => control.roster.cancel(agent_id, action_id.clone()),
        Cancelled::AskedBefore(agent_id) => {
            control.roster.cancel(agent_id, action_id.clone());
            return answer::json(StatusCode::ACCEPTED, &Accepted { action_id });
        }
        Cancelled::AlreadyEnded => {
            let detail = format!("action {action_id} has ended; there is nothing to cancel");
            return Err(Refused::new(StatusCode::CONFLICT, detail));
        }
        Cancelled::Unknown => return Err(unknown(&action_id)),
    }
    tracing::info!(%action_id, by = %principal, "action cancelled");
    answer::json(StatusCode::ACCEPTED, &Accepted { action_id })
}

fn is_open(status: ActionStatus) -> bool {
    match status {
        ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running => true,
        ActionStatus::Success | ActionStatus::Failure | ActionStatus::Cancelled | ActionStatus::Expired => {
            false
        }
    }
}

pub(super) fn unknown(action_id: &ActionId) -> Refused {
    Refused::not_found(format!("there is no action {action_id}"))
}

/// How an action is shown among others: a page of them is not to be as large as all that commands have written.
fn in_list(control: &Control, record: ActionRecord) -> ActionView {
    let output = record.output.map(|output| output.cut(CommandOutput::LISTED_MAX_BYTES));
    view(control, &ActionRecord { output, ..record })
}

/// What one that is queued waits for.
fn waiting_for(control: &Control, record: &ActionRecord) -> Option<String> {
    let held_up = control.roster.holds_up(record.agent_id)?;
    // It was sent, and the host may have it.
    let is_cancelled = "it is to be cancelled; only the agent can say whether it has begun".to_owned();
    Some(if record.cancel_asked { is_cancelled } else { held_up })
}

/// How an action is shown.
pub(super) fn view(control: &Control, record: &ActionRecord) -> ActionView {
    let action = &record.action;
    let is_queued = record.status == ActionStatus::Queued;
    ActionView {
        action_id: action.action_id.clone(),
        plan_id: None,
        agent_id: Some(record.agent_id.to_string()),
        action_type: action.request.action_type(),
        status: record.status,
        waiting_for: is_queued.then(|| waiting_for(control, record)).flatten(),
        changed: record.changed,
        error: record.error.clone(),
        result: record.output.as_ref().map(command_result),
        retries: record.retries,
        created_at: WallTime(record.created_at_ms),
        started_at: record.started_at_ms.map(WallTime),
        completed_at: record.completed_at_ms.map(WallTime),
        duration_ms: record.duration_ms,
        trace_id: action.trace_id,
        vm_id: action.request.vm_id(),
    }
}

#[cfg(test)]
mod tests;
