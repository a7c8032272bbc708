//! `health`.

use nkudo_agent::config::Settings;
use nkudo_agent::outages::{OfflineOutages, since_default};
use nkudo_api::time::{WallTime, moment, no_moment};
use nkudo_api::view::{HealthChangeView, HealthSinceView, HostHealthView, List};
use nkudo_host::clock;
use nkudo_terminal::daemon::running;
use nkudo_terminal::print::{self, or_dash};
use nkudo_terminal::{Failure, Output, health, outages};

use crate::query::path;

/// Most outages, and most changes, that are shown.
const SHOWN_MAX: &str = "1000";

pub(crate) async fn run(settings: &Settings, since: Option<String>, output: Output) -> Result<(), Failure> {
    let now_ms = clock::wall_ms();
    let wanted = since.map(|since| {
        let refused = || Failure::Refused(format!("--since: {}", no_moment(&since)));
        moment(&since, now_ms).ok_or_else(refused)
    });
    let wanted_ms = wanted.transpose()?;
    let since = WallTime(wanted_ms.unwrap_or_else(|| since_default(now_ms)));
    let now = now(settings, since).await?;
    match (output, wanted_ms) {
        (Output::Json, None) => print::json(&now)?,
        (Output::Json, Some(_)) => {
            let changes = changes(settings, since).await?;
            print::json(&HealthSinceView { now: now.clone(), changes })?;
        }
        (Output::Text, None) => text(&now, since)?,
        (Output::Text, Some(_)) => {
            text(&now, since)?;
            if now.daemon_running {
                text_of_changes(&changes(settings, since).await?, since)?;
            }
        }
    }
    if now.health == "unhealthy" { Err(Failure::NotFine) } else { Ok(()) }
}

/// What the daemon says, or else what its files say of outages.
async fn now(settings: &Settings, since: WallTime) -> Result<HostHealthView, Failure> {
    let asked = path("/v1/health", [("limit", SHOWN_MAX), ("since", &since.to_string())]);
    if let Some(view) = running(settings, &asked).await? {
        return Ok(view);
    }
    let OfflineOutages { outages, lacking } =
        OfflineOutages::read(&settings.state_dir, since.0).map_err(Failure::failed)?;
    if let Some(lacking) = lacking {
        print::note(&format!("the ledger of outages has lost something: {lacking}"));
    }
    Ok(HostHealthView {
        health: "unhealthy".to_owned(),
        daemon_running: false,
        components: Vec::new(),
        outages,
    })
}

/// Of this life of the daemon; none without one.
async fn changes(settings: &Settings, since: WallTime) -> Result<List<HealthChangeView>, Failure> {
    let asked = path("/v1/health/history", [("limit", SHOWN_MAX), ("since", &since.to_string())]);
    Ok(running(settings, &asked).await?.unwrap_or_else(|| List::whole(Vec::new())))
}

fn text(view: &HostHealthView, since: WallTime) -> Result<(), Failure> {
    if view.daemon_running {
        print::line(&format!("Agent: {}", view.health))?;
        health::table(&view.components)?;
    } else {
        print::line("Agent: not running")?;
    }
    if view.outages.is_empty() {
        return print::line(&format!("\nNo outage since {since}"));
    }
    print::line(&format!("\nOutages since {since}:"))?;
    outages::table(&view.outages)
}

fn text_of_changes(list: &List<HealthChangeView>, since: WallTime) -> Result<(), Failure> {
    if list.items.is_empty() {
        return print::line(&format!("\nNo change of health since {since}"));
    }
    print::line(&format!("\nChanges of health since {since}:"))?;
    let rows = list.items.iter().map(|change| {
        let reason = or_dash(change.reason.as_ref());
        vec![change.at.to_string(), change.component.clone(), change.health.clone(), reason]
    });
    print::table(&["at", "component", "health", "reason"], rows)
}
