//! The last steps of a line: secrets go, and JSON becomes text where people read.

use std::borrow::Cow;
use std::io::IsTerminal;

use crate::config::{ColorChoice, LogConfig, LogFormat};
use crate::output_metrics::OutputCounts;
use crate::redact::{Redactor, RedactorError};
use crate::text::text;

/// What is done to every line before it is written.
#[derive(Debug)]
pub(crate) struct Finish {
    redactor: Redactor,
    /// Whether standard error has text, and in colours.
    text: Option<bool>,
}

impl Finish {
    pub(crate) fn new(config: &LogConfig, counts: &OutputCounts) -> Result<Self, RedactorError> {
        let is_coloured = || match config.color {
            ColorChoice::Auto => std::io::stderr().is_terminal(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let text = match config.format {
            LogFormat::Text => Some(is_coloured()),
            LogFormat::Json => None,
        };
        Ok(Self { redactor: Redactor::new(config.secrets, counts.clone())?, text })
    }

    /// JSON lines without their secrets.
    pub(crate) fn redact<'l>(&self, lines: &'l [u8]) -> Cow<'l, [u8]> {
        self.redactor.redact(lines)
    }

    /// JSON lines as they go to standard error.
    pub(crate) fn shown<'l>(&self, lines: &'l [u8]) -> Cow<'l, [u8]> {
        let Some(color) = self.text else { return Cow::Borrowed(lines) };
        let mut shown = Vec::with_capacity(lines.len());
        // Lines are made of texts, and what is cut from them is whole characters.
        for line in String::from_utf8_lossy(lines).split_inclusive('\n') {
            text(line, color, &mut shown);
        }
        Cow::Owned(shown)
    }
}
