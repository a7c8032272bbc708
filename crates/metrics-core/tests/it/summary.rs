//! Summaries against a plain list of values with their times, and as both formats have them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nkudo_metrics_core::{Desc, Format, Registry, Summary};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::{ByName, openmetrics, text};

const QUANTILES: &[f64] = &[0.0, 0.5, 0.9, 0.99, 1.0];
/// In milliseconds, as all times of the model.
const AGE: u64 = 120_000;

#[derive(Debug, Clone)]
enum Step {
    Observe(f64),
    /// So many milliseconds go by.
    Pass(u64),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        8 => 1e-6..10.0_f64,
        2 => 1e3..1e18_f64,
        1 => prop_oneof![
            Just(0.0), Just(-0.0), Just(1e-12), Just(1e25), Just(f64::INFINITY), Just(f64::NEG_INFINITY),
            Just(f64::NAN), Just(-1.0),
        ],
    ];
    prop_oneof![
        12 => value.prop_map(Step::Observe),
        3 => (0..AGE / 2).prop_map(Step::Pass),
        1 => (0..AGE * 8).prop_map(Step::Pass),
        2 => Just(Step::Read),
    ]
}

/// Whether a summary may take one value for the other.
fn is_near(told: f64, value: f64) -> bool {
    if value < 2_f64.powi(-30) {
        told == 0.0
    } else if value >= 2_f64.powi(64) {
        told == f64::INFINITY
    } else {
        (told - value).abs() <= value / 64.0
    }
}

/// By nearest rank; none of nothing.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    sorted
        .iter()
        .enumerate()
        .find(|(at, _)| (at + 1) as f64 >= share * sorted.len() as f64)
        .map(|(_, value)| *value)
}

proptest! {
    #[test]
    fn quantiles_are_those_of_the_sorted_window(steps in vec(step(), 1..150), ages in 1..7_u32) {
        let began = Instant::now();
        let window = Duration::from_millis(AGE) * ages;
        let summary = Summary::new(QUANTILES, window, ages, began);
        let (mut now, mut all): (u64, Vec<(u64, f64)>) = (0, Vec::new());
        let at = |now: u64| began + Duration::from_millis(now);
        for step in steps.iter().chain([&Step::Read, &Step::Pass(AGE * 8), &Step::Read]) {
            match step {
                Step::Pass(time) => now += time,
                Step::Observe(value) => {
                    summary.observe_at(*value, at(now));
                    if *value >= 0.0 {
                        all.push((now, *value));
                    }
                }
                Step::Read => {
                    let is_in_window = |time: u64| time / AGE + u64::from(ages) > now / AGE;
                    let mut sorted: Vec<f64> =
                        all.iter().filter(|(time, _)| is_in_window(*time)).map(|(_, value)| *value).collect();
                    sorted.sort_by(f64::total_cmp);
                    for (share, told) in summary.quantiles_at(at(now)) {
                        match quantile(&sorted, share) {
                            Some(value) => prop_assert!(is_near(told, value), "{share}: {told} for {value}"),
                            None => prop_assert!(told.is_nan(), "{told} of nothing"),
                        }
                    }
                }
            }
        }
        let sum: f64 = all.iter().map(|(_, value)| value).sum();
        prop_assert_eq!((summary.count(), summary.sum()), (all.len() as u64, sum));
    }
}

/// Whole numbers below 32 each have a bucket of their own, and their sums do not depend on the order.
#[test]
fn what_many_threads_observe_is_neither_lost_nor_counted_twice_as_ages_end() {
    let began = Instant::now();
    let summary = Summary::new(&[0.5, 1.0], Duration::from_millis(50), 5, began);
    let (clock, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let now = || began + Duration::from_micros(clock.fetch_add(3, Ordering::Relaxed));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                for (_, told) in summary.quantiles_at(now()) {
                    assert!(told.is_nan() || (0.0..=20.5).contains(&told), "{told}");
                }
                let count = summary.count();
                assert!(count >= last, "{count} after {last}");
                last = count;
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..20_000).for_each(|i| summary.observe_at(f64::from(i % 21), now()))))
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
    let sum: i32 = (0..20_000).map(|i| i % 21).sum();
    assert_eq!((summary.count(), summary.sum()), (80_000, f64::from(4 * sum)));
    let later = began + Duration::from_secs(3_600);
    assert!(summary.quantiles_at(later).iter().all(|(_, told)| told.is_nan()), "the window is empty");
    summary.observe_at(4.0, later);
    assert!(summary.quantiles_at(later).iter().all(|(_, told)| is_near(*told, 4.0)));
}

#[test]
fn both_formats_have_quantiles_sum_and_count() {
    let registry = Registry::new();
    let waits = Desc::summary("wait_seconds", "Waits.").unit("seconds").quantiles(&[0.5, 0.99]);
    let waits = registry.summary(&waits);
    (0..100).for_each(|_| waits.observe(1.0));
    waits.observe(f64::NAN);
    waits.observe(-1.0);
    registry
        .summary_family::<ByName>(&Desc::summary("empty", "E.").quantiles(&[1.0]).labels(&["name"]))
        .get(&ByName { name: "a".to_owned() });
    let passed =
        Desc::summary("passed", "Its window is over.").quantiles(&[0.5]).window(Duration::from_nanos(2), 2);
    let passed = registry.summary(&passed);
    passed.observe(0.25);
    // Two nanoseconds: the window has slid past it when the next read looks at the clock, or the one after that.
    while !passed.quantiles()[0].1.is_nan() {}
    let samples = "wait_seconds{quantile=\"0.5\"} 1.015625\nwait_seconds{quantile=\"0.99\"} 1.015625\n\
        wait_seconds_sum 100.0\nwait_seconds_count 100\n";
    let empty =
        "empty{name=\"a\",quantile=\"1.0\"} NaN\nempty_sum{name=\"a\"} 0.0\nempty_count{name=\"a\"} 0\n";
    let passed = "passed{quantile=\"0.5\"} NaN\npassed_sum 0.25\npassed_count 1\n";
    let plain = format!(
        "# HELP empty E.\n# TYPE empty summary\n{empty}# HELP passed Its window is over.\n# TYPE passed summary\n{passed}\
        # HELP wait_seconds Waits.\n# TYPE wait_seconds summary\n{samples}"
    );
    assert_eq!(text(&registry, Format::Text004), plain);
    let open = plain.replace("wait_seconds summary\n", "wait_seconds summary\n# UNIT wait_seconds seconds\n");
    assert_eq!(text(&registry, Format::OpenMetrics100), format!("{open}# EOF\n"));
    openmetrics::read_by_others(&registry);
}

#[test]
fn mistakes_are_found_at_registration() {
    fn check(desc: &Desc, sentence: &str) {
        let registered = std::panic::catch_unwind(|| Registry::new().summary(desc));
        let message = *registered.expect_err(sentence).downcast::<String>().unwrap();
        assert!(message.contains(sentence), "{message}");
    }
    let summary = Desc::summary("s", "S.");
    check(&summary, "says of which quantiles");
    check(&summary.clone().quantiles(&[0.9, 0.5]), "do not ascend");
    check(&summary.clone().quantiles(&[0.5, 1.5]), "do not ascend");
    check(&summary.clone().quantiles(&[f64::NAN]), "do not ascend");
    check(&summary.clone().quantiles(&[0.5]).window(Duration::ZERO, 5), "its window");
    check(&summary.clone().quantiles(&[0.5]).window(Duration::from_secs(1), 0), "its window");
    let gauge = std::panic::catch_unwind(|| Registry::new().gauge(&Desc::gauge("g", "G.").quantiles(&[0.5])));
    let message = *gauge.expect_err("a gauge").downcast::<String>().unwrap();
    assert!(message.contains("only a summary"), "{message}");
}
