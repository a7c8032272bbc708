//! The interleavings of the parts that have no lock, with every value that a weak memory may show.
//!
//!     RUSTFLAGS="--cfg loom" cargo test -p nkudo-metrics-core --test loom --release --target-dir target/loom
//!
//! Modelled are the hand-over of slabs and of places in them (`owned.rs`), the list of series (`series.rs`) and the slots of
//! exemplars (`exemplar.rs`): the code as it is, with smaller chunks. Not modelled are arc_swap, in whose place `sync.rs`
//! has stand-ins, and destructors of a thread that count after its slab is gone, which loom does not know. Where there are
//! too many runs, those with two or three interruptions are gone through. loom remembers the last access to an atomic
//! only and may pass a run by: whoever changes a test breaks the code once to see that the test finds it.
#![cfg(loom)]

use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use nkudo_metrics_core::{Counter, Desc, Exemplar, Format, HotCounter, Registry, Traced, label_set};

label_set! {
    struct ByNumber { number: u32 }
}

/// Goes through every run in which threads are interrupted so many times at most, or through every one.
fn model(preemptions: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(run);
}

/// Each thread's slab is its own, also where one was left over: an addition is a load and a store, and two at once would
/// lose one.
#[test]
fn what_two_threads_count_at_once_is_whole() {
    model(Some(2), || {
        let counter = HotCounter::default();
        let first = counter.clone();
        thread::spawn(move || first.inc_by(10)).join().unwrap();
        let writers = [1, 2].map(|by| {
            let counter = counter.clone();
            thread::spawn(move || {
                counter.inc_by(by);
                counter.inc_by(by);
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(counter.get(), 16);
    });
}

/// The slab of a thread that ended goes to the next one, which goes on from what is there; or that one begins before and
/// has another. A reader never sees the sum fall, nor more than was counted.
#[test]
fn a_slab_is_handed_on_with_what_it_counted() {
    model(Some(3), || {
        let counter = HotCounter::default();
        let reader = {
            let counter = counter.clone();
            thread::spawn(move || {
                let first = counter.get();
                let second = counter.get();
                assert!(first <= second && second <= 2, "{first}, {second}");
            })
        };
        for _ in 0..2 {
            let counter = counter.clone();
            thread::spawn(move || counter.inc()).join().unwrap();
        }
        assert_eq!(counter.get(), 2);
        reader.join().unwrap();
    });
}

/// The last handle zeroes the cells; whoever is given their place begins at zero, also in the slab of a thread that wrote
/// to them before.
#[test]
fn a_place_that_is_given_again_begins_at_zero() {
    model(Some(3), || {
        let (old, other) = (HotCounter::default(), HotCounter::default());
        let writer = {
            let old = old.clone();
            thread::spawn(move || {
                old.inc_by(5);
                drop(old);
                let new = HotCounter::default();
                new.inc_by(2);
                assert_eq!(new.get(), 2);
                other.inc();
                assert_eq!((new.get(), other.get()), (2, 1));
            })
        };
        drop(old);
        let new = HotCounter::default();
        assert_eq!(new.get(), 0);
        new.inc();
        assert_eq!(new.get(), 1);
        writer.join().unwrap();
        assert_eq!(new.get(), 1);
    });
}

/// The numbers of the series that a scrape shows.
fn scraped(registry: &Registry) -> Vec<u32> {
    let samples = registry.snapshot();
    samples.iter().map(|sample| sample.labels[0].1.parse().expect("it is a number")).collect()
}

/// A scrape sees the series in the order in which they came, without a gap, and at least those that it was told of.
#[test]
fn a_scrape_sees_every_series_up_to_one() {
    model(None, || {
        let registry = Registry::new();
        let family = registry.counter_family::<ByNumber>(&Desc::counter("x_total", "X.").labels(&["number"]));
        let made = loom::sync::Arc::new(AtomicUsize::new(0));
        let scraper = {
            let (registry, made) = (registry.clone(), made.clone());
            thread::spawn(move || {
                let at_least = made.load(Ordering::Acquire);
                let seen = scraped(&registry);
                assert!(seen.len() >= at_least, "{seen:?} is not the first {at_least}");
                assert!((0..).zip(&seen).all(|(number, seen)| number == *seen), "{seen:?}");
            })
        };
        for number in 0..3 {
            family.get(&ByNumber { number });
            made.store(number as usize + 1, Ordering::Release);
        }
        scraper.join().unwrap();
        assert_eq!(scraped(&registry), [0, 1, 2]);
    });
}

/// What is removed before a scrape begins is not in it, what stays is, also when the list is made anew.
#[test]
fn a_scrape_sees_what_stays_while_the_list_is_made_anew() {
    model(None, || {
        let registry = Registry::new();
        let family = registry.counter_family::<ByNumber>(&Desc::counter("x_total", "X.").labels(&["number"]));
        for number in 0..3 {
            family.get(&ByNumber { number });
        }
        let removed = loom::sync::Arc::new(AtomicUsize::new(0));
        let scraper = {
            let (registry, removed) = (registry.clone(), removed.clone());
            thread::spawn(move || {
                let gone = removed.load(Ordering::Acquire);
                let seen = scraped(&registry);
                assert!(seen.contains(&1), "{seen:?}");
                assert!(gone == 0 || !seen.contains(&0), "{seen:?}");
                assert!(gone < 2 || !seen.contains(&2), "{seen:?}");
            })
        };
        for (number, gone) in [(0, 1), (2, 2)] {
            assert!(family.remove(&ByNumber { number }));
            removed.store(gone, Ordering::Release);
        }
        scraper.join().unwrap();
        assert_eq!(scraped(&registry), [1]);
    });
}

/// An exemplar is read as somebody wrote it: its id, its value and nothing between two of them.
#[test]
fn an_exemplar_is_whole() {
    model(Some(2), || {
        let registry = Registry::new();
        let traced = registry.cell::<Traced<Counter>>(&Desc::counter("x_total", "X."));
        let writers = [(1, "a"), (2, "bbbbbbbbbb")].map(|(by, trace_id)| {
            let traced = traced.clone();
            thread::spawn(move || traced.inc_by(by, Exemplar::new(trace_id)))
        });
        let mut text = Vec::new();
        registry.encode(Format::OpenMetrics100, &mut text);
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find(|line| line.starts_with("x_total")).unwrap();
        let exemplar = line.split_once(" # ").map(|(_, exemplar)| exemplar);
        let possible = [None, Some("{trace_id=\"a\"} 1.0"), Some("{trace_id=\"bbbbbbbbbb\"} 2.0")];
        assert!(possible.contains(&exemplar), "{line}");
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let mut text = Vec::new();
        registry.encode(Format::OpenMetrics100, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("trace_id"), "one of them was kept: {text}");
    });
}
