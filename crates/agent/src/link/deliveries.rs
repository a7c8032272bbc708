//! Actions that come over the link, on their way into the executor.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use nkudo_domain::{ActionId, AskedBy};
use nkudo_executor::{Handle, NoAnswer};
use nkudo_fleet::TheirTime;
use nkudo_host::clock;
use nkudo_rpc::message::{Answer, Delivery, FromAgent};
use nkudo_tracker::{Admission, Known, Tracker};
use tracing::Instrument as _;

use super::reports;
use crate::audit::{Asked, Audit};
use crate::offline::refusal;
use crate::origin::take_in;

/// Said of an action whose result is not told.
const ANOTHER_ASKED: &str = "another action of that id was asked of this host before; take another id";

type Answering = Pin<Box<dyn Future<Output = Result<Vec<FromAgent>, NoAnswer>> + Send>>;

/// What was handed to the executor and is not answered. As many as the control plane has on its way, which bounds it.
pub(super) struct Deliveries {
    executor: Handle,
    audit: Audit,
    answering: FuturesUnordered<Answering>,
}

impl Deliveries {
    pub(super) fn new(executor: Handle, audit: Audit) -> Self {
        Self { executor, audit, answering: FuturesUnordered::new() }
    }

    /// Takes up a delivery, in the order in which they come. `theirs` is the control plane's clock, by which its
    /// expiry is judged.
    pub(super) async fn take(&mut self, delivery: Delivery, theirs: TheirTime) -> Result<(), NoAnswer> {
        let Delivery { action_id, action, expires_at_ms, cancel, taken_in } = delivery;
        let mut action = match action {
            Ok(action) => action,
            Err(sentence) => {
                let asked = Asked::unreadable(action_id.clone(), AskedBy::ControlPlane);
                self.refuse(asked, sentence.clone(), received(action_id, Answer::Refused(sentence)));
                return Ok(());
            }
        };
        action.asked_by = AskedBy::ControlPlane;
        let asked = Asked::of(&action);
        let now_ms = theirs.at(clock::boottime_ms());
        action.start_within =
            Some(Duration::from_millis(expires_at_ms.saturating_sub(now_ms).max(0).unsigned_abs()));
        if cancel || taken_in || now_ms >= expires_at_ms {
            // What this host has begun it goes on with, and tells its result; only what is new is not begun.
            let delivered = action.clone();
            let answer = match self.executor.look(move |tracker| tracker.knows(&delivered)).await? {
                Known::No if taken_in || self.audit.outlived(&action_id) => {
                    let why = refusal(Admission::RecordLost);
                    Some((Answer::Refused(why.to_owned()), why))
                }
                Known::No if cancel => Some((Answer::Cancelled, "it was cancelled before it came")),
                Known::No => Some((Answer::Expired, "it came after its time")),
                Known::AsAnother => Some((Answer::Refused(ANOTHER_ASKED.to_owned()), ANOTHER_ASKED)),
                Known::Same if cancel => {
                    self.audit.cancel_asked(&action_id, AskedBy::ControlPlane).await;
                    self.executor.cancel(action_id.clone()).await?;
                    self.answer(received(action_id, Answer::Accepted));
                    return Ok(());
                }
                Known::Same => None,
            };
            if let Some((answer, why)) = answer {
                self.refuse(asked, why.to_owned(), received(action_id, answer));
                return Ok(());
            }
        }
        let span = take_in("consumer", &mut action);
        // The span is the executor's while the answer is awaited.
        let admitted = self.executor.submit_later(action).instrument(span).await?;
        let (executor, wanted, audit) = (self.executor.clone(), action_id.clone(), self.audit.clone());
        self.answering.push(Box::pin(async move {
            let answer = match admitted.await? {
                Admission::New => Answer::Accepted,
                Admission::Repeated => {
                    let look = move |tracker: &Tracker| {
                        let tracked = tracker.action(&wanted)?;
                        Some((tracked.foreign, reports::told_before(tracker, tracked)))
                    };
                    match executor.look(look).await? {
                        Some((true, _)) => {
                            audit.refused(asked, ANOTHER_ASKED).await;
                            Answer::Refused(ANOTHER_ASKED.to_owned())
                        }
                        // Whoever asks again does not know any more how it ended.
                        Some((false, Some(result))) => {
                            let result = FromAgent::Result(Box::new(result));
                            return Ok(vec![received(action_id, Answer::Accepted), result]);
                        }
                        Some((false, None)) | None => Answer::Accepted,
                    }
                }
                // Busy would hold up what is for VMs, which wait for no command.
                refused @ (Admission::Conflict
                | Admission::AuditFull
                | Admission::RecordLost
                | Admission::CommandsFull
                | Admission::OutputsFull) => {
                    audit.refused(asked, refusal(refused)).await;
                    Answer::Refused(refusal(refused).to_owned())
                }
                // Not for good: it is delivered again.
                busy @ (Admission::QueueFull
                | Admission::ResultsFull
                | Admission::DiskFull
                | Admission::AuditBroken
                | Admission::Stopping) => Answer::Busy(refusal(busy).to_owned()),
            };
            Ok(vec![received(action_id, answer)])
        }));
        Ok(())
    }

    /// Answers once the refusal is on record.
    fn refuse(&mut self, asked: Asked, why: String, message: FromAgent) {
        let audit = self.audit.clone();
        self.answering.push(Box::pin(async move {
            audit.refused(asked, &why).await;
            Ok(vec![message])
        }));
    }

    fn answer(&mut self, message: FromAgent) {
        self.answering.push(Box::pin(std::future::ready(Ok(vec![message]))));
    }

    /// The next answer for the control plane, with the result where that was told before; waits for ever while nothing is under
    /// way. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Vec<FromAgent>, NoAnswer> {
        match self.answering.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }
}

fn received(action_id: ActionId, answer: Answer) -> FromAgent {
    FromAgent::Received { action_id, answer }
}
