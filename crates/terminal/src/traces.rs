//! Recent traces: what is asked of them, their list, and one of them drawn or written to a file.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use nkudo_api::time::{WallTime, moment, no_moment};
use nkudo_api::trace_format::TraceFormat;
use nkudo_api::trace_query::{self, AGENT};
use nkudo_api::view::trace::TraceView;
use nkudo_traces::{Gantt, Query, Summary, Trace, escaped, export, short_duration};
use serde_json::Value;

use crate::{Failure, Output, print};

/// The columns of a drawing where nothing tells how many there are.
const COLUMNS: usize = 100;

/// Which traces are listed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TraceFilter {
    /// Only those about this VM
    #[arg(long, value_name = "VM")]
    pub vm: Option<String>,
    /// Only those about this action
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only those in which a step failed (error), or none did (ok)
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Not before this time (RFC 3339), or so long ago: 90s, 30m, 6h, 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Not after this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only those with this text in the name or an attribute of a step, as in its error
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Only those that took at least so long: 250ms, 1.5s, 1h30m
    #[arg(long, value_name = "DURATION")]
    pub min_duration: Option<String>,
}

/// How a trace is shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Showing {
    /// Draw it, or write it as JSON, as OTLP/JSON for a collector, or as Chrome's trace events for Perfetto
    /// [default: gantt]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Gantt,
    Json,
    Otlp,
    Chrome,
}

/// The parameters of a request by their names.
pub type Parameters = Vec<(&'static str, String)>;

impl TraceFilter {
    /// The parameters as REST has them, and the same as a query.
    ///
    /// # Errors
    /// What is none, by its flag.
    pub fn read(&self, now_ms: i64) -> Result<(Parameters, Query), Failure> {
        let Self { vm, action, status, since, until, query, min_duration } = self;
        let time = |name: &str, text: &Option<String>| {
            let text = text.as_deref();
            let read = |text: &str| moment(text, now_ms).map(|at_ms| WallTime(at_ms).to_string());
            let wrong = |text: &str| Failure::Refused(format!("{}: {}", flag(name), no_moment(text)));
            text.map(|text| read(text).ok_or_else(|| wrong(text))).transpose()
        };
        let all = [
            ("vm_id", vm.clone()),
            ("action_id", action.clone()),
            ("status", status.clone()),
            ("since", time("since", since)?),
            ("until", time("until", until)?),
            ("q", query.clone()),
            ("min_duration", min_duration.clone()),
        ];
        let given: Parameters = all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let value =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let query = trace_query::read(value).map_err(|faults| {
            let told = faults.iter().map(|fault| format!("{}: {}", flag(&fault.path), fault.detail));
            Failure::Refused(told.collect::<Vec<_>>().join("\n"))
        })?;
        Ok((given, query))
    }
}

/// The flag of a parameter.
fn flag(parameter: &str) -> String {
    let name = match parameter {
        "vm_id" => "vm",
        "action_id" => "action",
        AGENT => "agent",
        "q" => "query",
        same => same,
    };
    format!("--{}", name.replace('_', "-"))
}

/// The headings of a list of traces.
pub const HEADINGS: &[&str] =
    &["trace id", "started", "name", "duration", "status", "spans", "slow step", "error"];
/// What is said where there is none.
pub const NONE: &str = "no traces";

/// A trace in a list.
pub fn cells(trace: &TraceView) -> Vec<String> {
    let TraceView { trace_id, name, started_at, duration_ms, status, error, spans, slow_step } = trace;
    let slow_step =
        slow_step.as_ref().map(|step| format!("{} ({})", step.name, short_duration(nanos(step.self_ms))));
    vec![
        trace_id.to_string(),
        started_at.to_string(),
        name.clone(),
        short_duration(nanos(*duration_ms)),
        status.as_str().to_owned(),
        spans.to_string(),
        print::or_dash(slow_step),
        print::or_dash(error.as_deref()),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest number"
)]
fn nanos(ms: f64) -> u64 {
    (ms * 1_000_000.0).round() as u64
}

impl Showing {
    /// For a list, which has none of these forms. Clap does not tell: what an id conflicts with it does not require.
    ///
    /// # Errors
    /// Exit code 2 when one of them is asked for.
    pub fn is_of_no_trace(&self) -> Result<(), Failure> {
        match self {
            Self { format: None, save: None } => Ok(()),
            Self { format: Some(_), .. } | Self { save: Some(_), .. } => Err(Failure::Refused(
                "--format and --save are for one trace: give its ID, as in `traces 4bf92f --format otlp`; `traces` lists \
                 the ids, and `--output json` is the form of a list for scripts"
                    .to_owned(),
            )),
        }
    }

    /// The form in which the trace is wanted from whoever has it.
    pub fn wanted(&self, output: Output) -> TraceFormat {
        match self.format(output) {
            Format::Gantt | Format::Otlp => TraceFormat::Otlp,
            Format::Json => TraceFormat::Json,
            Format::Chrome => TraceFormat::Chrome,
        }
    }

    /// Shows a trace that came in that form.
    ///
    /// # Errors
    /// When it is none, or cannot be written.
    pub fn show(&self, answer: &Value, output: Output) -> Result<(), Failure> {
        let text = match self.format(output) {
            Format::Gantt => drawn(&trace(answer)?, self.save.is_none()),
            Format::Json => serde_json::to_string_pretty(answer).map_err(Failure::failed)?,
            Format::Otlp | Format::Chrome => answer.to_string(),
        };
        let Some(path) = &self.save else {
            return match self.format(output) {
                Format::Gantt => print::painted(&text),
                Format::Json | Format::Otlp | Format::Chrome => print::line(&text),
            };
        };
        std::fs::write(path, text + "\n").map_err(|error| {
            let error = anyhow::Error::from(error);
            Failure::failed(error.context(format!("cannot write {}", path.display())))
        })?;
        print::note(&format!("written to {}", path.display()));
        Ok(())
    }

    fn format(&self, output: Output) -> Format {
        let by_output = match output {
            Output::Text => Format::Gantt,
            Output::Json => Format::Json,
        };
        self.format.unwrap_or(by_output)
    }
}

/// The trace in an answer in OTLP/JSON.
fn trace(answer: &Value) -> Result<Trace, Failure> {
    let programs = export::otlp::read(answer.to_string().as_bytes()).map_err(Failure::failed)?;
    let spans = programs.into_iter().flat_map(|program| program.spans);
    let unexpected = "the answer has no spans; is the other side of another version?";
    Trace::gather(spans).pop().ok_or_else(|| Failure::Failed(unexpected.to_owned()))
}

/// A trace as a drawing, with what to know of it in sentences.
fn drawn(trace: &Trace, is_shown: bool) -> String {
    let colour = is_shown && std::io::stdout().is_terminal();
    let width = if is_shown { columns() } else { COLUMNS };
    let gantt = Gantt { width, colour, ..Gantt::default() };
    format!("{}\n\n{}\n{}", headline(trace), gantt.draw(trace), sentences(trace))
}

fn headline(trace: &Trace) -> String {
    let started_at = WallTime((trace.start_unix_ns() / 1_000_000).cast_signed());
    format!("trace {}, {started_at}, spans: {}", trace.id(), trace.spans().len())
}

fn sentences(trace: &Trace) -> String {
    let Summary { duration_ns, slow_step, failed, error, .. } = Summary::of(trace);
    let whole = short_duration(duration_ns);
    let mut sentences = match slow_step {
        Some(step) => {
            let own = short_duration(step.self_ns);
            format!("The slow step is `{}`: the trace waited {own} of {whole} for it.", escaped(&step.name))
        }
        None => "It took no time.".to_owned(),
    };
    if failed {
        sentences.push_str("\nIt failed");
        sentences.push_str(&error.map_or_else(|| ".".to_owned(), |error| format!(": {}", escaped(&error))));
    }
    sentences
}

/// The columns to draw in.
#[expect(clippy::disallowed_methods, reason = "the shell tells its columns, and is no configuration of ours")]
fn columns() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    told.or_else(nkudo_host::terminal::columns).unwrap_or(COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_refused_in_the_form_of_one_trace() {
        for (format, save) in [
            (Some(Format::Otlp), None),
            (Some(Format::Gantt), None),
            (None, Some(PathBuf::from("out.json"))),
            (Some(Format::Chrome), Some(PathBuf::from("out.json"))),
        ] {
            let Err(Failure::Refused(sentence)) = (Showing { format, save }).is_of_no_trace() else {
                panic!("it was taken")
            };
            assert!(sentence.contains("give its ID"), "{sentence}");
        }
        assert!(Showing::default().is_of_no_trace().is_ok());
    }
}
