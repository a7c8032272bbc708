//! A service's metrics from end to end: declared, written to by several threads, scraped.
//!
//! Run it with `cargo run -p nkudo-metrics-core --example web_service`; it prints what a scraper would read.

use std::io::Write as _;
use std::sync::Arc;
use std::thread;

use nkudo_metrics_core::{
    ClosedFamily, Collector, Desc, Format, Gauge, HotCounter, HotHistogram, Registry, SampleSink,
    closed_label_set, label_enum,
};

label_enum! {
    /// The methods that the service knows.
    enum Method { Get = "GET", Post = "POST" }
}

label_enum! {
    /// How a request ended.
    enum Outcome { Ok = "ok", Refused = "refused", Failed = "failed" }
}

closed_label_set! {
    /// Every pair has its series from the start.
    struct ByRequest { method: Method, outcome: Outcome }
}

/// What the service counts. Cheap to clone: each part of the service has its own.
#[derive(Clone)]
struct ServiceMetrics {
    requests: ClosedFamily<ByRequest, HotCounter>,
    seconds: HotHistogram,
    open: Gauge,
}

impl ServiceMetrics {
    fn register(registry: &Registry) -> Self {
        let requests = Desc::counter("requests_total", "Requests, by method and outcome.");
        let seconds = Desc::histogram("request_seconds", "Time to answer.", &[0.001, 0.01, 0.1, 1.0]);
        Self {
            requests: registry
                .hot_counter_family(&requests.labels(&["method", "outcome"]).with_prefix("shop_"))
                .closed(),
            seconds: registry.hot_histogram(&seconds.unit("seconds").with_prefix("shop_")),
            open: registry.gauge(&Desc::gauge("shop_open_connections", "Connections that are open.")),
        }
    }
}

/// Values that somebody else keeps are read when a scrape asks for them.
struct Threads;

impl Collector for Threads {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        sink.sample(0, &[], threads as f64);
    }
}

fn main() -> std::io::Result<()> {
    let registry = Registry::new();
    let metrics = ServiceMetrics::register(&registry);
    registry.collector(vec![Desc::gauge("shop_threads", "Threads that can run.")], Arc::new(Threads));
    thread::scope(|scope| {
        for worker in 0..4_u32 {
            let metrics = metrics.clone();
            scope.spawn(move || {
                metrics.open.inc();
                for i in 0..1_000_u32 {
                    let method = if i % 3 == 0 { Method::Post } else { Method::Get };
                    let outcome = if i % 100 == worker { Outcome::Refused } else { Outcome::Ok };
                    metrics.requests.inc(&ByRequest { method, outcome });
                    metrics.seconds.observe(f64::from(i % 50) / 1_000.0);
                }
                metrics.open.dec();
            });
        }
    });
    let mut text = Vec::new();
    registry.encode(Format::OpenMetrics100, &mut text);
    std::io::stdout().write_all(&text)
}
