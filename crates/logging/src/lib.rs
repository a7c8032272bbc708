//! One call turns a [`LogConfig`] into logging: JSON or text lines on standard error, levels that change at run time.
//!
//! [`init`] installs the program's subscriber behind the `tracing` facade and gives a [`LogHandle`], with which levels
//! are changed and lines counted. [`subscriber`] makes the same for a writer of one's own.
//!
//! ```
//! use nkudo_logging::{LogConfig, LogFormat, LogLevel};
//!
//! let lines = nkudo_logging::Lines::default();
//! let config = LogConfig { format: LogFormat::Json, ..LogConfig::default() };
//! let (subscriber, log) = nkudo_logging::subscriber(&config, lines.clone());
//! tracing::subscriber::with_default(subscriber, || {
//!     tracing::info!(jobs = 3, "work done");
//!     tracing::debug!("not logged");
//!     log.set_level(LogLevel::Debug);
//!     tracing::debug!("logged");
//! });
//! assert!(lines.text().contains("\"message\":\"work done\",\"fields\":{\"jobs\":3}"));
//! assert_eq!(log.written(), 2);
//! ```
//!
//! # The JSON line
//! `timestamp` (RFC 3339, UTC, milliseconds), `level` (debug, info, warn, error; tracing's TRACE is debug),
//! `component`, `message`, `fields`; and where they are known `trace_id`, `span_id` and the context fields, each taken
//! from the event or else from the spans around it. `component` is the event's field of that name, else that of a span
//! around it, else the first part of the target without the configured prefix.
//!
//! # Files
//! [`LogConfig::files`] or, once it is known where they may be, [`LogHandle::write_files`] has lines kept in files too.
//! [`LogFiles`] takes lines from whoever writes them, and rotates and prunes; `src/files.rs` says what files are called.
//! [`search()`] answers a [`Query`] from them and [`Follow`] gives new lines, also while another process writes them or
//! when none does. [`Repeats`] bounds how often a call site speaks, and [`Redactor`] replaces tokens and private keys
//! that got into a line in spite of all.
//!
//! ```
//! use nkudo_logging::{FilesConfig, LogFiles, OutputCounts, Query, search};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let mut files = LogFiles::open(FilesConfig::new(directory.path(), "app"), OutputCounts::default())?;
//! let lines = br#"{"timestamp":"2026-11-21T10:00:00.000Z","message":"work done","fields":{"jobs":3}}
//! {"timestamp":"2026-11-21T10:00:01.000Z","message":"idle","fields":{}}
//! "#;
//! files.write("2026-11-21T10:00:01Z".parse()?, lines)?;
//! let query = Query { text: Some("done".to_owned()), ..Query::default() };
//! let found = search(directory.path(), "app", &query)?;
//! assert!(found.hits.len() == 1 && found.hits[0].line.contains("\"jobs\":3"));
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** a line is one JSON object and one line, whatever is logged.
//! **Invariant:** a line is written whole, in one call, or counted as dropped; a standard error that is closed, or that
//! nobody reads, stops nothing.
//! **Invariant:** a search holds a bounded part of a file in memory, and changes nothing.
//! **Invariant:** log files never take more than their bounds, and no file that is called otherwise is touched.

mod batch;
mod callsite;
mod config;
mod direct;
mod escape;
mod events;
mod files;
mod filter;
mod finish;
mod format;
mod handle;
mod level;
mod metrics;
mod output;
mod output_metrics;
mod outputs;
mod redact;
mod repeats;
mod scratch;
mod search;
mod stamp;
mod tag;
mod text;
mod visit;
mod writer;

pub use config::{ColorChoice, LogConfig, LogError, LogFormat, flush, init, init_with_spans, subscriber};
pub use escape::is_special;
pub use files::{FilesConfig, FilesError, LogFiles, Rotation};
pub use handle::LogHandle;
pub use level::{InvalidFormat, InvalidLevel, InvalidRotation, LogLevel};
pub use metrics::descs;
pub use output::{Lines, Output};
pub use output_metrics::{OutputCounts, output_descs};
pub use redact::{Redactor, RedactorError};
pub use repeats::{CallSite, RepeatLimit, RepeatLimitError, Repeats, Verdict};
pub use search::{
    Cursor, Follow, Found, Hit, Order, Query, QueryError, SearchError, Skipped, log_end, search,
};
pub use text::line_as_text;
