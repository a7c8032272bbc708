//! `run`.

use nkudo_agent::config::{Settings, Sources};
use nkudo_agent::daemon;

use crate::failure::Failure;

pub(crate) async fn run(sources: Sources, settings: Settings) -> Result<(), Failure> {
    let version = daemon::Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("NKUDO_COMMIT"),
        profile: env!("NKUDO_PROFILE"),
    };
    daemon::run(sources, settings, version).await.map_err(Failure::failed)
}
