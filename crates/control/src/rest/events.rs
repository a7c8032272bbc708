//! What happens to an action, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::IntoResponse;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::stream::unfold;
use nkudo_api::view::ActionView;
use nkudo_domain::{ActionId, ActionStatus, AgentId, TenantId};
use nkudo_store::ActionRecord;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::actions::{unknown, view};
use super::answer::Answered;
use super::routes::Call;
use crate::control::{Change, Control};

/// How the action stands now and after every change, as events named `action`; ends with its end.
pub(super) async fn of_action(call: Call) -> Answered {
    let action_id: ActionId = call.params.require("action_id")?;
    let tenant_id = call.principal()?.tenant_id.clone();
    // Listening begins before the first look, so that nothing falls between.
    let changes = call.control.changes();
    let first = call.control.store.action(&tenant_id, &action_id).await?;
    let first = first.ok_or_else(|| unknown(&action_id))?;
    let follower = Follower {
        control: call.control,
        changes,
        tenant_id,
        action_id,
        agent_id: first.agent_id,
        next: Some(first),
        told: None,
        over: false,
    };
    let stream = unfold(follower, |mut follower| async {
        let action = follower.next_view().await?;
        let event = SseEvent::default().event("action").json_data(action).ok()?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

struct Follower {
    control: Arc<Control>,
    changes: Receiver<Change>,
    tenant_id: TenantId,
    action_id: ActionId,
    agent_id: AgentId,
    /// What is to be told without waiting.
    next: Option<ActionRecord>,
    /// How it stood when it was last told, and what it waited for.
    told: Option<(ActionStatus, Option<String>)>,
    over: bool,
}

impl Follower {
    async fn next_view(&mut self) -> Option<ActionView> {
        if self.over {
            return None;
        }
        let action = match self.next.take() {
            Some(record) => view(&self.control, &record),
            None => self.wait().await?,
        };
        self.told = Some((action.status, action.waiting_for.clone()));
        self.over =
            !matches!(action.status, ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running);
        Some(action)
    }

    fn is_about(&self, change: &Change) -> bool {
        match change {
            Change::Action { tenant_id, action_id } => {
                *action_id == self.action_id && *tenant_id == self.tenant_id
            }
            Change::HoldsUp(agent_id) => {
                let is_queued = self.told.as_ref().is_some_and(|(status, _)| *status == ActionStatus::Queued);
                is_queued && *agent_id == self.agent_id
            }
        }
    }

    async fn wait(&mut self) -> Option<ActionView> {
        loop {
            tokio::select! {
                biased;
                change = self.changes.recv() => match change {
                    Ok(change) if self.is_about(&change) => {}
                    Ok(_) => continue,
                    // Something was missed; the books know how it stands.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = self.control.shutdown.cancelled() => return None,
            }
            let record = self.control.store.action(&self.tenant_id, &self.action_id).await.ok()??;
            let action = view(&self.control, &record);
            if self.told.as_ref() != Some(&(action.status, action.waiting_for.clone())) {
                return Some(action);
            }
        }
    }
}
