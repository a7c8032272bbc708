//! prometheus-client, the reference implementation of OpenMetrics.

use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::harness::{
    BOUNDS, COUNTED, METHODS, ROUTES, SERIES, Subject, Whose, observations, spin, time_creation, time_scrape,
};
use crate::memory::held_by_each;

const PEER: Whose = Whose::Peer("prometheus-client");

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTexts {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByNumber {
    number: u32,
}

pub(crate) fn counter(threads: usize) -> Subject {
    let counter = <Counter>::default();
    Subject::new(PEER, move || {
        spin(threads, |_| {
            counter.inc();
        })
    })
}

pub(crate) fn labels(threads: usize) -> Subject {
    let family = Family::<ByTexts, Counter>::default();
    Subject::new(PEER, move || {
        spin(threads, |i| {
            let i = i as usize % 16;
            family.get_or_create(&ByTexts { method: METHODS[i / 4], route: ROUTES[i % 4] }).inc();
        })
    })
}

pub(crate) fn histogram(threads: usize) -> Subject {
    let (histogram, values) = (Histogram::new(BOUNDS), observations());
    Subject::new(PEER, move || spin(threads, |i| histogram.observe(values[i as usize % 1_024])))
}

fn filled(series: u32) -> (Registry, Family<ByNumber, Counter>) {
    let (mut registry, family) = (Registry::default(), Family::<ByNumber, Counter>::default());
    registry.register("http_requests", "Requests", family.clone());
    for number in 0..series {
        family.get_or_create(&ByNumber { number }).inc_by(u64::from(number));
    }
    (registry, family)
}

pub(crate) fn scrape() -> Subject {
    let (registry, _) = filled(SERIES);
    let mut text = String::new();
    Subject::new(PEER, move || {
        text.clear();
        time_scrape(|| encode(&mut text, &registry).expect("a String takes whatever is written"))
    })
}

pub(crate) fn creation() -> Subject {
    Subject::new(PEER, || {
        let (registry, family) = filled(SERIES);
        let registry = Arc::new(Mutex::new(registry));
        let make = |i| {
            family.get_or_create(&ByNumber { number: SERIES + i }).inc();
        };
        time_creation(make, || {
            let registry = registry.lock().expect("nobody panics with it");
            encode(&mut String::new(), &registry).expect("a String takes whatever is written");
        })
    })
}

pub(crate) fn counter_memory() -> Subject {
    Subject::new(PEER, || held_by_each(COUNTED, || filled(COUNTED)))
}

pub(crate) fn histogram_memory() -> Subject {
    Subject::new(PEER, || {
        held_by_each(COUNTED, || {
            let family = Family::<ByNumber, Histogram>::new_with_constructor(|| Histogram::new(BOUNDS));
            (0..COUNTED).for_each(|number| family.get_or_create(&ByNumber { number }).observe(0.1));
            family
        })
    })
}
