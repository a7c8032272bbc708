//! Cells and families against simple models of them, written to by several threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nkudo_metrics_core::{Counter, Desc, Format, Gauge, Histogram, Registry};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

use crate::{ByName, ByWord, text};

const BOUNDS: &[f64] = &[0.5, 10.0, 100.5];

/// What each of several threads writes. Whole numbers, so that sums do not depend on the order.
fn writes() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..200), 1..5)
}

proptest! {
    #[test]
    fn concurrent_sums_are_those_of_the_model(writes in writes()) {
        let (counter, gauge, histogram) = (Counter::default(), Gauge::default(), Histogram::new(BOUNDS));
        thread::scope(|scope| {
            for own in &writes {
                scope.spawn(|| own.iter().for_each(|value| {
                    counter.inc_by(u64::from(*value));
                    gauge.add(f64::from(*value));
                    histogram.observe(f64::from(*value));
                }));
            }
        });
        let all: Vec<u8> = writes.concat();
        let sum: u64 = all.iter().map(|value| u64::from(*value)).sum();
        let float: f64 = all.iter().map(|value| f64::from(*value)).sum();
        let up_to = |bound: f64| all.iter().filter(|value| f64::from(**value) <= bound).count() as u64;
        let cumulative: Vec<(f64, u64)> =
            BOUNDS.iter().chain(&[f64::INFINITY]).map(|bound| (*bound, up_to(*bound))).collect();
        prop_assert_eq!((counter.get(), gauge.get(), histogram.sum()), (sum, float, float));
        prop_assert_eq!((histogram.count(), histogram.cumulative()), (all.len() as u64, cumulative));
    }

    #[test]
    fn a_family_counts_for_each_label_and_loses_nothing(writes in writes()) {
        let registry = Registry::new();
        let family = registry.counter_family::<ByName>(&Desc::counter("x_total", "X.").labels(&["name"]));
        let name = |value: u8| (value % 7).to_string();
        thread::scope(|scope| {
            for own in &writes {
                scope.spawn(|| own.iter().for_each(|value| family.get(&ByName { name: name(*value) }).inc()));
            }
        });
        let mut model: BTreeMap<String, f64> = BTreeMap::new();
        writes.concat().into_iter().for_each(|value| *model.entry(name(value)).or_default() += 1.0);
        let seen: BTreeMap<String, f64> =
            registry.snapshot().into_iter().map(|sample| (sample.labels[0].1.clone(), sample.value)).collect();
        prop_assert_eq!(seen, model);
    }

    #[test]
    fn any_label_value_and_number_is_read_back_as_it_was(name in "\\PC{0,20}[\\\\\"\n]?\\PC{0,20}", value in any::<f64>()) {
        let registry = Registry::new();
        let family = registry.gauge_family::<ByName>(&Desc::gauge("g", "G.").labels(&["name"]));
        family.get(&ByName { name: name.clone() }).set(value);
        for format in [Format::Text004, Format::OpenMetrics100] {
            let text = text(&registry, format);
            let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
            let (head, number) = line.rsplit_once(' ').unwrap();
            let escaped = head.strip_prefix("g{name=\"").and_then(|rest| rest.strip_suffix("\"}")).unwrap();
            prop_assert_eq!(unescaped(escaped), name.as_str());
            let read: f64 = number.parse().unwrap();
            prop_assert_eq!(read.to_bits(), if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() });
        }
    }
}

/// Eight threads at a time, ninety-six in all, write while series come and go and a scraper looks on.
#[test]
fn sums_are_those_of_the_model_while_series_come_and_go_and_threads_end() {
    let registry = Registry::new();
    let by_name = |name: &'static str| Desc::counter(name, "Writes.").labels(&["name"]);
    let hot = registry.hot_counter_family::<ByWord>(&by_name("hot_total"));
    let shared = registry.counter_family::<ByWord>(&by_name("shared_total"));
    let seconds = registry.hot_histogram(&Desc::histogram("seconds", "Values.", BOUNDS));
    let words: Vec<&'static str> = (0..10).map(|i| &*format!("word{i}").leak()).collect();
    let passing: Vec<&'static str> = (0..96).map(|i| &*format!("passing{i}").leak()).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut last: BTreeMap<String, f64> = BTreeMap::new();
            let mut scrapes = 0;
            while !done.load(Ordering::Acquire) {
                for sample in registry.snapshot() {
                    let name = format!("{}{:?}", sample.name, sample.labels);
                    if !name.contains("passing") && !name.ends_with("_sum[]") {
                        let before = last.insert(name.clone(), sample.value).unwrap_or_default();
                        assert!(sample.value >= before, "{name} fell from {before} to {}", sample.value);
                    }
                }
                scrapes += 1;
            }
            scrapes
        });
        for wave in passing.chunks(8) {
            thread::scope(|wave_scope| {
                for own in wave {
                    let (hot, shared, seconds, words) = (&hot, &shared, &seconds, &words);
                    wave_scope.spawn(move || {
                        for i in 0..2_000_u32 {
                            let name = words[i as usize % words.len()];
                            hot.inc(&ByWord { name });
                            shared.get(&ByWord { name }).inc_by(2);
                            seconds.observe(f64::from(i % 128));
                            hot.inc(&ByWord { name: own });
                            if i % 100 == 99 {
                                assert_eq!(hot.get(&ByWord { name: own }).get(), 100);
                                assert!(hot.remove(&ByWord { name: own }));
                            }
                        }
                    });
                }
            });
        }
        done.store(true, Ordering::Release);
        assert!(scraper.join().unwrap() > 1, "the scraper saw nothing");
    });
    for word in words {
        let labels = ByWord { name: word };
        assert_eq!((hot.get(&labels).get(), shared.get(&labels).get()), (96 * 200, 96 * 400), "{word}");
    }
    let sum: u32 = (0..2_000).map(|i| i % 128).sum();
    assert_eq!((seconds.count(), seconds.sum()), (96 * 2_000, f64::from(96 * sum)));
    assert_eq!(registry.snapshot().iter().filter(|sample| sample.name == "hot_total").count(), 10);
}

/// What a reader of either format makes of an escaped label value.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => panic!("a lone backslash ends {text:?}"),
            }),
            '"' | '\n' => panic!("{char:?} is not escaped in {text:?}"),
            other => out.push(other),
        }
    }
    out
}
