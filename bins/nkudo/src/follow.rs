//! An action followed to its end.

use std::time::Duration;

use nkudo_api::view::ActionView;
use nkudo_client::ClientError;
use nkudo_domain::{ActionId, ActionStatus};
use nkudo_terminal::{Failure, Output, print};
use serde_json::Value;

use crate::list::unexpected;
use crate::query::Query;
use crate::session::Session;

/// How long an action may wait for its host, before it expires.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// How long beyond an action's own deadline its end is waited for: taking back what it began takes time.
const WAIT_EXTRA: Duration = Duration::from_secs(60);
/// The longest time an action may take on its host.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// How long a stream may be silent before the action is looked at anew: the stream may be dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long is waited before a stream that broke is opened again.
const REOPEN_WAIT: Duration = Duration::from_secs(1);
/// Most failures in a row before the control plane is given up.
const FAILURES_MAX: u32 = 30;

/// How long the end of an action is waited for that may take `timeout` on its host.
pub(crate) fn patience(timeout: Option<Duration>) -> Duration {
    LIFETIME + timeout.unwrap_or(TIMEOUT_MAX) + WAIT_EXTRA
}

/// Whether an action has come to its end.
fn is_end(status: ActionStatus) -> bool {
    match status {
        ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running => false,
        ActionStatus::Success | ActionStatus::Failure | ActionStatus::Cancelled | ActionStatus::Expired => {
            true
        }
    }
}

/// An action's end, as it came.
#[derive(Debug)]
pub(crate) struct Ended {
    view: ActionView,
    value: Value,
}

impl Ended {
    pub(crate) fn status(&self) -> ActionStatus {
        self.view.status
    }

    /// Prints how it ended, in one line.
    pub(crate) fn print(&self, output: Output) -> Result<(), Failure> {
        match output {
            Output::Json => print::json_line(&self.value),
            Output::Text => {
                let ActionView { action_id, action_type, status, error, changed, duration_ms, .. } =
                    &self.view;
                let end = match (error, changed) {
                    (Some(error), _) => format!("{status}: {}", print::escaped(error)),
                    (None, Some(false)) if *status == ActionStatus::Success => {
                        "success (unchanged)".to_owned()
                    }
                    (None, _) => status.to_string(),
                };
                let took = duration_ms.map(|ms| format!(" ({ms} ms)")).unwrap_or_default();
                print::line(&format!("{action_id} {action_type} {end}{took}"))?;
                print::output_of_command(self.view.result.as_ref())
            }
        }
    }
}

/// Waits for the end of an action and tells every change on the way from `known`, where it stands already.
pub(crate) async fn to_end(
    session: &Session,
    action_id: &ActionId,
    known: Option<ActionStatus>,
    patience: Duration,
) -> Result<Ended, Failure> {
    let mut follower = Follower { session, action_id, told: known, waited_for: None };
    tokio::time::timeout(patience, follower.run()).await.unwrap_or_else(|_| {
        let waited = patience.as_secs();
        Err(Failure::Failed(format!("action {action_id} did not end within {waited} s; it may do so yet")))
    })
}

struct Follower<'a> {
    session: &'a Session,
    action_id: &'a ActionId,
    told: Option<ActionStatus>,
    /// What it was told to wait for.
    waited_for: Option<String>,
}

impl Follower<'_> {
    /// Opens the stream again where it breaks: what counts is how the action stands. A control plane that never said
    /// anything of the action is not waited for.
    async fn run(&mut self) -> Result<Ended, Failure> {
        let mut failures = 0;
        loop {
            let told = self.told;
            match self.stream().await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => failures = 0,
                Err(Broken::Client(error)) if told.is_some() && failures < FAILURES_MAX && passes(&error) => {
                    // A stream that told something new was a good one.
                    failures = if self.told == told { failures + 1 } else { 1 };
                    if failures == 1 {
                        print::note(&format!("{error}; trying again"));
                    }
                }
                Err(Broken::Client(error)) => return Err(self.session.failure(error)),
                Err(Broken::Shape(error)) => return Err(unexpected(error)),
            }
            tokio::time::sleep(REOPEN_WAIT).await;
        }
    }

    /// One stream; none when it ended, or was silent, before the action ended.
    async fn stream(&mut self) -> Result<Option<Ended>, Broken> {
        let query = Query::new("/v1/actions").segment(self.action_id).segment(&"events");
        let mut events = self.session.events(&query).await.map_err(Broken::Client)?;
        loop {
            let Ok(event) = tokio::time::timeout(SILENCE_MAX, events.next()).await else { return Ok(None) };
            let Some(event) = event.map_err(Broken::Client)? else { return Ok(None) };
            if event.name != "action" {
                continue;
            }
            let value: Value = serde_json::from_str(&event.data).map_err(Broken::Shape)?;
            let view: ActionView = serde_json::from_value(value.clone()).map_err(Broken::Shape)?;
            if self.told != Some(view.status) || self.waited_for != view.waiting_for {
                let why = view.waiting_for.as_deref().map(|why| format!(": {}", print::escaped(why)));
                let why = why.unwrap_or_default();
                print::note(&format!("{} {} {}{why}", view.action_id, view.action_type, view.status));
                (self.told, self.waited_for) = (Some(view.status), view.waiting_for.clone());
            }
            if is_end(view.status) {
                return Ok(Some(Ended { view, value }));
            }
        }
    }
}

/// Why a stream was left.
enum Broken {
    Client(ClientError),
    Shape(serde_json::Error),
}

/// Whether the same may succeed a moment later: a control plane that restarts is no end of the action.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { .. }
        | ClientError::Name { .. }
        | ClientError::Connect { .. }
        | ClientError::ConnectTimeout { .. }
        | ClientError::Timeout { .. }
        | ClientError::Broken { .. }
        | ClientError::NotRunning { .. } => true,
        ClientError::Problem(problem) => problem.status == 429 || problem.status >= 500,
        ClientError::Status { status } => *status == 429 || *status >= 500,
        ClientError::Uri { .. }
        | ClientError::Authority { .. }
        | ClientError::Token
        | ClientError::Tls { .. }
        | ClientError::Path { .. }
        | ClientError::TooLarge { .. }
        | ClientError::Unexpected { .. }
        | ClientError::Encode { .. } => false,
    }
}
