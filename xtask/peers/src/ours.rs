//! The project's own crates.

use nkudo_metrics_core::{
    ClosedValue as _, Counter, Desc, Format, HotCounter, HotHistogram, Registry, closed_label_set,
    label_enum, label_set,
};

use crate::harness::{
    BOUNDS, COUNTED, METHODS, ROUTES, SERIES, Subject, Whose, observations, spin, time_creation, time_scrape,
};
use crate::memory::held_by_each;

label_enum! {
    pub(crate) enum Method { Get = "GET", Post = "POST", Put = "PUT", Delete = "DELETE" }
}

label_enum! {
    pub(crate) enum Route { Agents = "agents", Vms = "vms", Actions = "actions", Executions = "executions" }
}

closed_label_set! {
    pub(crate) struct ByEnums { method: Method, route: Route }
}

label_set! {
    pub(crate) struct ByTexts { method: &'static str, route: &'static str }
}

label_set! {
    pub(crate) struct ByNumber { number: u32 }
}

static BUCKETS: [f64; 12] = BOUNDS;
const REQUESTS: Desc =
    Desc::counter("http_requests_total", "Requests, by method and route.").series_max(1_000_000);

/// The sixteen pairs.
pub(crate) fn enums() -> Vec<(Method, Route)> {
    Method::ALL.iter().flat_map(|method| Route::ALL.iter().map(|route| (*method, *route))).collect()
}

pub(crate) fn hot_counter(threads: usize) -> Subject {
    let counter = HotCounter::default();
    Subject::new(Whose::Ours, move || spin(threads, |_| counter.inc()))
}

pub(crate) fn counter(threads: usize) -> Subject {
    let counter = Counter::default();
    Subject::new(Whose::Ours, move || spin(threads, |_| counter.inc()))
}

pub(crate) fn closed_labels(threads: usize) -> Subject {
    let family =
        Registry::new().hot_counter_family::<ByEnums>(&REQUESTS.labels(&["method", "route"])).closed();
    let labels = enums();
    Subject::new(Whose::Ours, move || {
        spin(threads, |i| {
            let (method, route) = labels[i as usize % 16];
            family.inc(&ByEnums { method, route });
        })
    })
}

pub(crate) fn string_labels(threads: usize) -> Subject {
    let family = Registry::new().hot_counter_family::<ByTexts>(&REQUESTS.labels(&["method", "route"]));
    Subject::new(Whose::Ours, move || {
        spin(threads, |i| {
            let i = i as usize % 16;
            family.inc(&ByTexts { method: METHODS[i / 4], route: ROUTES[i % 4] });
        })
    })
}

pub(crate) fn hot_histogram(threads: usize) -> Subject {
    let (histogram, values) = (HotHistogram::new(&BUCKETS), observations());
    Subject::new(Whose::Ours, move || spin(threads, |i| histogram.observe(values[i as usize % 1_024])))
}

fn filled(series: u32) -> (Registry, nkudo_metrics_core::Family<ByNumber, Counter>) {
    let registry = Registry::new();
    let family = registry.counter_family::<ByNumber>(&REQUESTS.labels(&["number"]));
    (0..series).for_each(|number| family.get(&ByNumber { number }).inc_by(u64::from(number)));
    (registry, family)
}

/// The text of so many series.
pub(crate) fn exposition(series: u32) -> Vec<u8> {
    let mut text = Vec::new();
    filled(series).0.encode(Format::Text004, &mut text);
    text
}

pub(crate) fn scrape() -> Subject {
    let (registry, _) = filled(SERIES);
    let mut text = Vec::new();
    Subject::new(Whose::Ours, move || {
        text.clear();
        time_scrape(|| registry.encode(Format::Text004, &mut text))
    })
}

/// One in a hundred series changes before each scrape.
pub(crate) fn patched_scrape() -> Subject {
    let (registry, family) = filled(SERIES);
    let changing: Vec<Counter> =
        (0..SERIES).step_by(100).map(|number| family.get(&ByNumber { number })).collect();
    let (mut patched, mut text) = (registry.patched(), Vec::new());
    patched.encode(&mut text);
    Subject::new(Whose::Ours, move || {
        changing.iter().for_each(Counter::inc);
        text.clear();
        time_scrape(|| patched.encode(&mut text))
    })
}

/// What a patched text holds for each series beyond the series itself.
pub(crate) fn patched_memory() -> Subject {
    Subject::new(Whose::Ours, || {
        let (registry, family) = filled(COUNTED);
        let held = held_by_each(COUNTED, || {
            let mut patched = registry.patched();
            patched.encode(&mut Vec::new());
            patched
        });
        drop(family);
        held
    })
}

pub(crate) fn creation() -> Subject {
    Subject::new(Whose::Ours, || {
        let (registry, family) = filled(SERIES);
        let make = |i| family.get(&ByNumber { number: SERIES + i }).inc();
        time_creation(make, || registry.encode(Format::Text004, &mut Vec::new()))
    })
}

pub(crate) fn counter_memory() -> Subject {
    Subject::new(Whose::Ours, || held_by_each(COUNTED, || filled(COUNTED)))
}

pub(crate) fn histogram_memory() -> Subject {
    Subject::new(Whose::Ours, || {
        held_by_each(COUNTED, || {
            let registry = Registry::new();
            let desc = Desc::histogram("seconds", "Times.", &BUCKETS).labels(&["number"]);
            let family = registry.histogram_family::<ByNumber>(&desc);
            (0..COUNTED).for_each(|number| family.get(&ByNumber { number }).observe(0.1));
            (registry, family)
        })
    })
}
