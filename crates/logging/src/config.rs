//! From a configuration to a subscriber.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use nkudo_spans::{SpanDrain, Spans, SpansOptions, spans};
use tracing::Subscriber;

use crate::events::{LogEvents, Sink};
use crate::files::{FilesConfig, FilesError, LogFiles};
use crate::filter::Filter;
use crate::finish::Finish;
use crate::handle::LogHandle;
use crate::level::LogLevel;
use crate::output::Output;
use crate::outputs::{Outputs, Stderr};
use crate::redact::RedactorError;
use crate::repeats::RepeatLimit;
use crate::writer::Writer;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; begins with the full timestamp.
    Text,
    /// One JSON object a line.
    Json,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorChoice {
    /// When standard error is a terminal.
    Auto,
    Always,
    Never,
}

/// How a program logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// The least level that is logged.
    pub level: LogLevel,
    /// Levels of single components, over `level`.
    pub components: BTreeMap<String, LogLevel>,
    /// What is left away of a target to get its component: `app_` makes `queue` of `app_queue::worker`.
    pub target_prefix: &'static str,
    /// Fields that stand at the top of a line, and that an event takes from the spans around it. A name that a line has
    /// anyway, as `message` or `trace_id`, is a mistake of the program's and panics when logging is set up.
    pub context_fields: &'static [&'static str],
    pub color: ColorChoice,
    /// Where lines are kept as JSON beside what goes to standard error.
    pub files: Option<FilesConfig>,
    /// How often one call site may speak.
    pub repeats: Option<RepeatLimit>,
    /// What tokens begin with that no line may show; private keys in PEM are replaced in any case.
    pub secrets: &'static [&'static str],
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LogLevel::Info,
            components: BTreeMap::new(),
            target_prefix: "",
            context_fields: &[],
            color: ColorChoice::Auto,
            files: None,
            repeats: None,
            secrets: &[],
        }
    }
}

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("logging was set up before")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
    #[error("the thread that writes the log cannot be started")]
    Thread(#[from] std::io::Error),
    #[error("this log is written where it is made: only one that `init` set up writes files")]
    NoThread,
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Secrets(#[from] RedactorError),
}

/// Whoever writes the program's lines, once it logs.
static WRITER: OnceLock<Writer> = OnceLock::new();

/// Has the whole program log to standard error from here on, and to files if it is told to. The lines are written by a
/// thread of its own.
///
/// # Errors
/// When the program logs already, the thread cannot be started, or the files cannot be kept as they are configured.
pub fn init(config: &LogConfig) -> Result<LogHandle, LogError> {
    Ok(init_with_spans(config, &unfinished(config))?.0)
}

/// As [`init`], with the spans that finish.
///
/// # Errors
/// When the program logs already, the thread cannot be started, or the files cannot be kept as they are configured.
pub fn init_with_spans(
    config: &LogConfig,
    options: &SpansOptions,
) -> Result<(LogHandle, Option<SpanDrain>), LogError> {
    let handle = LogHandle::new(Filter::new(config));
    let counts = handle.output_counts();
    let files = config.files.clone().map(|files| LogFiles::open(files, counts.clone())).transpose()?;
    let stderr = Stderr::start(files.is_some(), counts)?;
    let outputs = Outputs::new(Finish::new(config, counts)?, files, stderr);
    let writer = Writer::start(&handle, outputs)?;
    let sink = Sink::Lanes(writer.lanes());
    let (subscriber, drain) = assemble(config, options, handle.clone(), sink);
    tracing::subscriber::set_global_default(subscriber)?;
    WRITER.get_or_init(|| writer);
    Ok((handle, drain))
}

/// Waits until what was logged before is written, at most so long: for the end of a program. Says whether it was.
pub fn flush(deadline: Duration) -> bool {
    WRITER.get().is_none_or(|writer| writer.flush(deadline))
}

/// A subscriber that writes lines to `output` right where they are made, and the handle to it. It writes no files.
///
/// # Panics
/// When a context field has a name that a line has anyway, or [`LogConfig::secrets`] are none.
pub fn subscriber(
    config: &LogConfig,
    output: impl Output,
) -> (impl Subscriber + Send + Sync + 'static, LogHandle) {
    let handle = LogHandle::new(Filter::new(config));
    let finish =
        Finish::new(config, handle.output_counts()).expect("beginnings of tokens are the program's own");
    let sink = Sink::Output(Box::new((finish, Box::new(output))));
    (assemble(config, &unfinished(config), handle.clone(), sink).0, handle)
}

/// Spans for their ids and what they carry; nobody wants them once they ended.
fn unfinished(config: &LogConfig) -> SpansOptions {
    SpansOptions { carried: config.context_fields, finished: None, ..SpansOptions::default() }
}

fn assemble(
    config: &LogConfig,
    options: &SpansOptions,
    handle: LogHandle,
    sink: Sink,
) -> (Spans<LogEvents>, Option<SpanDrain>) {
    let options = SpansOptions { carried: config.context_fields, ..*options };
    spans(&options, LogEvents::new(handle, config, sink))
}
