//! What happens to an action, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use nkudo_api::view::ActionView;
use nkudo_domain::{ActionId, ActionStatus};
use nkudo_executor::projection::action_view;
use nkudo_executor::{Event, Handle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Served;
use super::actions::{known_form, unknown};
use super::answer::Refused;

/// How the action stands now and after every change, as events named `action`; ends with its end.
pub(crate) async fn of_action(
    State(local): State<Arc<Served>>,
    Path(action_id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Refused> {
    let action_id = known_form(&action_id)?;
    let events = local.executor.events();
    let first = current(&local.executor, &action_id).await.ok_or_else(|| unknown(&action_id))?;
    let listener = Listener {
        handle: local.executor.clone(),
        events,
        shutdown: local.shutdown.clone(),
        action_id,
        next: Some(first),
        over: false,
    };
    let stream = unfold(listener, |mut listener| async {
        let view = listener.next_view().await?;
        let event = SseEvent::default().event("action").json_data(&view).ok()?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

async fn current(handle: &Handle, action_id: &ActionId) -> Option<ActionView> {
    let wanted = action_id.clone();
    handle.look(move |tracker| tracker.action(&wanted).map(action_view)).await.ok().flatten()
}

struct Listener {
    handle: Handle,
    events: Receiver<Event>,
    /// The stream ends with the daemon; the executor has ended before.
    shutdown: CancellationToken,
    action_id: ActionId,
    /// What is to be told without waiting.
    next: Option<ActionView>,
    over: bool,
}

impl Listener {
    async fn next_view(&mut self) -> Option<ActionView> {
        if self.over {
            return None;
        }
        let view = match self.next.take() {
            Some(view) => view,
            None => self.wait().await?,
        };
        self.over =
            !matches!(view.status, ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running);
        Some(view)
    }

    async fn wait(&mut self) -> Option<ActionView> {
        loop {
            // What was received is not lost: the event that ends the stream comes before the end of the daemon.
            let event = tokio::select! {
                biased;
                event = self.events.recv() => event,
                () = self.shutdown.cancelled() => return None,
            };
            match event {
                Ok(Event::Action { view, .. }) if view.action_id == self.action_id => return Some(*view),
                Ok(Event::Action { .. } | Event::Vm(_) | Event::VmGone(_)) => {}
                // Something was missed; the state now is what matters.
                Ok(Event::LookAgain) | Err(RecvError::Lagged(_)) => {
                    return current(&self.handle, &self.action_id).await;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
