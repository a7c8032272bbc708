//! `verify-heartbeat`.

use nkudo_agent::config::Settings;
use nkudo_agent::identity::verify_heartbeat;
use nkudo_api::time::WallTime;
use nkudo_terminal::{Failure, Output, print};
use serde_json::json;

pub(crate) async fn run(settings: &Settings, output: Output) -> Result<(), Failure> {
    let verified = Box::pin(verify_heartbeat(&settings.state_dir)).await;
    match (verified, output) {
        (Ok(verified), Output::Json) => print::json(&json!({
            "ok": true, "round_trip_ms": verified.round_trip_ms, "clock_skew_ms": verified.skew.offset_ms,
            "server_time": WallTime(verified.server_time_ms), "error": null,
        })),
        (Ok(verified), Output::Text) => print::line(&format!(
            "The control plane answered in {} ms.\nServer time: {} UTC\nClock skew:  {} ms (±{} ms; its clock minus this host's)",
            verified.round_trip_ms,
            WallTime(verified.server_time_ms),
            verified.skew.offset_ms,
            verified.skew.error_ms
        )),
        (Err(error), Output::Json) => {
            let Failure::Failed(sentence) = Failure::failed(error) else { return Err(Failure::NotFine) };
            print::json(&json!({
                "ok": false, "round_trip_ms": null, "clock_skew_ms": null, "error": sentence,
            }))?;
            Err(Failure::NotFine)
        }
        (Err(error), Output::Text) => Err(Failure::failed(error)),
    }
}
