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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nkudo_domain::{AskedBy, HostCommand, Request};

    use super::*;

    #[test]
    fn a_message_says_which_action_it_is_about_and_none_of_its_secrets() {
        let command = HostCommand {
            program: "/bin/true".into(),
            args: vec!["hush".to_owned()],
            timeout: Duration::from_secs(1),
            dir: "/".into(),
            env: [("TOKEN".to_owned(), "hush".to_owned())].into(),
        };
        let action = Action {
            action_id: "one".parse().unwrap(),
            request: Request::Execute(command),
            timeout: Duration::from_secs(1),
            trace_id: None,
            parent_span_id: None,
            correlation_id: None,
            asked_by: AskedBy::File,
            start_within: None,
        };
        assert!(!format!("{action:?}").contains("hush"));
        let action_id = action.action_id.clone();
        let submit =
            Kind::Submit { action: Box::new(action), answer: oneshot::channel().0, bringing: Span::none() };
        let kinds = [
            (submit, "Submit { action_id: ActionId(\"one\") }"),
            (
                Kind::Cancel { action_id, answer: oneshot::channel().0 },
                "Cancel { action_id: ActionId(\"one\") }",
            ),
            (Kind::Acknowledge { seq: 7 }, "Acknowledge { seq: 7 }"),
            (Kind::ReportAs(None), "ReportAs(None)"),
            (Kind::Look(Box::new(|_| ())), "Look"),
        ];
        for (kind, expected) in kinds {
            assert_eq!(format!("{:?}", Command(kind)), expected);
        }
    }
}
