//! What can go wrong with traces.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nkudo_journal::Deed;
use thiserror::Error;

/// Bounds that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum ConfigError {
    #[error("a sampling ratio of {ratio} is none: give a number from 0 to 1")]
    Ratio { ratio: f64 },
    #[error("`{what}` is {found:?}: give at most {most:?}")]
    Wait { what: &'static str, found: Duration, most: Duration },
    #[error("`trace_bytes` is {found}: give {least} to {most}")]
    TraceBytes { found: usize, least: usize, most: usize },
    #[error("`traces` is 0: give the number of traces to keep")]
    Traces,
    #[error(
        "`memory_bytes` is {found}, and to keep {traces} `traces` takes {least}: give more, or keep fewer"
    )]
    Memory { found: usize, traces: usize, least: usize },
    #[error("`disk_bytes` is {found}: give at least {least}, four times `trace_bytes`")]
    Disk { found: u64, least: u64 },
}

/// The disk did not do what was asked. Traces stay in memory, within their bound.
#[derive(Debug, Error)]
#[error("cannot {deed} {}", path.display())]
pub struct StoreError {
    pub deed: Deed,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// A query is none. Each names the parameter and what to give.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    #[error("`limit` is {found}: give 1 to {most}")]
    Limit { found: usize, most: usize },
    #[error("`since` is not before `until`: give an earlier `since` or a later `until`")]
    Range,
    #[error("`text` is empty: leave it out, or give what to look for")]
    EmptyText,
    #[error("`text` has {bytes} bytes: give at most {most}")]
    LongText { bytes: usize, most: usize },
    #[error("an attribute to look for has no name: give name and value")]
    AttributeName,
    #[error("{found} {what} are too many: give at most {most}")]
    TooMany { what: &'static str, found: usize, most: usize },
    #[error("`status` is {found:?}: give ok or error")]
    Status { found: String },
    #[error("`cursor` is {found:?}: give what the answer before gave, or leave it out")]
    Cursor { found: String },
    #[error("the beginning of an id is {found:?}: give 6 to 32 lower-case hexadecimal digits")]
    IdPrefix { found: String },
    #[error("`{parameter}` is {found:?}: give numbers with units, such as 250ms, 1.5s or 1h30m")]
    Duration { parameter: String, found: String },
}

/// A text is no OTLP/JSON of traces.
#[derive(Debug, Error)]
pub enum OtlpError {
    #[error("this is no OTLP/JSON: an object with `resourceSpans` is expected")]
    Json(#[from] serde_json::Error),
    /// `at` is the path of the value, such as `resourceSpans[0].scopeSpans[0].spans[2].traceId`.
    #[error("{at} is {found:?}: {expected} is expected")]
    Value { at: String, found: String, expected: &'static str },
}
