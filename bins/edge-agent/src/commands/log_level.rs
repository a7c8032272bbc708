//! `log-level`.

use nkudo_agent::config::LogLevel;
use nkudo_agent::config::Settings;
use nkudo_api::view::LogLevelView;

use nkudo_terminal::daemon::{client, client_failure};
use nkudo_terminal::{Failure, Output, print};

pub(crate) async fn run(settings: &Settings, level: Option<String>, output: Output) -> Result<(), Failure> {
    if let Some(level) = &level {
        level.parse::<LogLevel>().map_err(Failure::refused)?;
    }
    let client = client(settings);
    let now: LogLevelView = match level {
        None => client.get("/v1/log-level").await,
        Some(level) => client.put("/v1/log-level", &LogLevelView { level }).await,
    }
    .map_err(client_failure)?;
    match output {
        Output::Json => print::json(&now),
        Output::Text => print::line(&now.level),
    }
}
