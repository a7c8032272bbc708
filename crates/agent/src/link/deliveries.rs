//! Actions that come over the link, on their way into the executor.

use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use nkudo_domain::ActionId;
use nkudo_executor::{Handle, NoAnswer};
use nkudo_fleet::Skew;
use nkudo_host::clock;
use nkudo_rpc::message::{Answer, Delivery, FromAgent};
use nkudo_tracker::{Admission, Known, Tracked, Tracker};
use tracing::Instrument as _;

use crate::offline::refusal;
use crate::origin::take_in;

/// Said of an action whose result is not told.
const ANOTHER_ASKED: &str = "another action of that id was asked of this host before; take another id";

type Answering = Pin<Box<dyn Future<Output = Result<FromAgent, NoAnswer>> + Send>>;

/// What was handed to the executor and is not answered. As many as the control plane has on its way, which bounds it.
pub(super) struct Deliveries {
    executor: Handle,
    answering: FuturesUnordered<Answering>,
}

impl Deliveries {
    pub(super) fn new(executor: Handle) -> Self {
        Self { executor, answering: FuturesUnordered::new() }
    }

    /// Takes up a delivery, in the order in which they come. `skew` tells the control plane's clock, by which its
    /// expiry is judged.
    pub(super) async fn take(&mut self, delivery: Delivery, skew: Option<Skew>) -> Result<(), NoAnswer> {
        let Delivery { action_id, action, expires_at_ms, cancel } = delivery;
        let mut action = match action {
            Ok(action) => action,
            Err(sentence) => {
                self.answer(received(action_id, Answer::Refused(sentence)));
                return Ok(());
            }
        };
        let now_ms = skew.map_or_else(clock::wall_ms, |skew| skew.theirs(clock::wall_ms()));
        if cancel || now_ms >= expires_at_ms {
            // What this host has begun it goes on with, and tells its result; only what is new is not begun.
            let asked = action.clone();
            let answer = match self.executor.look(move |tracker| tracker.knows(&asked)).await? {
                Known::No if cancel => Some(Answer::Cancelled),
                Known::No => Some(Answer::Expired),
                Known::AsAnother => Some(Answer::Refused(ANOTHER_ASKED.to_owned())),
                Known::Same if cancel => {
                    self.executor.cancel(action_id.clone()).await?;
                    Some(Answer::Accepted)
                }
                Known::Same => None,
            };
            if let Some(answer) = answer {
                self.answer(received(action_id, answer));
                return Ok(());
            }
        }
        let span = take_in("consumer", &mut action);
        // The span is the executor's while the answer is awaited.
        let admitted = self.executor.submit_later(action).instrument(span).await?;
        let (executor, wanted) = (self.executor.clone(), action_id.clone());
        self.answering.push(Box::pin(async move {
            let answer = match admitted.await? {
                Admission::New => Answer::Accepted,
                Admission::Repeated => {
                    let foreign = |tracked: &Tracked| tracked.foreign;
                    let look = move |tracker: &Tracker| tracker.action(&wanted).is_some_and(foreign);
                    if executor.look(look).await? {
                        Answer::Refused(ANOTHER_ASKED.to_owned())
                    } else {
                        Answer::Accepted
                    }
                }
                refused @ Admission::Conflict => Answer::Refused(refusal(refused).to_owned()),
                Admission::QueueFull | Admission::ResultsFull | Admission::DiskFull | Admission::Stopping => {
                    Answer::Busy
                }
            };
            Ok(received(action_id, answer))
        }));
        Ok(())
    }

    fn answer(&mut self, message: FromAgent) {
        self.answering.push(Box::pin(std::future::ready(Ok(message))));
    }

    /// The next answer for the control plane; waits for ever while nothing is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<FromAgent, NoAnswer> {
        match self.answering.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }
}

fn received(action_id: ActionId, answer: Answer) -> FromAgent {
    FromAgent::Received { action_id, answer }
}
