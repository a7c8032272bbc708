//! `doctor`.

use std::time::Duration;

use nkudo_agent::config::Settings;
use nkudo_agent::doctor::{self, Treatment};
use nkudo_api::time::seconds;
use nkudo_api::view::doctor::{DoctorView, FindingView};

use nkudo_terminal::daemon::running;
use nkudo_terminal::print::{self, escaped};
use nkudo_terminal::{Failure, Output};

pub(crate) async fn run(
    settings: &Settings,
    fix: bool,
    purge: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let treatment = Treatment { purge_older_than: purge.map(age).transpose()? };
    let view: DoctorView = if fix {
        doctor::fix(settings, treatment).await.map_err(Failure::failed)?
    } else {
        match running(settings, "/v1/doctor").await? {
            Some(view) => view,
            None => doctor::look(settings).await.map_err(Failure::failed)?,
        }
    };
    match output {
        Output::Json => print::json(&view)?,
        Output::Text => print::line(&text(&view, fix))?,
    }
    if view.ok { Ok(()) } else { Err(Failure::NotFine) }
}

fn age(text: &str) -> Result<Duration, Failure> {
    let sentence = || {
        let text: String = text.chars().take(64).collect();
        format!("--purge-quarantine-older-than: `{text}` is no duration; write it like 12h or 30d")
    };
    seconds(text).map(Duration::from_secs).ok_or_else(|| Failure::Refused(sentence()))
}

fn text(view: &DoctorView, fixing: bool) -> String {
    let mut lines: Vec<String> = view.items.iter().flat_map(finding_lines).collect();
    lines.extend(view.purged.iter().map(|name| format!("deleted from the quarantine: {}", escaped(name))));
    if view.left_out > 0 {
        lines.push(format!("and {} more", view.left_out));
    }
    let count = |wanted: fn(&FindingView) -> bool| view.items.iter().filter(|item| wanted(item)).count();
    lines.push(match (view.items.len(), fixing) {
        (0, _) => "Nothing to mend: the host is as its journal says.".to_owned(),
        (all, true) => format!("{}, {} mended", counted(all), count(|item| item.fixed == Some(true))),
        (all, false) => {
            let fixable = count(|item| item.fixable);
            format!("{}, of which `edge-agent doctor --fix` mends {fixable}", counted(all))
        }
    });
    lines.join("\n")
}

fn finding_lines(finding: &FindingView) -> Vec<String> {
    let mark = if finding.fixed == Some(true) { "✓" } else { "✗" };
    let mut lines = vec![format!("{mark} {}: {}", finding.kind, escaped(&finding.what))];
    let mut beside = |name: &str, value: &str| lines.push(format!("    {name:<9} {}", escaped(value)));
    if let Some(path) = &finding.path {
        beside("path", path);
    }
    beside("evidence", &finding.evidence);
    match (finding.fixed, &finding.fix, &finding.error) {
        (Some(false), _, Some(error)) => beside("error", error),
        (Some(true), Some(fix), _) => beside("did", fix),
        (None, Some(fix), _) => beside("would", fix),
        (Some(_) | None, _, _) => {}
    }
    match &finding.kept_as {
        Some(kept) => beside("kept as", kept),
        None if finding.fixed == Some(true) => {}
        None => beside("remedy", &finding.remedy),
    }
    lines
}

fn counted(findings: usize) -> String {
    if findings == 1 { "1 finding".to_owned() } else { format!("{findings} findings") }
}
