//! What the rest of the program asks of the executor, and what it tells.

use nkudo_api::view::{ActionView, VmView};
use nkudo_domain::{Action, ActionId, AgentId, VmId};
use nkudo_tracker::{Admission, CancelAnswer, Tracker};
use tokio::sync::oneshot;
use tracing::Span;

/// A look at the tracker's state between two steps.
type Look = Box<dyn FnOnce(&Tracker) + Send>;

/// A message to the executor, made by a [`Handle`](crate::Handle).
pub struct Command(pub(crate) Kind);

pub(crate) enum Kind {
    Submit {
        action: Box<Action>,
        answer: oneshot::Sender<Admission>,
        /// The span that brings the action. The executor holds it until it answers, and nobody else need.
        bringing: Span,
    },
    Cancel {
        action_id: ActionId,
        answer: oneshot::Sender<CancelAnswer>,
    },
    Acknowledge {
        seq: u64,
    },
    ReportAs(Option<AgentId>),
    Look(Look),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Submit { action, .. } => {
                f.debug_struct("Submit").field("action_id", &action.action_id).finish()
            }
            Kind::Cancel { action_id, .. } => f.debug_struct("Cancel").field("action_id", action_id).finish(),
            Kind::Acknowledge { seq } => f.debug_struct("Acknowledge").field("seq", seq).finish(),
            Kind::ReportAs(reporter) => f.debug_tuple("ReportAs").field(reporter).finish(),
            Kind::Look(_) => f.write_str("Look"),
        }
    }
}

/// Something that listeners may want to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// An action began or ended.
    Action {
        view: Box<ActionView>,
        /// It was taken in while the host reported as another agent.
        foreign: bool,
    },
    /// A VM is there or is in another state.
    Vm(Box<VmView>),
    /// A VM is no more.
    VmGone(VmId),
    /// The executor was restarted: what happened meanwhile was not told, so look.
    LookAgain,
}
