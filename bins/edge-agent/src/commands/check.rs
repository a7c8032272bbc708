//! `check`.

use nkudo_agent::checks;
use nkudo_agent::config::Settings;
use nkudo_api::view::{CheckStatus, CheckView};

use crate::cli::Output;
use crate::failure::Failure;
use crate::print;

pub(crate) async fn run(settings: &Settings, output: Output) -> Result<(), Failure> {
    let view = checks::run(settings).await;
    match output {
        Output::Json => print::json(&view)?,
        Output::Text => print::line(&text(&view))?,
    }
    if view.ok { Ok(()) } else { Err(Failure::NotFine) }
}

fn text(view: &CheckView) -> String {
    let mut lines = Vec::new();
    for check in &view.checks {
        let mark = match check.status {
            CheckStatus::Pass => "✓",
            CheckStatus::Warn => "!",
            CheckStatus::Fail => "✗",
        };
        let remedy = check.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        lines.push(format!("{mark} {}: {}{remedy}", check.name, check.detail));
    }
    let count = |status| view.checks.iter().filter(|check| check.status == status).count();
    match (count(CheckStatus::Fail), count(CheckStatus::Warn)) {
        (0, warnings) => {
            if warnings > 0 {
                lines.push(format!("{warnings} warnings"));
            }
            lines.push("All checks passed! System is ready.".to_owned());
        }
        (failures, warnings) => lines.push(format!("{failures} checks failed, {warnings} warnings")),
    }
    lines.join("\n")
}
