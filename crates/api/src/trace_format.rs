//! The forms in which a trace is given.

use std::io;
use std::str::FromStr;

use nkudo_spans::AttributeValue;
use nkudo_traces::{Trace, export};

use crate::view::trace::TraceDetailView;

/// The form in which a trace is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TraceFormat {
    /// As [`TraceDetailView`].
    #[default]
    Json,
    /// OTLP/JSON, which collectors take.
    Otlp,
    /// Chrome's trace events, which Perfetto opens.
    Chrome,
}

impl TraceFormat {
    pub const ALL: [Self; 3] = [Self::Json, Self::Otlp, Self::Chrome];

    /// Writes a trace as the program `service` tells it, whose spans name no other.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(self, mut out: impl io::Write, trace: &Trace, service: &str) -> io::Result<()> {
        match self {
            Self::Json => {
                serde_json::to_writer(&mut out, &TraceDetailView::of(trace, service))?;
                out.flush()
            }
            Self::Otlp => {
                let resource = [("service.name", AttributeValue::Text(service.to_owned()))];
                export::otlp::write(out, &resource, trace.spans())
            }
            Self::Chrome => export::chrome::write(out, service, trace.spans()),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Otlp => "otlp",
            Self::Chrome => "chrome",
        }
    }
}

/// A text is no form of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be json, otlp or chrome, not `{0}`")]
pub struct InvalidTraceFormat(String);

impl FromStr for TraceFormat {
    type Err = InvalidTraceFormat;

    fn from_str(text: &str) -> Result<Self, InvalidTraceFormat> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| InvalidTraceFormat(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_their_names() {
        for format in TraceFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        let error = "xml".parse::<TraceFormat>().unwrap_err().to_string();
        assert!(error.contains("json, otlp or chrome"), "{error}");
    }
}
