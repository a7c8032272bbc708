//! `health`.

use nkudo_agent::config::Settings;
use nkudo_api::time::WallTime;
use nkudo_api::view::{HealthChangeView, HealthView, List};

use nkudo_terminal::daemon::{client, client_failure};
use nkudo_terminal::print::{self, or_dash};
use nkudo_terminal::{Failure, Output};

pub(crate) async fn run(settings: &Settings, since: Option<String>, output: Output) -> Result<(), Failure> {
    match since {
        None => now(settings, output).await,
        Some(since) => changes(settings, &since, output).await,
    }
}

async fn now(settings: &Settings, output: Output) -> Result<(), Failure> {
    let view: HealthView = client(settings).get("/v1/health").await.map_err(client_failure)?;
    match output {
        Output::Json => print::json(&view)?,
        Output::Text => {
            print::line(&format!("Agent: {}", view.health))?;
            let rows = view.components.iter().map(|component| {
                vec![
                    component.component.clone(),
                    component.health.clone(),
                    component.since.to_string(),
                    component.restarts.to_string(),
                    or_dash(component.reason.as_ref()),
                ]
            });
            print::table(&["component", "health", "since", "restarts", "reason"], rows)?;
        }
    }
    if view.health == "unhealthy" { Err(Failure::NotFine) } else { Ok(()) }
}

async fn changes(settings: &Settings, since: &str, output: Output) -> Result<(), Failure> {
    since.parse::<WallTime>().map_err(|error| Failure::Refused(format!("--since: {error}")))?;
    let path = format!("/v1/health/history?limit=1000&since={}", since.replace('+', "%2B"));
    let list: List<HealthChangeView> = client(settings).get(&path).await.map_err(client_failure)?;
    match output {
        Output::Json => print::json(&list),
        Output::Text if list.items.is_empty() => print::line("no change of health since then"),
        Output::Text => {
            let rows = list.items.iter().map(|change| {
                let reason = or_dash(change.reason.as_ref());
                vec![change.at.to_string(), change.component.clone(), change.health.clone(), reason]
            });
            print::table(&["at", "component", "health", "reason"], rows)
        }
    }
}
