//! Bounds how often one call site speaks.

use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::Metadata;

use crate::output_metrics::OutputCounts;

/// Call sites that are limited; a power of two. Those beyond are not, and their lines are counted.
const SITES_MAX: usize = 1 << SITES_BITS;
const SITES_BITS: u32 = 10;
/// Slots that are tried for a call site.
const PROBES: usize = 16;
/// Bits of a slot's state that count lines; the others are the number of the period.
const COUNT_BITS: u32 = 24;
/// Where the count stands still, in lines of one period.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Most lines that a limit lets through in a period; with what is counted above, a burst is told from what follows it.
const BURST_MAX: u32 = 1_000_000;
/// Shortest period: shorter ones are over before anything repeats.
const PER_MIN: Duration = Duration::from_millis(1);
/// Longest period: a longer one hides what is said at its beginning from whoever looks today.
const PER_MAX: Duration = Duration::from_hours(24);

/// How many lines each call site may write in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatLimit {
    per_ns: NonZeroU64,
    burst: u32,
}

/// A limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepeatLimitError {
    #[error("a period of {found:?} is none for repeats: give 1 ms to 24 h")]
    Per { found: Duration },
    #[error("{found} lines in a period cannot be the limit of repeats: give 1 to {BURST_MAX}, or no limit")]
    Burst { found: u32 },
}

impl RepeatLimit {
    /// At most `burst` lines of each call site in each period of the length `per`. Periods follow the clock, and not the
    /// first line: there may be twice as many lines around the edge of two.
    ///
    /// # Errors
    /// When the period is not of 1 ms to 24 h, or the burst not of 1 to 1,000,000 lines.
    pub fn new(per: Duration, burst: u32) -> Result<Self, RepeatLimitError> {
        let is_right = (PER_MIN..=PER_MAX).contains(&per);
        let per_ns = u64::try_from(per.as_nanos()).ok().and_then(NonZeroU64::new).filter(|_| is_right);
        let per_ns = per_ns.ok_or(RepeatLimitError::Per { found: per })?;
        if !(1..=BURST_MAX).contains(&burst) {
            return Err(RepeatLimitError::Burst { found: burst });
        }
        Ok(Self { per_ns, burst })
    }
}

/// Where in the program something is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallSite(NonZeroU64);

impl CallSite {
    /// The call site that a number stands for.
    pub fn numbered(number: NonZeroU64) -> Self {
        Self(number)
    }
}

impl From<&'static Metadata<'static>> for CallSite {
    /// A call site is known by the address of its metadata, of which there is one as long as the program runs.
    fn from(metadata: &'static Metadata<'static>) -> Self {
        Self(NonZeroU64::new(ptr::from_ref(metadata).addr() as u64).expect("a reference is never null"))
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Write,
    /// It is the first after so many lines of its call site were suppressed: it should say so in a field `suppressed`.
    /// The number stands still at 16 million less the burst.
    WriteWithSuppressed(u64),
    Suppress,
}

/// Suppresses repeats of each call site. It takes no lock and never waits: it may be asked wherever something is logged.
/// Call sites are part of the program, so each keeps its slot of the table for good.
#[derive(Debug)]
pub struct Repeats {
    limit: Option<RepeatLimit>,
    /// None without a limit.
    slots: Box<[Slot]>,
    counts: OutputCounts,
}

#[derive(Debug, Default)]
struct Slot {
    /// Whose it is; 0 while nobody's.
    site: AtomicU64,
    /// The number of the period above, the lines in it below. One cell, so that the end of a period and what was
    /// suppressed in it are one step for all threads.
    state: AtomicU64,
}

impl Repeats {
    /// Without a limit every line is written.
    pub fn new(limit: Option<RepeatLimit>, counts: OutputCounts) -> Self {
        let slots = if limit.is_some() { SITES_MAX } else { 0 };
        Self { limit, slots: (0..slots).map(|_| Slot::default()).collect(), counts }
    }

    /// Whether a line of this call site is written. `now_ns` is the time of a monotonic clock, in nanoseconds.
    pub fn allow(&self, site: CallSite, now_ns: u64) -> Verdict {
        let Some(limit) = self.limit else { return Verdict::Write };
        let Some(slot) = self.slot(site) else {
            self.counts.unlimited.inc();
            return Verdict::Write;
        };
        let verdict = slot.take(limit, now_ns / limit.per_ns);
        if verdict == Verdict::Suppress {
            self.counts.suppressed.inc();
        }
        verdict
    }

    /// The slot of a call site; none when there is no room for one more.
    fn slot(&self, site: CallSite) -> Option<&Slot> {
        let wanted = site.0.get();
        // Addresses differ in their middle; a multiplication by 2⁶⁴/φ spreads that to the top.
        let hash = wanted.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SITES_BITS);
        let first = usize::try_from(hash).expect("it has ten bits");
        (first..first + PROBES).find_map(|at| {
            let slot = self.slots.get(at % SITES_MAX)?;
            let owner = match slot.site.load(Ordering::Relaxed) {
                0 => slot
                    .site
                    .compare_exchange(0, wanted, Ordering::Relaxed, Ordering::Relaxed)
                    .map_or_else(|owner| owner, |_| wanted),
                owner => owner,
            };
            (owner == wanted).then_some(slot)
        })
    }
}

impl Slot {
    /// Counts a line in a period, and judges it.
    fn take(&self, limit: RepeatLimit, period: u64) -> Verdict {
        let burst = u64::from(limit.burst);
        let period = period & (u64::MAX >> COUNT_BITS);
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let (known, count) = (state >> COUNT_BITS, state & COUNT_MAX);
            // A thread that read the clock before another one counts where that is. Numbers of periods start over after
            // 2⁴⁰; the shorter way round says which is later.
            let ahead = period.wrapping_sub(known) << COUNT_BITS;
            let is_next = ahead != 0 && ahead >> (u64::BITS - 1) == 0;
            let (next, verdict) = if is_next {
                let verdict = match count.saturating_sub(burst) {
                    0 => Verdict::Write,
                    suppressed => Verdict::WriteWithSuppressed(suppressed),
                };
                (period << COUNT_BITS | 1, verdict)
            } else if count < burst {
                (state + 1, Verdict::Write)
            } else if count < COUNT_MAX {
                (state + 1, Verdict::Suppress)
            } else {
                return Verdict::Suppress;
            };
            match self.state.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return verdict,
                Err(found) => state = found,
            }
        }
    }
}
