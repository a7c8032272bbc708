//! `version`.

use nkudo_api::view::VersionView;
use nkudo_terminal::{Failure, Output, print};

pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let view = VersionView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("NKUDO_COMMIT").to_owned(),
        profile: env!("NKUDO_PROFILE").to_owned(),
    };
    match output {
        Output::Json => print::json(&view),
        Output::Text => print::line(&format!(
            "edge-agent {} (commit {}, {} build)",
            view.version, view.commit, view.profile
        )),
    }
}
