//! Which traces are kept.

use std::time::Duration;

use nkudo_spans::TraceId;
use nkudo_traces::{Sampling, Verdict};

use crate::spans::{failed, span, trace};

/// An id whose lower half is this. The upper half does not count.
fn id(low: u64) -> TraceId {
    format!("ffffffffffffffff{low:016x}").parse().expect("it is an id")
}

#[track_caller]
fn check(ratio: f64, low: u64, kept: bool) {
    let sampling = Sampling { ratio, ..Sampling::default() };
    assert_eq!(sampling.head(id(low)), kept, "{ratio} of {low:016x}");
}

#[test]
fn the_share_is_chosen_by_the_id_alone() {
    check(0.0, 0, false);
    check(0.0, u64::MAX, false);
    check(1.0, 0, true);
    check(1.0, u64::MAX, true);
    // Half of 2^63, before the last bit is cut off.
    check(0.5, (1 << 63) - 1, true);
    check(0.5, 1 << 63, false);
    check(0.25, (1 << 62) - 1, true);
    check(0.25, 1 << 62, false);
    check(f64::MIN_POSITIVE, 0, false);
}

#[test]
fn what_is_kept_at_a_ratio_is_kept_at_every_greater_one() {
    for step in 0..1_000_u64 {
        let id = id(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kept = (0..=100).map(|hundredth| {
            let ratio = f64::from(hundredth) / 100.0;
            Sampling { ratio, ..Sampling::default() }.head(id)
        });
        assert!(kept.is_sorted(), "{id}");
    }
}

#[test]
fn a_tenth_is_about_a_tenth() {
    let sampling = Sampling { ratio: 0.1, ..Sampling::default() };
    let kept = (0..10_000_u64).filter(|step| sampling.head(id(step.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    let kept = kept.count();
    assert!((950..1_050).contains(&kept), "{kept}");
}

#[test]
fn failed_and_slow_traces_are_kept_besides() {
    let none = Sampling { ratio: 0.0, slow: Duration::from_millis(100) };
    let (fast, slow) = (span("a", "", 0, 99), span("a", "", 0, 100));
    let inner = failed(span("b", "a", 1, 2), "no");
    for (sampling, spans, verdict) in [
        (none, vec![fast.clone()], Verdict::Dropped),
        (none, vec![slow.clone()], Verdict::Slow),
        (none, vec![fast.clone(), inner.clone()], Verdict::Failed),
        (none, vec![slow, inner], Verdict::Failed),
        (Sampling { ratio: 1.0, ..none }, vec![fast], Verdict::Sampled),
    ] {
        assert_eq!(sampling.verdict(&trace(spans)), verdict);
    }
}
