//! The bounds: how much, how many, how long.

use std::time::Duration;

use crate::error::ConfigError;
use crate::recent::INDEX_ENTRY_BYTES;
use crate::sampling::Sampling;
use crate::store::{Bounds, SEGMENT_BYTES_MAX, SEGMENTS_MAX};

/// The least and the most that one trace may be allowed to take. Two of the longest fit in a segment.
const TRACE_BYTES: (usize, usize) = (4 << 10, 120 << 10);
/// In how many segments the disk is divided: what is evicted at once. So many more hold a share of `traces`.
const SEGMENTS: u64 = 64;
const SEGMENTS_OF_TRACES: usize = 16;
/// The longest that anything may be waited for.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// The most disk that traces take whatever [`Config::disk_bytes`] says, in bytes.
pub const DISK_BYTES_MAX: u64 = (SEGMENTS_MAX * SEGMENT_BYTES_MAX) as u64;

/// The bounds of [`Recent`](crate::Recent). What is waited for takes at most a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    pub sampling: Sampling,
    /// Most memory of spans that wait and of the index together, in bytes. It is reckoned from sizes, without what the
    /// allocator adds.
    pub memory_bytes: usize,
    /// Most bytes on disk; past it, or past [`DISK_BYTES_MAX`], the oldest traces go.
    pub disk_bytes: u64,
    /// Most traces on disk; past it the oldest go.
    pub traces: usize,
    /// Most memory of the spans of one trace, in bytes. A trace that is larger keeps its failed and its longest spans.
    /// What comes after it was written is a part of its own.
    pub trace_bytes: usize,
    /// A trace is written once its root has ended and nothing came for so long. The root here is a span without a parent,
    /// or one whose attribute `otel.kind` is `server` or `consumer`, as its parent is in another program.
    pub quiet: Duration,
    /// A trace whose root does not come, as it is still open or not told, is written so long after its first span
    /// came. Its other spans are added when they come.
    pub deadline: Duration,
    /// How long after a failed write the next is tried.
    pub retry: Duration,
}

impl Default for Config {
    /// Every trace; 1 MiB of memory, 16 MiB of disk, 3,000 traces, 120 KiB each; two seconds of quiet, a minute for the
    /// root, five seconds between failures.
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            memory_bytes: 1 << 20,
            disk_bytes: 16 << 20,
            traces: 3_000,
            trace_bytes: TRACE_BYTES.1,
            quiet: Duration::from_secs(2),
            deadline: Duration::from_mins(1),
            retry: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The same with room for so many traces: what their index takes is added to the memory, or taken from it.
    #[must_use]
    pub fn with_traces(self, traces: usize) -> Self {
        let others = self.memory_bytes.saturating_sub(self.traces.saturating_mul(INDEX_ENTRY_BYTES));
        let index = traces.saturating_mul(INDEX_ENTRY_BYTES);
        Self { traces, memory_bytes: others.saturating_add(index), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { sampling, memory_bytes, disk_bytes, traces, trace_bytes, quiet, deadline, retry } = *self;
        sampling.check()?;
        for (what, found) in [("quiet", quiet), ("deadline", deadline), ("retry", retry)] {
            if found > WAIT_MAX {
                return Err(ConfigError::Wait { what, found, most: WAIT_MAX });
            }
        }
        let (least, most) = TRACE_BYTES;
        if !(least..=most).contains(&trace_bytes) {
            return Err(ConfigError::TraceBytes { found: trace_bytes, least, most });
        }
        if traces == 0 {
            return Err(ConfigError::Traces);
        }
        // The index when it is full, one trace that is gathered and one that is written.
        let least = traces.saturating_mul(INDEX_ENTRY_BYTES).saturating_add(2 * trace_bytes);
        if memory_bytes < least {
            return Err(ConfigError::Memory { found: memory_bytes, traces, least });
        }
        let least = 4 * trace_bytes as u64;
        if disk_bytes < least {
            return Err(ConfigError::Disk { found: disk_bytes, least });
        }
        Ok(())
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let share = usize::try_from(self.disk_bytes / SEGMENTS).unwrap_or(usize::MAX);
        Bounds {
            disk_bytes: self.disk_bytes,
            segment_bytes: share.clamp(2 * self.trace_bytes, SEGMENT_BYTES_MAX),
            segment_records: (self.traces / SEGMENTS_OF_TRACES).max(1),
        }
    }
}
