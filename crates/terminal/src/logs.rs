//! `logs`: what both command lines ask of a log, and how its lines are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::Args;
use nkudo_api::view::List;
use nkudo_client::{Client, ClientError};
use nkudo_host::clock;
use nkudo_logbook::Question;
use nkudo_logging::{Cursor, line_as_text};
use serde_json::value::RawValue;

use crate::{Failure, Output, print};

/// Most lines that are asked for at once.
const PAGE_MAX: usize = 1_000;
/// Lines where nobody says how many, and before new ones.
const LIMIT_DEFAULT: usize = 100;
const FOLLOW_LIMIT_DEFAULT: usize = 10;

/// What is asked of a log.
#[derive(Debug, Clone, Args)]
pub struct LogFlags {
    /// Only lines with this text in their message or in a field
    #[arg(short = 'q', long, visible_alias = "query", value_name = "TEXT")]
    pub text: Option<String>,
    /// Only those of this part
    #[arg(long)]
    pub component: Option<String>,
    /// Only those of this level and of more severe ones: debug, info, warn or error
    #[arg(long)]
    pub level: Option<String>,
    /// Only those of this action
    #[arg(long, value_name = "ACTION")]
    pub action_id: Option<String>,
    /// Only those of this trace
    #[arg(long, value_name = "TRACE")]
    pub trace_id: Option<String>,
    /// From this time on (RFC 3339), or from so long ago: 90s, 30m, 6h, 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The newest so many lines [default: 100; before new ones 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
    /// Show new lines as they come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Show each line as it stands in the file, as JSON
    #[arg(long)]
    pub json: bool,
}

/// What is asked of a log and how it is shown, understood.
#[derive(Debug, Clone)]
pub struct Asked {
    /// With a limit of one page at most.
    pub question: Question,
    /// Most lines in all.
    pub limit: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// A line of the log is a line of the answer.
    Lines,
    /// One JSON document, as other lists; newest first.
    Document,
}

impl LogFlags {
    /// What these flags ask for. Times become absolute, so that all pages are of the same.
    ///
    /// # Errors
    /// Exit code 2 with everything that is wrong.
    pub fn read(self, output: Output) -> Result<Asked, Failure> {
        let Self { text, component, level, action_id, trace_id, since, until, limit, follow, json } = self;
        let default = if follow { FOLLOW_LIMIT_DEFAULT } else { LIMIT_DEFAULT };
        let limit = limit.map_or(default, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = if follow { limit.min(PAGE_MAX) } else { limit };
        let given = [
            ("q", text),
            ("component", component),
            ("level", level),
            ("action_id", action_id),
            ("trace_id", trace_id),
            ("since", since),
            ("until", until),
            ("limit", Some(limit.min(PAGE_MAX).to_string())),
            ("follow", Some(follow.to_string())),
        ];
        let given: BTreeMap<String, String> =
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let question = Question::read(&given, clock::wall_ms()).map_err(|faults| {
            let flag = |path: &str| {
                if path == "q" { "--text".to_owned() } else { format!("--{}", path.replace('_', "-")) }
            };
            let faults = faults.iter().map(|fault| format!("{}: {}", flag(&fault.path), fault.detail));
            Failure::Refused(faults.collect::<Vec<_>>().join("\n"))
        })?;
        let form = match (output, json, follow) {
            (Output::Text, false, _) => Form::Text,
            (_, true, _) | (Output::Json, false, true) => Form::Lines,
            (Output::Json, false, false) => Form::Document,
        };
        Ok(Asked { question, limit, form })
    }
}

impl Asked {
    /// Prints what was found, newest first as it comes: for people the newest is the last line.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub fn show(&self, list: &List<Box<RawValue>>) -> Result<(), Failure> {
        match self.form {
            Form::Document => return print::json(list),
            Form::Text if list.items.is_empty() => print::note("no lines"),
            Form::Text | Form::Lines => {
                list.items.iter().rev().try_for_each(|line| self.line(line.get()))?;
            }
        }
        if list.next_cursor.is_some() {
            print::note(&format!("these are the newest {}; --limit N shows more", list.items.len()));
        }
        Ok(())
    }

    /// Prints one line of the log.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        match self.form {
            Form::Text => print::painted(&line_as_text(line, std::io::stdout().is_terminal())),
            // Between its values JSON may have line feeds, with which one line would pass for several.
            Form::Lines | Form::Document => print::line(&line.replace('\n', " ")),
        }
    }

    /// Page after page, as `fetch` gives them, until there is enough.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub async fn pages<F>(&self, fetch: F) -> Result<List<Box<RawValue>>, Failure>
    where
        F: AsyncFn(&Question) -> Result<List<Box<RawValue>>, Failure>,
    {
        let mut question = self.question.clone();
        let mut items: Vec<Box<RawValue>> = Vec::new();
        loop {
            question.query.limit = (self.limit - items.len()).min(PAGE_MAX);
            let page = fetch(&question).await?;
            items.extend(page.items);
            let cursor = page.next_cursor.as_deref().and_then(|cursor| cursor.parse().ok());
            // A page that ends where it began would never end.
            if cursor.is_none() || cursor == question.query.cursor || items.len() >= self.limit {
                return Ok(List { items, next_cursor: page.next_cursor });
            }
            question.query.cursor = cursor;
        }
    }

    /// Prints lines of `/v1/logs` at `client` as they come, until Ctrl-C or until the stream ends; `extra` are further
    /// parameters. Says how the stream ended; nothing after Ctrl-C.
    ///
    /// # Errors
    /// When there is no stream, as `failure` tells it, or a line cannot be printed.
    pub async fn follow(
        &self,
        client: &Client,
        extra: &[(&str, String)],
        failure: impl Fn(ClientError) -> Failure,
    ) -> Result<Option<StreamEnd>, Failure> {
        let told = async {
            let mut events = client.events(&path(&self.question, extra)).await.map_err(&failure)?;
            let mut shown = 0;
            let error = loop {
                match events.next().await {
                    Ok(Some(event)) if event.name == "log" => {
                        self.line(&event.data)?;
                        shown = if event.has_id { 0 } else { shown + 1 };
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            Ok(StreamEnd { place: events.last_id().and_then(|id| id.parse().ok()), shown, error })
        };
        until_interrupted(told).await
    }
}

/// Where a stream of lines ended, and why.
#[derive(Debug)]
pub struct StreamEnd {
    /// The last place that was told.
    pub place: Option<Cursor>,
    /// How many lines were shown since.
    pub shown: usize,
    /// What broke the stream; none where it ended.
    pub error: Option<ClientError>,
}

/// Does something until Ctrl-C, which is its good end; nothing then.
///
/// # Errors
/// Those of what is done, and when signals cannot be heard.
pub async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    // What is lost with the work are lines that nobody wants any more.
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped.map(|()| None).map_err(Failure::failed),
        done = work => done.map(Some),
    }
}

/// The path of a question with further parameters, percent-encoded (RFC 3986).
pub fn path(question: &Question, extra: &[(&str, String)]) -> String {
    let mut path = "/v1/logs".to_owned();
    let parameters = question.parameters();
    let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value));
    for (index, (name, value)) in
        parameters.chain(extra.iter().map(|(name, value)| (*name, value))).enumerate()
    {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                write!(path, "%{byte:02X}").expect("a String takes whatever is written");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> LogFlags {
        LogFlags {
            text: None,
            component: None,
            level: None,
            action_id: None,
            trace_id: None,
            since: None,
            until: None,
            limit: None,
            follow: false,
            json: false,
        }
    }

    #[test]
    fn flags_become_a_path() {
        let given = LogFlags {
            text: Some("a b&c".to_owned()),
            since: Some("2026-01-02T03:04:05+01:00".to_owned()),
            limit: Some(5_000),
            ..flags()
        };
        let asked = given.read(Output::Text).unwrap();
        assert_eq!(
            path(&asked.question, &[("agent_id", "7".to_owned())]),
            "/v1/logs?limit=1000&q=a%20b%26c&since=2026-01-02T02%3A04%3A05.000Z&agent_id=7"
        );
        assert_eq!((asked.limit, asked.form), (5_000, Form::Text));
        let follow = LogFlags { follow: true, ..flags() }.read(Output::Json).unwrap();
        assert_eq!((follow.limit, follow.form), (FOLLOW_LIMIT_DEFAULT, Form::Lines));
    }

    #[test]
    fn a_fault_names_the_flag() {
        let given = LogFlags {
            text: Some(String::new()),
            trace_id: Some("x".to_owned()),
            since: Some("soon".to_owned()),
            ..flags()
        };
        let Err(Failure::Refused(sentence)) = given.read(Output::Text) else { panic!("it was taken") };
        for words in ["--text: ", "--trace-id: ", "--since: `soon` is not a time"] {
            assert!(sentence.contains(words), "{sentence}");
        }
    }
}
