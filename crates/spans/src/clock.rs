//! Cheap timestamps: the processor's counter, held against the system's clocks from time to time.
//!
//! Reading the counter takes half of what `clock_gettime` does, and a span takes two. The kernel's choice of clock source
//! says whether the counter runs evenly and alike on all processors; where it does not, or is not x86-64, ticks are
//! nanoseconds of the monotonic clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bits behind the point of the nanoseconds of a tick.
const SCALE_BITS: u32 = 32;

/// What ticks count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The processor's time stamp counter.
    Counter,
    /// Nanoseconds since the first reading.
    Monotonic,
}

static SOURCE: OnceLock<(Source, Instant)> = OnceLock::new();

fn source() -> (Source, Instant) {
    *SOURCE.get_or_init(|| {
        let trusted =
            std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        let is_even = cfg!(target_arch = "x86_64") && trusted.is_ok_and(|name| name.trim() == "tsc");
        (if is_even { Source::Counter } else { Source::Monotonic }, Instant::now())
    })
}

/// The counter now. Only differences mean something, and only [`Calibration`] knows their unit.
#[inline]
pub(crate) fn ticks() -> u64 {
    match source() {
        (Source::Counter, _) => counter(),
        (Source::Monotonic, first) => nanos(first.elapsed()),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    #[expect(unsafe_code, reason = "reads a register that every x86-64 processor has; ADR 10")]
    // SAFETY: the instruction has no operands and touches no memory. It could fault only where the system forbids it to
    // programs (CR4.TSD, prctl(PR_SET_TSC)), and that ends the program with a signal.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The wall clock, in nanoseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "what spans and lines are stamped with is read in this one place"
)]
fn wall_unix_ns() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The wall clock at the cost of a counter: a stamp is at most a second behind a step of the system's clock.
///
/// ```
/// let clock = nkudo_spans::Calibration::new();
/// assert!(clock.now().unix_ns > 1_700_000_000_000_000_000);
/// ```
#[derive(Debug)]
pub struct Calibration {
    /// The first reading, against which the rate is taken.
    first: (u64, Instant),
    /// Odd while the anchor changes.
    version: AtomicU64,
    /// The last reading: ticks, nanoseconds since 1970, and nanoseconds of a tick.
    anchor: [AtomicU64; 3],
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// Nanoseconds since the [`Calibration`] was made, whatever the wall clock does.
    pub uptime_ns: u64,
}

/// How long an anchor is good for a stamp.
const ANCHOR_EVERY_NS: u64 = 1_000_000_000;
/// A clock and the counter are read at one moment when the counter moved by no more meanwhile: some microseconds.
const AT_ONCE_TICKS: u64 = 20_000;
/// How often they are read before the nearest are taken.
const READINGS_MAX: usize = 8;

/// Reads a clock, and the counter at that moment. It is read again where the thread was interrupted in between, which would
/// move all that is held against the two.
fn reading<T>(mut clock: impl FnMut() -> T) -> (u64, T) {
    let mut read = || {
        let before = ticks();
        let time = clock();
        let apart = ticks().saturating_sub(before);
        (apart, (before + apart / 2, time))
    };
    let mut nearest = read();
    for _ in 1..READINGS_MAX {
        if nearest.0 <= AT_ONCE_TICKS {
            break;
        }
        let next = read();
        if next.0 < nearest.0 {
            nearest = next;
        }
    }
    nearest.1
}

impl Default for Calibration {
    fn default() -> Self {
        Self::new()
    }
}

impl Calibration {
    /// Begins to hold the counter against the clocks. The first in a program measures for a tenth of a millisecond.
    pub fn new() -> Self {
        let first = reading(Instant::now);
        let rate = match source().0 {
            Source::Monotonic => 1 << SCALE_BITS,
            // For the first second; a wrong guess here is corrected by the next anchor.
            Source::Counter => measured_rate(first),
        };
        let (ticks, unix_ns) = reading(wall_unix_ns);
        let anchor = [ticks, unix_ns, rate].map(AtomicU64::new);
        Self { first, version: AtomicU64::new(0), anchor }
    }

    /// Takes the clocks anew. The rate is that since the first reading, so that it grows more exact.
    pub(crate) fn anchor(&self) {
        self.anchor_at(reading(wall_unix_ns));
    }

    fn anchor_at(&self, (ticks, unix_ns): (u64, u64)) {
        let version = self.version.load(Ordering::Relaxed);
        let take = |version| {
            let odd = version + 1;
            self.version.compare_exchange(version, odd, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        // Whoever finds another thread at it has nothing to do.
        if !version.is_multiple_of(2) || !take(version) {
            return;
        }
        fence(Ordering::Release);
        let rate = match source().0 {
            Source::Monotonic => 1 << SCALE_BITS,
            Source::Counter => rate(self.first, reading(Instant::now)),
        };
        for (place, word) in self.anchor.iter().zip([ticks, unix_ns, rate]) {
            place.store(word, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    /// Ticks, wall clock and rate that belong together; none while they change.
    #[inline]
    fn try_read(&self) -> Option<[u64; 3]> {
        let version = self.version.load(Ordering::Acquire);
        let words = [0, 1, 2].map(|at: usize| self.anchor[at].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let is_whole = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        is_whole.then_some(words)
    }

    /// As [`Self::try_read`], for whoever can wait until a thread that was interrupted while it changed them goes on.
    fn read(&self) -> [u64; 3] {
        loop {
            match self.try_read() {
                Some(words) => return words,
                None => std::thread::yield_now(),
            }
        }
    }

    /// When it was, in nanoseconds since 1970.
    pub(crate) fn unix_ns(&self, ticks: u64) -> u64 {
        let [anchor, unix_ns, rate] = self.read();
        if ticks >= anchor {
            unix_ns.saturating_add(scale(ticks - anchor, rate))
        } else {
            unix_ns.saturating_sub(scale(anchor - ticks, rate))
        }
    }

    /// The time now.
    #[inline]
    pub fn now(&self) -> Moment {
        let Some([anchor, unix_ns, rate]) = self.try_read() else { return self.read_now() };
        let ticks = ticks();
        let since = scale(ticks.saturating_sub(anchor), rate);
        if since >= ANCHOR_EVERY_NS {
            return self.anchored_now();
        }
        let uptime_ns = scale(ticks.saturating_sub(self.first.0), rate);
        Moment { unix_ns: unix_ns.saturating_add(since), uptime_ns }
    }

    #[cold]
    fn read_now(&self) -> Moment {
        Moment { unix_ns: wall_unix_ns(), uptime_ns: nanos(self.first.1.elapsed()) }
    }

    #[cold]
    fn anchored_now(&self) -> Moment {
        let (ticks, now) = reading(|| self.read_now());
        self.anchor_at((ticks, now.unix_ns));
        now
    }

    /// How long so many ticks are, in nanoseconds.
    pub(crate) fn duration_ns(&self, ticks: u64) -> u64 {
        scale(ticks, self.read()[2])
    }
}

/// A product that does not fit is later than anything that is measured here.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is the greatest")]
fn scale(ticks: u64, rate: u64) -> u64 {
    ((u128::from(ticks) * u128::from(rate)) >> SCALE_BITS).min(u128::from(u64::MAX)) as u64
}

fn rate((ticks_from, from): (u64, Instant), (ticks_to, to): (u64, Instant)) -> u64 {
    let (ticks, nanos) = (ticks_to.saturating_sub(ticks_from).max(1), nanos(to - from).max(1));
    let rate = (u128::from(nanos) << SCALE_BITS) / u128::from(ticks);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The rate over a moment in which this thread does nothing else: a hundred microseconds give it to a part in a thousand.
fn measured_rate(first: (u64, Instant)) -> u64 {
    while first.1.elapsed() < Duration::from_micros(100) {
        std::hint::spin_loop();
    }
    rate(first, reading(Instant::now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_time_within_a_thousandth() {
        let calibration = Calibration::new();
        let (from, began) = (ticks(), Instant::now());
        while began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (to, took) = (ticks(), began.elapsed());
        calibration.anchor();
        let told = calibration.duration_ns(to - from);
        let took = nanos(took);
        assert!(told.abs_diff(took) < took / 200, "{told} and {took}");
        let apart = calibration.unix_ns(to) - calibration.unix_ns(from);
        assert!(apart.abs_diff(took) < took / 200, "{apart} and {took}");
    }

    #[test]
    fn a_thread_that_is_interrupted_while_it_reads_a_clock_reads_it_again() {
        let mut readings = 0;
        let (ticks, reading) = reading(|| {
            readings += 1;
            let began = Instant::now();
            while readings == 1 && began.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            readings
        });
        assert!((2..=READINGS_MAX).contains(&reading), "{reading}");
        assert!(ticks <= super::ticks());
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_times_and_no_duration() {
        let calibration = Calibration::new();
        let from = ticks();
        calibration.anchor_at((ticks(), 2_000_000_000_000));
        assert!(calibration.unix_ns(from).abs_diff(2_000_000_000_000) < 1_000_000_000);
        assert!(calibration.now().unix_ns.abs_diff(2_000_000_000_000) < 1_000_000_000);
        assert!(calibration.duration_ns(ticks() - from) < 10_000_000_000);
        assert_eq!(scale(u64::MAX, u64::MAX), u64::MAX);
    }
}
