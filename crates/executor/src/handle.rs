//! How the rest of the program talks to the executor.

use std::time::Duration;

use nkudo_api::view::ActionView;
use nkudo_domain::{Action, ActionId, AgentId};
use nkudo_supervision::Sender;
use nkudo_tracker::{Admission, CancelAnswer, Tracker};
use tokio::sync::{broadcast, oneshot};
use tracing::Span;

use crate::command::{Command, Event, Kind};
use crate::projection::action_view;

/// How long a look may wait for its turn, while the executor recovers for example.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// The executor does not answer: it is being restarted, or the program is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the executor is not running; try again in a moment")]
pub struct NoAnswer;

/// A way to the executor. Cheap to clone; outlives a restart of the executor.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) commands: Sender<Command>,
    pub(crate) events: broadcast::Sender<Event>,
}

impl Handle {
    /// Asks for an action. Answered once it is durable.
    pub async fn submit(&self, action: Action) -> Result<Admission, NoAnswer> {
        self.submit_later(action).await?.await
    }

    /// Asks for an action to be cancelled. The answer does not wait for its end.
    pub async fn cancel(&self, action_id: ActionId) -> Result<CancelAnswer, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.send(Kind::Cancel { action_id, answer }).await?;
        answered.await.map_err(|_| NoAnswer)
    }

    /// Asks for an action, in the order of the calls; the answer is awaited apart, so that others can be asked for
    /// meanwhile.
    ///
    /// The span around this call is held by the executor until it answers. A caller that lets go of it before it awaits
    /// the answer has it end before the action's outcome can be told.
    pub async fn submit_later(
        &self,
        action: Action,
    ) -> Result<impl Future<Output = Result<Admission, NoAnswer>> + Send + use<>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.send(Kind::Submit { action: Box::new(action), answer, bringing: Span::current() }).await?;
        Ok(async move { answered.await.map_err(|_| NoAnswer) })
    }

    /// Says that every result up to this one is known where it was to be told.
    pub async fn acknowledge(&self, seq: u64) -> Result<(), NoAnswer> {
        self.send(Kind::Acknowledge { seq }).await
    }

    /// Says as which agent results are told, or that nobody is told for now. As another agent than before nothing is
    /// told of what was taken in until then. To be said again after a restart of the executor.
    pub async fn report_as(&self, reporter: Option<AgentId>) -> Result<(), NoAnswer> {
        self.send(Kind::ReportAs(reporter)).await
    }

    /// Looks at the tracker's state between two steps. `look` runs on the executor's loop: keep it short.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Tracker) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        // A caller that no longer waits for the answer does not need it.
        let look = move |tracker: &Tracker| drop(answer.send(look(tracker)));
        let looked = async {
            self.send(Kind::Look(Box::new(look))).await?;
            answered.await.map_err(|_| NoAnswer)
        };
        tokio::time::timeout(LOOK_DEADLINE, looked).await.unwrap_or(Err(NoAnswer))
    }

    /// What happens from now on. A listener that falls behind misses the oldest and is told so.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits for the end of an action that was admitted. None when nobody knows it.
    pub async fn wait(&self, action_id: &ActionId) -> Result<Option<ActionView>, NoAnswer> {
        let mut events = self.events();
        loop {
            let wanted = action_id.clone();
            let look = move |tracker: &Tracker| {
                tracker.action(&wanted).map(|tracked| (tracked.has_ended(), action_view(tracked)))
            };
            match self.look(look).await? {
                None => return Ok(None),
                Some((true, view)) => return Ok(Some(view)),
                Some((false, _)) => {}
            }
            loop {
                match events.recv().await {
                    Ok(Event::Action { view, .. }) if view.action_id == *action_id => break,
                    Ok(Event::Action { .. } | Event::Vm(_) | Event::VmGone(_)) => {}
                    // Something was missed, or more than the channel holds: look again.
                    Ok(Event::LookAgain) => break,
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return Err(NoAnswer),
                }
            }
        }
    }

    async fn send(&self, kind: Kind) -> Result<(), NoAnswer> {
        self.commands.send(Command(kind)).await.map_err(|_| NoAnswer)
    }
}
