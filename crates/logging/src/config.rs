//! From a configuration to a subscriber.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use nkudo_spans::SpanContext;
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;

use crate::filter::Filter;
use crate::format::Style;
use crate::handle::LogHandle;
use crate::layer::LogLayer;
use crate::level::LogLevel;
use crate::output::{Output, Stderr};

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
}

/// What the program's lines wait in, once it logs.
static STDERR: OnceLock<Stderr> = OnceLock::new();

/// Has the whole program log to standard error from here on. The lines are written by a thread of its own.
pub fn init(config: &LogConfig) -> Result<LogHandle, LogError> {
    let handle = LogHandle::new(Filter::new(config));
    let stderr = Stderr::start(handle.dropped_lines())?;
    tracing::subscriber::set_global_default(assemble(config, handle.clone(), stderr.clone()))?;
    STDERR.get_or_init(|| stderr);
    Ok(handle)
}

/// Waits until what was logged before is written, at most so long: for the end of a program. Says whether it was.
pub fn flush(deadline: Duration) -> bool {
    STDERR.get().is_none_or(|stderr| stderr.flush(deadline))
}

/// A subscriber that writes lines to `output`, and the handle to it.
pub fn subscriber(
    config: &LogConfig,
    output: impl Output,
) -> (impl Subscriber + Send + Sync + 'static, LogHandle) {
    let handle = LogHandle::new(Filter::new(config));
    (assemble(config, handle.clone(), output), handle)
}

fn assemble(
    config: &LogConfig,
    handle: LogHandle,
    output: impl Output,
) -> impl Subscriber + Send + Sync + 'static {
    let color = match config.color {
        ColorChoice::Auto => std::io::stderr().is_terminal(),
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    };
    let style = Style { format: config.format, color, context_fields: config.context_fields };
    tracing_subscriber::registry()
        .with(SpanContext::new(config.context_fields))
        .with(LogLayer::new(handle, style, output))
}
