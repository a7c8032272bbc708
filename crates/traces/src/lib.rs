//! Recent traces: gathered from spans, chosen, kept on disk within bounds, searched, explained and exported.
//!
//! The principal type is [`Recent`], opened on a directory with a [`Config`]. Spans that ended go in with
//! [`Recent::offer`]; [`Recent::tick`] decides on the traces that are complete and writes those that are kept;
//! [`Recent::search`] and [`Recent::trace`] answer from what is in memory and on disk together.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use nkudo_spans::{AttributeValue, FinishedSpan, SpanId, TraceId};
//! use nkudo_traces::{Config, Gantt, Query, Recent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let mut recent = Recent::open(dir, Config::default())?;
//! let trace_id = TraceId::generate();
//! let root = FinishedSpan {
//!     trace_id,
//!     span_id: SpanId::generate(),
//!     parent_id: None,
//!     name: "POST /orders".into(),
//!     target: "shop::orders".into(),
//!     start_unix_ns: 1_700_000_000_000_000_000,
//!     duration_ns: 80_000_000,
//!     failed: true,
//!     thread: 1,
//!     attributes: vec![("error".into(), AttributeValue::Text("no such article".to_owned()))],
//!     dropped_attributes: 0,
//! };
//! let payment = FinishedSpan {
//!     span_id: SpanId::generate(),
//!     parent_id: Some(root.span_id),
//!     name: "pay".into(),
//!     start_unix_ns: root.start_unix_ns + 10_000_000,
//!     duration_ns: 60_000_000,
//!     failed: false,
//!     attributes: Vec::new(),
//!     ..root.clone()
//! };
//! let now = Instant::now();
//! recent.offer(now, vec![payment, root]);
//! recent.tick(now + Duration::from_secs(2));
//!
//! let query = Query { text: Some("article".to_owned()), ..Query::default() };
//! let found = recent.search(&query)?;
//! assert_eq!(found.summaries[0].trace_id, trace_id);
//! assert_eq!(found.summaries[0].error.as_deref(), Some("no such article"));
//! let slow_step = found.summaries[0].slow_step.as_ref().expect("it took time");
//! assert_eq!((slow_step.name.as_str(), slow_step.self_ns), ("pay", 60_000_000));
//!
//! let trace = recent.trace(trace_id).expect("it was found");
//! print!("{}", Gantt::default().draw(&trace));
//! # Ok(())
//! # }
//! ```
//!
//! [`CriticalPath`] tells which spans made a trace as long as it is, [`Gantt`] draws it, and [`export`] writes it as
//! OTLP/JSON, which it also reads, and as Chrome's trace events.
//!
//! # How it is kept
//! A trace is gathered in memory until it is complete as far as one can tell: its root ended and nothing came for
//! [`Config::quiet`], or [`Config::deadline`] is over. Then [`Sampling`] decides on it. What is kept is one record in the
//! last of a number of segments (`0000000001.seg`); spans that come later are records of their own, and put together with
//! the first when they are read. The oldest segment goes when there is no room. In memory there is where each record is.
//!
//! | record | bytes | |
//! |---|---|---|
//! | mark | 0..3 | `F5 54 FA` |
//! | version | 3 | 1 |
//! | length of the payload | 4..8 | little-endian |
//! | checksum | 8..12 | CRC-32 (IEEE) over the segment's number, the record's offset, version, length and payload |
//! | payload | 12.. | part, trace id, start, table of texts, spans |
//!
//! **Invariant:** a span comes back as it was offered, or not at all. A record that is torn or damaged is passed over and
//! counted; the others of its segment are read.
//!
//! **Invariant:** everything has a bound (memory, disk, traces, the spans of one, what is asked), and what is dropped,
//! evicted or lost is counted in [`Stats`].
//!
//! **Invariant:** a disk that does not work costs no caller an error: traces wait in memory within its bound, the oldest go
//! first, [`Recent::failure`] tells why, and writing is tried again.
//!
//! **Invariant:** a killed program loses what was not written yet: the traces that it still gathered. Power loss may cost
//! the last segment besides, as a trace is not worth a sync.
//!
//! **Invariant:** there is no clock, no thread and no lock here; the time is an argument, and that a directory has one owner
//! at a time is the promise of that owner.

mod config;
mod critical;
mod error;
pub mod export;
mod gantt;
mod metrics;
mod query;
mod recent;
mod sampling;
mod store;
mod trace;

pub use config::{Config, DISK_BYTES_MAX};
pub use critical::{CriticalPath, Segment};
pub use error::{ConfigError, OtlpError, QueryError, StoreError};
pub use gantt::{Gantt, escaped, short_duration};
pub use metrics::{Stats, descs};
pub use query::{Cursor, Found, IdPrefix, Query, SlowStep, Status, Summary, parse_duration};
pub use recent::Recent;
pub use sampling::{Sampling, Verdict};
pub use trace::{Branch, Trace};
