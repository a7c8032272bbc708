//! `run`.

use nkudo_agent::config::{Settings, Sources};
use nkudo_agent::daemon;
use nkudo_terminal::Failure;

pub(crate) async fn run(sources: Sources, settings: Settings) -> Result<(), Failure> {
    let version = daemon::Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("NKUDO_COMMIT"),
        profile: env!("NKUDO_PROFILE"),
    };
    let Err(error) = daemon::run(sources, settings, version).await else { return Ok(()) };
    if tracing::dispatcher::has_been_set() {
        // The log has its own form, and nothing else belongs between its lines.
        tracing::error!(error = &error as &dyn std::error::Error, "the agent ends");
        Err(Failure::NotFine)
    } else {
        Err(Failure::failed(error))
    }
}
