//! `check`.

use nkudo_agent::checks;
use nkudo_agent::config::Settings;
use nkudo_api::view::{CheckStatus, CheckView};

use crate::Output;
use crate::failure::Failure;
use crate::print;

/// `check`.
///
/// # Errors
/// When something is not fine, or cannot be told.
pub async fn check(settings: &Settings, output: Output) -> Result<(), Failure> {
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
                lines.push(counted(warnings, "warning"));
            }
            lines.push("All checks passed! System is ready.".to_owned());
        }
        (failures, warnings) => {
            lines.push(format!("{} failed, {}", counted(failures, "check"), counted(warnings, "warning")))
        }
    }
    lines.join("\n")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use nkudo_api::view::CheckLine;

    use super::*;

    fn check(statuses: &[CheckStatus], end: &str) {
        let line = |status: &CheckStatus| CheckLine {
            name: "kvm".to_owned(),
            status: *status,
            detail: "seen".to_owned(),
            remedy: (*status != CheckStatus::Pass).then(|| "mend it".to_owned()),
        };
        let ok = !statuses.contains(&CheckStatus::Fail);
        let text = text(&CheckView { ok, checks: statuses.iter().map(line).collect() });
        assert!(text.ends_with(end), "{text}\nwanted at its end: {end}");
    }

    #[test]
    fn each_check_has_its_line_and_the_last_one_sums_them_up() {
        use CheckStatus::{Fail, Pass, Warn};
        check(&[Pass], "✓ kvm: seen\nAll checks passed! System is ready.");
        check(&[Pass, Warn], "! kvm: seen; mend it\n1 warning\nAll checks passed! System is ready.");
        check(&[Warn, Fail], "✗ kvm: seen; mend it\n1 check failed, 1 warning");
        check(&[Fail, Fail], "2 checks failed, 0 warnings");
    }
}
