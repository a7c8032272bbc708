//! Which traces are kept.

use std::time::Duration;

use nkudo_spans::TraceId;

use crate::error::ConfigError;
use crate::trace::Trace;

/// What is kept: a share of all traces, and besides every one that failed or was slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// From 0 to 1.
    pub ratio: f64,
    /// A trace that takes at least so long is slow.
    pub slow: Duration,
}

/// What becomes of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Kept, because one of its spans failed.
    Failed,
    /// Kept, because it took long.
    Slow,
    /// Kept, because its id is one of the share.
    Sampled,
    Dropped,
}

impl Default for Sampling {
    /// Every trace.
    fn default() -> Self {
        Self { ratio: 1.0, slow: Duration::from_secs(1) }
    }
}

impl Sampling {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let is_share = (0.0..=1.0).contains(&self.ratio);
        is_share.then_some(()).ok_or(ConfigError::Ratio { ratio: self.ratio })
    }

    /// Whether a trace is of the share. It depends on its id alone, so that all programs decide alike: the lower eight
    /// bytes of the id, without the last bit, are compared with the ratio as a share of 2^63. So does `TraceIdRatioBased`
    /// of OpenTelemetry's SDKs for Go and Rust; its specification leaves the algorithm open.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest integer in range, and NaN becomes zero"
    )]
    pub fn head(&self, id: TraceId) -> bool {
        let bound = (self.ratio * (1_u64 << 63) as f64) as u64;
        let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < bound
    }

    /// What becomes of a trace, now that all of it is here.
    pub fn verdict(&self, trace: &Trace) -> Verdict {
        if trace.failed() {
            Verdict::Failed
        } else if Duration::from_nanos(trace.duration_ns()) >= self.slow {
            Verdict::Slow
        } else if self.head(trace.id()) {
            Verdict::Sampled
        } else {
            Verdict::Dropped
        }
    }
}
