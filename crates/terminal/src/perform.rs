//! Actions on this host, through the daemon or in process.

use std::time::Duration;

use nkudo_agent::config::{LogLevel, Settings};
use nkudo_agent::daemon::log_config;
use nkudo_agent::offline::{self, Applied};
use nkudo_api::view::{Accepted, ActionView, OutcomeLine};
use nkudo_client::{Client, ClientError};
use nkudo_domain::{Action, ActionStatus};
use nkudo_logging::LogConfig;

use crate::daemon::{client, client_failure};
use crate::failure::Failure;

/// How long beyond an action's own deadline its end is waited for: taking back what it began takes time.
const WAIT_EXTRA: Duration = Duration::from_secs(60);

/// Hears of each outcome.
pub type Tell<'t> = dyn FnMut(&OutcomeLine) -> Result<(), Failure> + 't;

/// Performs actions one after another and tells each outcome; stops after the first failure unless `keep_going`.
/// Answers whether all succeeded.
///
/// # Errors
/// When it could not be tried.
pub async fn perform(
    settings: &Settings,
    actions: Vec<Action>,
    keep_going: bool,
    tell: &mut Tell<'_>,
) -> Result<bool, Failure> {
    let client = client(settings);
    match client.get::<serde_json::Value>("/v1/status").await {
        Ok(_) => through_daemon(&client, actions, keep_going, tell).await,
        Err(ClientError::NotRunning { .. }) => in_process(settings, actions, keep_going, tell).await,
        Err(error) => Err(client_failure(error)),
    }
}

async fn through_daemon(
    client: &Client,
    actions: Vec<Action>,
    keep_going: bool,
    tell: &mut Tell<'_>,
) -> Result<bool, Failure> {
    let mut all = true;
    for action in actions {
        let body = nkudo_api::action::to_json(&action);
        let accepted: Result<Accepted, ClientError> = client.post("/v1/actions", &body).await;
        let line = match accepted {
            Ok(accepted) => {
                let wait = action.timeout + WAIT_EXTRA;
                let path = format!("/v1/actions/{}/events", accepted.action_id);
                let view = last_event(client, &path, wait).await?;
                OutcomeLine::from(view)
            }
            Err(ClientError::Problem(problem)) => refused_line(&action, problem.to_string()),
            Err(error) => return Err(client_failure(error)),
        };
        let succeeded = line.status == ActionStatus::Success;
        tell(&line)?;
        all &= succeeded;
        if !succeeded && !keep_going {
            break;
        }
    }
    Ok(all)
}

/// Follows an action to its end.
async fn last_event(client: &Client, path: &str, wait: Duration) -> Result<ActionView, Failure> {
    let follow = async {
        let mut events = client.events(path).await?;
        let mut last = None;
        while let Some(event) = events.next().await? {
            if event.name == "action" {
                last = Some(event.data);
            }
        }
        Ok(last)
    };
    let followed: Result<Option<String>, ClientError> = tokio::time::timeout(wait, follow)
        .await
        .map_err(|_| Failure::Failed(format!("the action did not end within {} s", wait.as_secs())))?;
    let last = followed.map_err(client_failure)?.ok_or_else(|| {
        Failure::Failed("the daemon ended before the action did; see `executions`".to_owned())
    })?;
    let view: ActionView = serde_json::from_str(&last).map_err(Failure::failed)?;
    if matches!(view.status, ActionStatus::Queued | ActionStatus::Delivered | ActionStatus::Running) {
        return Err(Failure::Failed("the daemon ended before the action did; see `executions`".to_owned()));
    }
    Ok(view)
}

async fn in_process(
    settings: &Settings,
    actions: Vec<Action>,
    keep_going: bool,
    tell: &mut Tell<'_>,
) -> Result<bool, Failure> {
    // Outcomes are told on standard output; what else goes on only when it is odd, or when somebody wants to know.
    let level = match settings.log_level {
        LogLevel::Info => LogLevel::Warn,
        wanted @ (LogLevel::Debug | LogLevel::Warn | LogLevel::Error) => wanted,
    };
    let config = LogConfig { level, ..log_config(settings) };
    nkudo_logging::init(&config).map_err(Failure::failed)?;
    let mut told = Ok(());
    let all = offline::apply(settings, actions, keep_going, |applied| {
        let line = match applied {
            Applied::Ended(view) => OutcomeLine::from(*view),
            Applied::Refused(action, why) => refused_line(&action, why.to_owned()),
        };
        if told.is_ok() {
            told = tell(&line);
        }
    })
    .await
    .map_err(Failure::failed)?;
    told.map(|()| all)
}

fn refused_line(action: &Action, error: String) -> OutcomeLine {
    OutcomeLine {
        action_id: action.action_id.clone(),
        action_type: action.request.action_type(),
        status: ActionStatus::Failure,
        changed: false,
        duration_ms: 0,
        error: Some(error),
        result: None,
    }
}
