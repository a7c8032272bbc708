//! How the rest of the control plane reaches the session of an open link.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use nkudo_domain::ActionId;
use nkudo_rpc::message::{LogsAnswer, LogsRequest};
use tokio::sync::{Notify, oneshot};

use super::questions::{LogsAnswered, Questions};

/// A box for mail, and a bell.
#[derive(Debug, Default)]
pub(crate) struct LinkSignal {
    notify: Notify,
    mail: Mutex<Mail>,
    questions: Mutex<Questions>,
}

/// What has happened that a session has to look at.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Actions were asked for.
    pub(crate) new_actions: bool,
    /// Cancelled after they were sent. As many as there are open actions, at most.
    pub(crate) cancels: BTreeSet<ActionId>,
    /// To the host's log; as many as may wait for their answer.
    pub(crate) questions: Vec<LogsRequest>,
    pub(crate) end: Option<EndOfLink>,
}

/// Why a link is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOfLink {
    /// The agent has opened another.
    Replaced,
    Unenrolled,
}

impl LinkSignal {
    pub(super) fn tell(&self, write: impl FnOnce(&mut Mail)) {
        write(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.notify.notify_one();
    }

    /// What has happened since the last time.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is something to take. Cancel safe.
    pub(crate) async fn notified(&self) {
        self.notify.notified().await;
    }

    /// Sends a question to the host's log; none when too many wait for an answer.
    pub(super) fn ask(
        &self,
        parameters: BTreeMap<String, String>,
        oldest_first: bool,
    ) -> Option<oneshot::Receiver<LogsAnswered>> {
        let asked = self.questions.lock().unwrap_or_else(PoisonError::into_inner).ask();
        let (request_id, answer) = asked?;
        self.tell(|mail| mail.questions.push(LogsRequest { request_id, parameters, oldest_first }));
        Some(answer)
    }

    pub(crate) fn answered(&self, answer: LogsAnswer) {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).answered(answer);
    }
}
