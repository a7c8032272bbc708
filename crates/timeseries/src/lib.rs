//! Samples of metrics, kept on the host that they come from: raw for a day, by hours for a week, by days for a month.
//!
//! The principal type is [`Samples`], opened on a directory with a [`Config`]. Rows of samples go in, each with its
//! time; queries are answered from what is in memory and on disk together. [`StoredSamples`] answers from the disk alone,
//! and changes nothing there.
//!
//! ```
//! use nkudo_timeseries::{Config, Function, Kind, Now, Query, Samples};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let start_ms = 1_700_000_000_000;
//! let mut samples = Samples::open(dir, Config::default()).await?;
//! let busy = samples.series("cpu_seconds_total", &[("mode", "user")], Kind::Counter, start_ms)?;
//! for tick in 0..40 {
//!     let now_ms = start_ms + tick * 15_000;
//!     samples.record(now_ms, &[(busy, 0.5 * tick as f64)]);
//!     samples.tend(Now::of_one_clock(now_ms)).await?;
//! }
//! let query = Query::new("cpu_seconds_total", start_ms, start_ms + 600_000)
//!     .with("mode", "user")
//!     .each(300_000, Function::Rate);
//! let answer = samples.query(&query).await?;
//! assert_eq!(answer.series[0].points.len(), 2);
//! assert_eq!(answer.series[0].points[1].value, 0.5 / 15.0);
//! samples.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it is kept
//! Rows go to a journal (`rows/`) and to columns in memory. After two hours, or when memory is nearly used up, the columns
//! become a chunk in `samples.db` (SQLite): the times of all rows once, and for each series a block of its values,
//! compressed by pco and checksummed. Chunks that follow each other are merged into longer ones. With the chunk, in the same
//! transaction, its samples are added to the aggregates of their hours and days (UTC).
//!
//! **Invariant:** a sample comes back as it was recorded, to the last bit, or not at all. A block that is damaged is passed
//! over, counted and told in the answer as a gap.
//!
//! **Invariant:** a killed program loses at most the row that it was writing; a loss of power at most what
//! [`Config::sync_ms`] allows. No sample is counted twice, wherever the program was cut off: rows are numbered, and which of
//! them are sealed is written with them.
//!
//! **Invariant:** everything has a bound (memory, disk, series, points), and what is refused, dropped or removed before its
//! time is counted in [`Stats`].
//!
//! **Invariant:** the samples of a series ascend in time. A clock that was set back begins a new era; where time passes
//! twice, what was recorded later hides what was before, while aggregates hold both.
//!
//! **Invariant:** a clock that jumps ahead removes nothing before it has stayed there for [`Config::calm_ms`], or samples tell
//! that it is right. The bound on disk holds all the while.
//!
//! **Invariant:** there is no clock here; the time is an argument, in milliseconds since 1970 UTC.

mod aggregate;
mod clock;
mod codec;
mod config;
mod database;
mod error;
mod open_block;
mod query;
mod record;
mod row_log;
mod samples;
mod series;
mod stats;

pub use clock::Now;
pub use config::{Config, Retention};
pub use error::{QueryError, SamplesError};
pub use query::{
    Answer, Answered, Condition, Function, Gap, Matcher, Part, Pattern, PatternError, Point, Query,
    Resolution,
};
pub use samples::{Recorded, Samples, StoredSamples, Tended};
pub use series::{Kind, Refusal, SeriesId, SeriesKey};
pub use stats::Stats;
