//! A program's finished spans on their way into its recent traces, and answers from them.
//!
//! The principal type is [`Recorder`]: [`Recorder::start`] has a thread drain the spans of a subscriber into a directory
//! of recent traces; the recorder is asked for traces from anywhere. Spans of other programs are added with
//! [`Recorder::offer`].
//!
//! ```
//! use nkudo_logging::{OutputCounts, Redactor};
//! use nkudo_recorder::Recorder;
//! use nkudo_spans::{SpansOptions, spans};
//! use nkudo_traces::{Config, Query};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let (subscriber, drain) = spans(&SpansOptions::default(), ());
//! let drain = drain.expect("finished spans are asked for");
//! let redactor = Redactor::new(&["ghp_"], OutputCounts::default())?;
//! let recorder = Recorder::start(dir, Config::default(), drain, redactor)?;
//! tracing::subscriber::with_default(subscriber, || tracing::info_span!("work", order = 7).in_scope(|| ()));
//!
//! let query = Query { attributes: vec![("order".to_owned(), "7".to_owned())], ..Query::default() };
//! let found = recorder.search(query).await?;
//! assert_eq!(found.summaries[0].name, "work");
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** an answer tells every span that had ended when the question was asked, within the bounds of the rings and
//! of the traces.
//! **Invariant:** what looks like a secret is in no text of a span that is kept or told, whoever made the span.
//! **Invariant:** no question waits for the disk but with others of its kind: whoever makes spans never does.
//! **Invariant:** the thread ends with the last recorder, and then everything that is kept is on disk.

mod metrics;
mod recorder;
mod watch;

pub use metrics::descs;
pub use recorder::{NoAnswer, Recorder, RecorderError};
pub use watch::watch;
