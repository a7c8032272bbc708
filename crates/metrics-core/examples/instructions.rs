//! One kind of work, done a number of times: `instructions NAME TIMES`. What it costs in instructions is the difference
//! between two runs under callgrind, which no other load of a machine can move. Without a name it lists them.

#![expect(clippy::print_stdout, reason = "a program that is read by another")]

use std::hint::black_box;
use std::process::ExitCode;

use nkudo_metrics_core::{
    Counter, Desc, Format, Gauge, Histogram, HotCounter, HotHistogram, Registry, Summary, closed_label_set,
    label_enum, label_set,
};

label_enum! {
    enum Method { Get = "GET", Post = "POST", Put = "PUT", Delete = "DELETE" }
}
label_enum! {
    enum Route { Agents = "/v1/agents", Vms = "/v1/vms", Actions = "/v1/actions", Keys = "/v1/keys" }
}
closed_label_set! {
    struct ByEnums { method: Method, route: Route }
}
label_set! {
    struct ByTexts { method: &'static str, route: &'static str }
}
label_set! {
    struct ByNumber { number: u32 }
}

const BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
static BUCKETS: [f64; 12] = BOUNDS;
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ROUTES: [&str; 4] = ["/v1/agents", "/v1/vms", "/v1/actions", "/v1/keys"];
const REQUESTS: Desc = Desc::counter("requests_total", "Requests.").series_max(1_000_000);
/// Series of one scrape.
const SERIES: u32 = 1_000;

type Work = fn(u32);

const ALL: [(&str, Work); 12] = [
    ("counter_shared", |times| {
        let counter = Counter::default();
        (0..times).for_each(|_| black_box(&counter).inc());
    }),
    ("counter_hot", |times| {
        let counter = HotCounter::default();
        (0..times).for_each(|_| black_box(&counter).inc());
    }),
    ("counter_by_two_enums", |times| {
        let requests = REQUESTS.labels(&["method", "route"]);
        let family = Registry::new().hot_counter_family::<ByEnums>(&requests).closed();
        let (methods, routes) = ([Method::Get, Method::Put], [Route::Vms, Route::Keys]);
        for number in 0..times as usize {
            let (method, route) = (methods[number % 2], routes[number / 2 % 2]);
            family.inc(black_box(&ByEnums { method, route }));
        }
    }),
    ("counter_by_two_texts", |times| {
        let requests = REQUESTS.labels(&["method", "route"]);
        let family = Registry::new().hot_counter_family::<ByTexts>(&requests);
        for number in 0..times as usize {
            let (method, route) = (METHODS[number % 4], ROUTES[number / 4 % 4]);
            family.inc(black_box(&ByTexts { method, route }));
        }
    }),
    ("gauge", |times| {
        let gauge = Gauge::default();
        (0..times).for_each(|number| black_box(&gauge).set(f64::from(number)));
    }),
    ("histogram_shared", |times| {
        let histogram = Histogram::new(&BUCKETS);
        (0..times).for_each(|number| black_box(&histogram).observe(f64::from(number % 100) / 10.0));
    }),
    ("histogram_hot", |times| {
        let histogram = HotHistogram::new(&BUCKETS);
        (0..times).for_each(|number| black_box(&histogram).observe(f64::from(number % 100) / 10.0));
    }),
    ("summary", |times| {
        let now = std::time::Instant::now();
        let summary = Summary::new(&[0.5, 0.99], std::time::Duration::from_secs(60), 5, now);
        (0..times).for_each(|number| black_box(&summary).observe_at(f64::from(number % 100), now));
    }),
    ("series_made", |times| {
        let family = Registry::new().counter_family::<ByNumber>(&REQUESTS.labels(&["number"]));
        (0..times).for_each(|number| family.get(&ByNumber { number }).inc());
    }),
    // Of a thousand counters, and of a thousand histograms.
    ("scrape_counters", |times| {
        let registry = Registry::new();
        let family = registry.counter_family::<ByNumber>(&REQUESTS.labels(&["number"]));
        (0..SERIES).for_each(|number| family.get(&ByNumber { number }).inc_by(number.into()));
        scrape(&registry, times);
    }),
    // Of a thousand counters, of which ten changed.
    ("scrape_patched", |times| {
        let registry = Registry::new();
        let family = registry.counter_family::<ByNumber>(&REQUESTS.labels(&["number"]));
        let counters: Vec<Counter> = (0..SERIES).map(|number| family.get(&ByNumber { number })).collect();
        let (mut patched, mut out) = (registry.patched(), Vec::with_capacity(16 << 20));
        for _ in 0..times {
            counters.iter().step_by(100).for_each(Counter::inc);
            out.clear();
            patched.encode(black_box(&mut out));
        }
    }),
    ("scrape_histograms", |times| {
        let registry = Registry::new();
        let seconds = Desc::histogram("seconds", "Seconds.", &BUCKETS).labels(&["number"]);
        let family = registry.histogram_family::<ByNumber>(&seconds.series_max(1_000_000));
        (0..SERIES).for_each(|number| family.get(&ByNumber { number }).observe(f64::from(number) / 100.0));
        scrape(&registry, times);
    }),
];

fn scrape(registry: &Registry, times: u32) {
    let mut out = Vec::with_capacity(16 << 20);
    for _ in 0..times {
        out.clear();
        registry.encode(Format::Text004, black_box(&mut out));
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (name, times) = (args.next(), args.next().and_then(|times| times.parse().ok()));
    let Some(name) = name else {
        ALL.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let work = ALL.iter().find(|(known, _)| *known == name);
    match (work, times) {
        (Some((_, work)), Some(times)) => {
            work(times);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("instructions NAME TIMES; without arguments it lists the names");
            ExitCode::from(2)
        }
    }
}
