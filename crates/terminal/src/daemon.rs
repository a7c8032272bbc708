//! The agent of this host: its daemon while that runs, its files otherwise.

use std::io;

use nkudo_agent::config::Settings;
use nkudo_agent::offline::{OfflineView, socket_path};
use nkudo_client::{Client, ClientError};
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::print;

/// What is asked of the daemon while it runs, and of the files otherwise.
///
/// # Errors
/// When neither answers.
pub async fn view<T: DeserializeOwned>(
    settings: &Settings,
    path: &str,
    offline: impl FnOnce(&OfflineView) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match running(settings, path).await? {
        Some(answer) => Ok(answer),
        None => {
            let view = OfflineView::read(settings).await.map_err(Failure::failed)?;
            if let Some(lacking) = view.lacking() {
                print::note(&lacking);
            }
            offline(&view)
        }
    }
}

/// What the daemon answers; none where there is none.
///
/// # Errors
/// When it refuses or fails.
pub async fn running<T: DeserializeOwned>(settings: &Settings, path: &str) -> Result<Option<T>, Failure> {
    match client(settings).get(path).await {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(client_failure(error)),
    }
}

/// As [`running`], and none too where this user may not ask it: for files that tell by themselves whether they are in use.
///
/// # Errors
/// When it refuses or fails.
pub async fn within_reach<T: DeserializeOwned>(
    settings: &Settings,
    path: &str,
) -> Result<Option<T>, Failure> {
    match client(settings).get(path).await {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(ClientError::Connect { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            Ok(None)
        }
        Err(error) => Err(client_failure(error)),
    }
}

/// A client of the daemon's socket.
pub fn client(settings: &Settings) -> Client {
    Client::unix(socket_path(&settings.state_dir))
}

/// A refusal by the daemon of what the user gave is the user's to mend: exit code 2.
pub fn client_failure(error: ClientError) -> Failure {
    match &error {
        ClientError::Problem(problem) if matches!(problem.status, 400 | 422) => Failure::refused(error),
        _ => Failure::failed(error),
    }
}
