//! `status`.

use nkudo_agent::config::Settings;
use nkudo_api::view::StatusView;
use nkudo_api::view::outage::OutageView;

use crate::Output;
use crate::daemon::view;
use crate::failure::Failure;
use crate::outages;
use crate::print::{self, escaped, or_dash};

/// `status`.
///
/// # Errors
/// When something is not fine, or cannot be told.
pub async fn status(settings: &Settings, output: Output) -> Result<(), Failure> {
    let status: StatusView = view(settings, "/v1/status", |offline| Ok(offline.status(settings))).await?;
    match output {
        Output::Json => print::json(&status)?,
        Output::Text => print::line(&text(&status))?,
    }
    if status.enrolled && status.certificate.valid { Ok(()) } else { Err(Failure::NotFine) }
}

fn last(outage: &OutageView) -> String {
    let OutageView { cause, evidence, began_at, ended_at, .. } = outage;
    let until = ended_at.map_or_else(|| "still".to_owned(), |ended_at| format!("until {ended_at}"));
    format!("{cause} for {}, from {began_at} {until}: {}", outages::duration(outage), escaped(evidence))
}

fn text(status: &StatusView) -> String {
    let certificate = &status.certificate;
    let connection = &status.connection;
    let expires = match (certificate.expires_at, certificate.days_remaining) {
        (Some(at), Some(days)) => format!("{at} ({days} days remaining)"),
        (_, _) => "-".to_owned(),
    };
    let heartbeat = match (connection.last_heartbeat_at, connection.age_seconds) {
        (Some(at), Some(age)) => format!("{at} UTC ({age}s ago)"),
        (_, _) => "never".to_owned(),
    };
    let mut lines = vec![
        format!("Agent Status:     {}", if status.enrolled { "enrolled" } else { "not enrolled" }),
        format!("Daemon:           {}", if status.daemon_running { "running" } else { "not running" }),
        format!("Tenant ID:        {}", or_dash(status.tenant_id.as_deref())),
        format!("Site ID:          {}", or_dash(status.site_id.as_deref())),
        format!("Agent ID:         {}", or_dash(status.agent_id.as_deref())),
        "Certificate:".to_owned(),
        format!("  Expires:        {expires}"),
        format!("  Valid:          {}", if certificate.valid { "yes" } else { "no" }),
        "Connection:".to_owned(),
        format!("  Last Heartbeat: {heartbeat}"),
        format!("  Status:         {}", connection.state.as_str()),
    ];
    lines.extend(connection.error.as_ref().map(|error| format!("  Error:          {}", escaped(error))));
    lines.extend(status.last_outage.as_ref().map(|outage| format!("Last Outage:      {}", last(outage))));
    lines.push("VMs:".to_owned());
    lines.extend(status.vms.iter().map(|(state, count)| format!("  {:<15} {count}", format!("{state}:"))));
    lines.push(format!("Queue Depth:      {}", status.queue_depth));
    lines.join("\n")
}
