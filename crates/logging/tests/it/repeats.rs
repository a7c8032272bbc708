//! Repeats of a call site: how many are written, and what is told of the others.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nkudo_logging::{CallSite, OutputCounts, RepeatLimit, RepeatLimitError, Repeats, Verdict};
use tracing::Callsite as _;

use Verdict::{Suppress, Write, WriteWithSuppressed};

/// The period of the tests, in nanoseconds.
const PER: u64 = 1_000_000_000;

fn site(number: u64) -> CallSite {
    CallSite::numbered(NonZeroU64::new(number).unwrap())
}

fn repeats(burst: u32) -> (Repeats, OutputCounts) {
    let counts = OutputCounts::default();
    let limit = RepeatLimit::new(Duration::from_nanos(PER), burst).unwrap();
    (Repeats::new(Some(limit), counts.clone()), counts)
}

/// What becomes of one call site's lines at these times.
fn check(burst: u32, lines: &[(u64, Verdict)]) {
    let (repeats, counts) = repeats(burst);
    for (number, (now_ns, expected)) in lines.iter().enumerate() {
        assert_eq!(repeats.allow(site(7), *now_ns), *expected, "line {number} of {lines:?}");
    }
    let suppressed = lines.iter().filter(|(_, verdict)| *verdict == Suppress).count();
    assert_eq!((counts.suppressed.get(), counts.unlimited.get()), (suppressed as u64, 0));
}

#[test]
fn a_burst_is_written_and_the_next_period_tells_how_many_were_not() {
    check(
        1,
        &[(0, Write), (0, Suppress), (PER - 1, Suppress), (PER, WriteWithSuppressed(2)), (PER, Suppress)],
    );
    check(2, &[(5, Write), (6, Write), (7, Suppress), (PER + 1, WriteWithSuppressed(1)), (PER + 2, Write)]);
    check(2, &[(0, Write), (0, Write), (PER, Write), (PER, Write), (PER, Suppress)]);
    check(1, &[(0, Write), (0, Suppress), (1_000 * PER, WriteWithSuppressed(1)), (2_000 * PER, Write)]);
    check(1_000_000, &[(0, Write), (0, Write), (PER, Write)]);
}

#[test]
fn a_clock_read_early_by_one_thread_opens_no_period_again() {
    check(
        1,
        &[
            (PER, Write),
            (PER - 1, Suppress),
            (PER, Suppress),
            (0, Suppress),
            (2 * PER, WriteWithSuppressed(3)),
        ],
    );
    check(1, &[(u64::MAX, Write), (u64::MAX, Suppress), (u64::MAX - PER, Suppress)]);
}

#[test]
fn years_of_silence_are_no_repeat() {
    // The shortest period has the most of them.
    let limit = RepeatLimit::new(Duration::from_millis(1), 1).unwrap();
    let repeats = Repeats::new(Some(limit), OutputCounts::default());
    let year_ns = 365 * 86_400 * 1_000_000_000_u64;
    for now_ns in [0, year_ns, 10 * year_ns, 20 * year_ns] {
        assert_eq!(repeats.allow(site(1), now_ns), Write, "{now_ns}");
        assert_eq!(repeats.allow(site(1), now_ns), Suppress, "{now_ns}");
        assert_eq!(repeats.allow(site(1), now_ns + 1_000_000), WriteWithSuppressed(1), "{now_ns}");
    }
}

#[test]
fn call_sites_are_limited_apart_up_to_the_room_for_them() {
    let (repeats, counts) = repeats(1);
    // As many as a large program has: at addresses that are a few words apart.
    let sites = |count: u64| (1..=count).map(|number| site(0x5555_0000_0000 + number * 72));
    for expected in [Write, Suppress, Suppress] {
        for site in sites(700) {
            assert_eq!(repeats.allow(site, 0), expected, "{site:?}");
        }
    }
    assert_eq!((counts.suppressed.get(), counts.unlimited.get()), (1_400, 0));
    // With too many the first are limited still, and the others counted.
    for site in sites(3_000) {
        repeats.allow(site, PER);
    }
    assert!(sites(700).all(|site| repeats.allow(site, PER) == Suppress));
    assert!((1_976..2_300).contains(&counts.unlimited.get()), "{}", counts.unlimited.get());
}

#[test]
fn without_a_limit_nothing_is_suppressed() {
    let counts = OutputCounts::default();
    let repeats = Repeats::new(None, counts.clone());
    assert!((0..10_000).all(|_| repeats.allow(site(1), 0) == Write));
    assert_eq!((counts.suppressed.get(), counts.unlimited.get()), (0, 0));
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_with_a_remedy() {
    let hour = Duration::from_secs(3_600);
    for found in
        [Duration::ZERO, Duration::from_nanos(999_999), 24 * hour + Duration::from_nanos(1), Duration::MAX]
    {
        let error = RepeatLimit::new(found, 1).unwrap_err();
        assert_eq!(error, RepeatLimitError::Per { found });
        assert!(error.to_string().contains("give 1 ms to 24 h"), "{error}");
    }
    for found in [0, 1_000_001, u32::MAX] {
        let error = RepeatLimit::new(hour, found).unwrap_err();
        assert_eq!(error, RepeatLimitError::Burst { found });
        assert!(error.to_string().contains("give 1 to 1000000, or no limit"), "{error}");
    }
    RepeatLimit::new(24 * hour, 1_000_000).unwrap();
    RepeatLimit::new(Duration::from_millis(1), 1).unwrap();
}

#[test]
fn the_call_sites_of_tracing_are_told_apart() {
    let one = tracing::callsite! { name: "one", kind: tracing::metadata::Kind::EVENT, fields: };
    let two = tracing::callsite! { name: "two", kind: tracing::metadata::Kind::EVENT, fields: };
    assert_eq!(CallSite::from(one.metadata()), CallSite::from(one.metadata()));
    assert_ne!(CallSite::from(one.metadata()), CallSite::from(two.metadata()));
}

#[test]
fn threads_write_no_more_than_the_burst_and_every_line_is_accounted_for() {
    const THREADS: u64 = 4;
    const LINES: u64 = 100_000;
    const BURST: u32 = 5;
    const PERIODS: u64 = 50;
    let (repeats, counts) = repeats(BURST);
    let (written, told) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..LINES {
                    let now_ns = number * PERIODS / LINES * PER;
                    for site in [site(1), site(2)] {
                        match repeats.allow(site, now_ns) {
                            Write => written.fetch_add(1, Ordering::Relaxed),
                            WriteWithSuppressed(number) => {
                                written.fetch_add(1, Ordering::Relaxed);
                                told.fetch_add(number, Ordering::Relaxed)
                            }
                            Suppress => 0,
                        };
                    }
                }
            });
        }
    });
    // The last period of each tells its number in the next.
    for site in [site(1), site(2)] {
        if let WriteWithSuppressed(number) = repeats.allow(site, PERIODS * PER) {
            told.fetch_add(number, Ordering::Relaxed);
        }
    }
    let written = written.into_inner();
    assert!(written <= 2 * PERIODS * u64::from(BURST), "{written}");
    assert_eq!(written + counts.suppressed.get(), 2 * THREADS * LINES);
    assert_eq!(told.into_inner(), counts.suppressed.get());
}
