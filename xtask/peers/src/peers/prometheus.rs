//! prometheus, the older of the two Prometheus libraries.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::harness::{
    BOUNDS, COUNTED, METHODS, ROUTES, SERIES, Subject, Whose, observations, spin, time_creation, time_scrape,
};
use crate::memory::held_by_each;

const PEER: Whose = Whose::Peer("prometheus");

pub(crate) fn counter(threads: usize) -> Subject {
    let counter = IntCounter::new("c", "C").expect("the name is good");
    Subject::new(PEER, move || spin(threads, |_| counter.inc()))
}

pub(crate) fn labels(threads: usize) -> Subject {
    let family = IntCounterVec::new(Opts::new("c", "C"), &["method", "route"]).expect("the name is good");
    Subject::new(PEER, move || {
        spin(threads, |i| {
            let i = i as usize % 16;
            family.with_label_values(&[METHODS[i / 4], ROUTES[i % 4]]).inc();
        })
    })
}

fn options() -> HistogramOpts {
    HistogramOpts::new("h", "H").buckets(BOUNDS.to_vec())
}

pub(crate) fn histogram(threads: usize) -> Subject {
    let histogram = Histogram::with_opts(options()).expect("the buckets are good");
    let values = observations();
    Subject::new(PEER, move || spin(threads, |i| histogram.observe(values[i as usize % 1_024])))
}

fn filled(series: u32) -> (Registry, IntCounterVec) {
    let registry = Registry::new();
    let family = IntCounterVec::new(Opts::new("http_requests_total", "Requests"), &["number"]);
    let family = family.expect("the name is good");
    registry.register(Box::new(family.clone())).expect("the name is free");
    for number in 0..series {
        family.with_label_values(&[number.to_string()]).inc_by(u64::from(number));
    }
    (registry, family)
}

fn encode(registry: &Registry, out: &mut Vec<u8>) {
    TextEncoder::new().encode(&registry.gather(), out).expect("a Vec takes whatever is written");
}

pub(crate) fn scrape() -> Subject {
    let (registry, _) = filled(SERIES);
    let mut text = Vec::new();
    Subject::new(PEER, move || {
        text.clear();
        time_scrape(|| encode(&registry, &mut text))
    })
}

pub(crate) fn creation() -> Subject {
    Subject::new(PEER, || {
        let (registry, family) = filled(SERIES);
        let make = |i: u32| family.with_label_values(&[(SERIES + i).to_string()]).inc();
        time_creation(make, || encode(&registry, &mut Vec::new()))
    })
}

pub(crate) fn counter_memory() -> Subject {
    Subject::new(PEER, || held_by_each(COUNTED, || filled(COUNTED)))
}

pub(crate) fn histogram_memory() -> Subject {
    Subject::new(PEER, || {
        held_by_each(COUNTED, || {
            let family = HistogramVec::new(options(), &["number"]).expect("the buckets are good");
            (0..COUNTED).for_each(|number| family.with_label_values(&[number.to_string()]).observe(0.1));
            family
        })
    })
}
