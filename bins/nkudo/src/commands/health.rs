//! `health`.

use nkudo_api::view::HealthView;
use nkudo_terminal::{Failure, Output, health, print};

use crate::list::unexpected;
use crate::query::Query;
use crate::session::Session;

pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let answer = session.get(&Query::new("/v1/health")).await?;
    let view: HealthView = serde_json::from_value(answer.clone()).map_err(unexpected)?;
    match session.output {
        Output::Json => print::json(&answer)?,
        Output::Text => {
            print::line(&format!("Control plane: {}", view.health))?;
            health::table(&view.components)?;
        }
    }
    if view.health == "unhealthy" { Err(Failure::NotFine) } else { Ok(()) }
}
