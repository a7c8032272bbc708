//! From a configuration to a subscriber.

use std::collections::BTreeMap;
use std::io::IsTerminal;

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
    /// Fields that stand at the top of a line, and that an event takes from the spans around it.
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
}

/// Has the whole program log to standard error from here on.
pub fn init(config: &LogConfig) -> Result<LogHandle, LogError> {
    let (subscriber, handle) = subscriber(config, Stderr);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(handle)
}

/// A subscriber that writes lines to `output`, and the handle to it.
pub fn subscriber(
    config: &LogConfig,
    output: impl Output,
) -> (impl Subscriber + Send + Sync + 'static, LogHandle) {
    let handle = LogHandle::new(Filter::new(config));
    let color = match config.color {
        ColorChoice::Auto => std::io::stderr().is_terminal(),
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    };
    let style = Style { format: config.format, color, context_fields: config.context_fields };
    let subscriber = tracing_subscriber::registry()
        .with(SpanContext::new(config.context_fields))
        .with(LogLayer::new(handle.clone(), style, output));
    (subscriber, handle)
}
