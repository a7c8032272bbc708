//! `explain vm`.

use nkudo_agent::config::Settings;
use nkudo_agent::explain::{self, Called};
use nkudo_api::view::ActionView;
use nkudo_api::view::explain::{ExplainView, JournalView};

use nkudo_terminal::daemon::running;
use nkudo_terminal::print::{self, escaped, note};
use nkudo_terminal::{Failure, Output};

pub(crate) async fn run(settings: &Settings, vm: &str, output: Output) -> Result<(), Failure> {
    let called: Called = vm.parse().map_err(Failure::refused)?;
    let path = format!("/v1/vms/{}/explain", called.as_str());
    let view: ExplainView = match running(settings, &path).await? {
        Some(view) => view,
        None => explain::offline(settings, &called).await.map_err(Failure::failed)?,
    };
    match output {
        Output::Json => print::json(&view),
        Output::Text => {
            if let Some(unread) = &view.unread {
                note(unread);
            }
            print::line(&text(&view))
        }
    }
}

fn text(view: &ExplainView) -> String {
    let name = view.vm_name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    let agrees = if view.agrees { "as the journal says" } else { "not what the journal says" };
    let mut lines = vec![
        format!("VM:       {}{name}", view.vm_id),
        format!("Found:    {}, {agrees}", view.found),
        format!("Why:      {}", escaped(&view.why)),
        format!("Next:     {}", view.next),
    ];
    lines.extend(view.remedy.iter().map(|remedy| format!("Remedy:   {remedy}")));
    lines.push(String::new());
    match &view.journal {
        None => lines.push("Journal:  it does not know the VM".to_owned()),
        Some(journal) => lines.extend(journal_lines(journal)),
    }
    lines.push("Evidence:".to_owned());
    for fact in &view.evidence {
        let mark = match fact.holds {
            Some(true) => "✓",
            Some(false) => "✗",
            None => " ",
        };
        lines.push(format!("  {mark} {:<10} {}", fact.name, escaped(&fact.detail)));
    }
    if !view.events.is_empty() {
        lines.push("Events of the hypervisor:".to_owned());
    }
    for event in &view.events {
        let reason =
            event.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", escaped(reason)));
        lines.push(format!("  {} {}{reason}", event.at, escaped(&event.event)));
    }
    lines.join("\n")
}

fn journal_lines(journal: &JournalView) -> Vec<String> {
    let reason = journal.reason.as_ref().map_or_else(String::new, |reason| format!(" ({})", escaped(reason)));
    let mut lines = vec![
        format!("Journal:  {} since {}{reason}", journal.state, journal.since),
        format!("  restart policy {}, {} restarts by it", journal.restart_policy, journal.restarts),
    ];
    lines.extend(journal.last_action.iter().map(|action| format!("  last action: {}", action_line(action))));
    lines.extend(journal.open_actions.iter().map(|action| format!("  open action: {}", action_line(action))));
    lines
}

fn action_line(action: &ActionView) -> String {
    let error = action.error.as_ref().map_or_else(String::new, |error| format!(": {}", escaped(error)));
    format!(
        "{} {} asked for at {} is {}{error}",
        action.action_type, action.action_id, action.created_at, action.status
    )
}
