//! Actions handed in, and where it is wanted followed to their end.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use nkudo_agent::origin::new_origin;
use nkudo_api::action;
use nkudo_api::file::{FileFormat, parse};
use nkudo_api::view::Accepted;
use nkudo_domain::{Action, ActionStatus, AgentId};
use nkudo_terminal::{Failure, Output, print};
use serde_json::{Value, json};

use crate::cli::{Deed, Waiting};
use crate::follow::{patience, to_end};
use crate::list::unexpected;
use crate::query::Query;
use crate::session::Session;

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// The action of a deed, checked before anybody is asked.
pub(crate) fn action((action_type, params): Deed) -> Result<Action, Failure> {
    let body = json!({ "action_type": action_type, "params": params });
    action::parse(&body, "", new_origin()).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        Failure::Refused(format!("the action is not valid{}", faults.concat()))
    })
}

/// Every action of a file; none unless all are valid.
pub(crate) fn actions(file: &Path) -> Result<Vec<Action>, Failure> {
    let source = Source::read(file)?;
    parse(&source.text, source.format, new_origin).map_err(|error| source.refused(&error))
}

/// The one VM that a file describes: its parameters, or a whole action that creates it.
pub(crate) fn create(file: &Path) -> Result<Action, Failure> {
    let source = Source::read(file)?;
    let whole = parse(&source.text, source.format, new_origin);
    let bare = source.value().filter(|value| value.is_object() && value.get("action_type").is_none());
    let mut actions = match bare.filter(|value| value.get("actions").is_none()) {
        Some(params) => return action(("MicroVMCreate", params)).map_err(|failure| source.about(failure)),
        None => whole.map_err(|error| source.refused(&error))?,
    };
    match (actions.pop(), actions.is_empty()) {
        (Some(action), true) if matches!(action.request, nkudo_domain::Request::Create(_)) => Ok(action),
        (_, _) => Err(Failure::Refused(format!(
            "{}: it is not the creation of one VM; `nkudo actions submit` takes any actions",
            source.name
        ))),
    }
}

/// Hands in actions, one after another. One that is waited for and does not succeed keeps the rest from being asked for.
pub(crate) async fn run(
    session: &Session,
    agent_id: AgentId,
    actions: Vec<Action>,
    waiting: &Waiting,
) -> Result<(), Failure> {
    let path = Query::new("/v1/agents").segment(&agent_id).segment(&"actions");
    for mut action in actions {
        if let Some(seconds) = waiting.timeout_seconds {
            action.timeout = Duration::from_secs(seconds);
        }
        // The body carries its id: should the answer be lost, asking again asks for the same.
        let answer = session.post(&path, &action::to_json(&action)).await?;
        let Accepted { action_id } = serde_json::from_value(answer.clone()).map_err(unexpected)?;
        if !waiting.wait {
            match session.output {
                Output::Json => print::json_line(&answer)?,
                Output::Text => print::line(action_id.as_str())?,
            }
            continue;
        }
        print::note(&format!("{action_id} {} asked of {agent_id}", action.request.action_type()));
        let ended =
            to_end(session, &action_id, Some(ActionStatus::Queued), patience(Some(action.timeout))).await?;
        ended.print(session.output)?;
        if ended.status() != ActionStatus::Success {
            return Err(Failure::NotFine);
        }
    }
    Ok(())
}

/// A file as it was read.
struct Source {
    name: String,
    text: String,
    format: FileFormat,
}

impl Source {
    /// Reads a file; `-` is standard input.
    fn read(file: &Path) -> Result<Self, Failure> {
        let from_stdin = file == Path::new("-");
        let name = if from_stdin { "standard input".to_owned() } else { file.display().to_string() };
        let mut text = String::new();
        let read = if from_stdin {
            std::io::stdin().take(FILE_MAX_BYTES + 1).read_to_string(&mut text)
        } else {
            std::fs::File::open(file).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text))
        };
        read.map_err(|error| Failure::Refused(format!("{name} cannot be read: {error}")))?;
        if text.len() as u64 > FILE_MAX_BYTES {
            return Err(Failure::Refused(format!("{name} is larger than {FILE_MAX_BYTES} bytes; split it")));
        }
        let extension = file.extension().and_then(|extension| extension.to_str());
        let format = FileFormat::detect(extension, &text);
        Ok(Self { name, text, format })
    }

    fn value(&self) -> Option<Value> {
        match self.format {
            FileFormat::Json => nkudo_api::body::read(self.text.as_bytes()).ok(),
            FileFormat::Toml => toml::from_str(&self.text).ok(),
        }
    }

    fn refused(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Refused(format!("{}: {error}", self.name))
    }

    fn about(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(sentence) => Failure::Refused(format!("{}: {sentence}", self.name)),
            other @ (Failure::Failed(_) | Failure::NotFine) => other,
        }
    }
}
