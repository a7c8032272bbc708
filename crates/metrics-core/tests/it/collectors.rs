//! Collectors that hang or panic, and scrapes that go on without them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nkudo_metrics_core::{Collector, Desc, Format, Registry, SampleSink};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry as Theirs;

/// A collector that waits behind a gate, or panics.
#[derive(Debug, Default)]
struct Moody {
    is_shut: Mutex<bool>,
    opened: Condvar,
    panics: AtomicBool,
}

impl Moody {
    fn shut(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap_or_else(PoisonError::into_inner) = is_shut;
        self.opened.notify_all();
    }
}

impl Moody {
    fn be_moody(&self) {
        let shut = self.is_shut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_while(shut, |is_shut| *is_shut));
        assert!(!self.panics.load(Ordering::Relaxed), "it is in no mood");
    }
}

impl Collector for Moody {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        self.be_moody();
        sink.sample(0, &[], 7.0);
    }
}

/// The same in a registry of prometheus-client.
#[derive(Debug)]
struct TheirMoody(Arc<Moody>);

impl prometheus_client::collector::Collector for TheirMoody {
    fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.0.be_moody();
        Ok(())
    }
}

/// With a collector of theirs that is in a mood, and a counter beside it.
fn including_moody(deadline: Duration) -> (Registry, Arc<Moody>) {
    let (registry, _) = with_moody(deadline);
    let mut theirs = Theirs::default();
    theirs.register("beside", "B", Counter::<u64>::default());
    let their_moody = Arc::new(Moody::default());
    theirs.register_collector(Box::new(TheirMoody(Arc::clone(&their_moody))));
    registry.include(Arc::new(theirs));
    (registry, their_moody)
}

fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    registry.encode(Format::OpenMetrics100, &mut out);
    String::from_utf8(out).expect("the text is UTF-8")
}

fn with_moody(deadline: Duration) -> (Registry, Arc<Moody>) {
    let registry = Registry::with_collector_deadline(deadline);
    let moody = Arc::new(Moody::default());
    registry.collector(vec![Desc::gauge("moody", "A mood.")], Arc::clone(&moody) as _);
    registry.collector(vec![Desc::gauge("steady", "Another one.")], Arc::new(Moody::default()));
    registry.counter(&Desc::counter("plain_total", "Counted.")).inc();
    registry.register_own("");
    (registry, moody)
}

fn check(text: &str, there: &[&str], absent: &[&str]) {
    for line in there {
        assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
    }
    for start in absent {
        assert!(!text.lines().any(|found| found.starts_with(start)), "{start} is in\n{text}");
    }
}

#[test]
fn one_that_panics_is_named_and_the_others_are_there() {
    let (registry, moody) = with_moody(Duration::from_secs(60));
    check(&text(&registry), &["moody 7.0", "steady 7.0"], &["metrics_collector_failures_total"]);
    moody.panics.store(true, Ordering::Relaxed);
    let named = "metrics_collector_failures_total{collector=\"moody\",cause=\"panic\"} 1.0";
    check(
        &text(&registry),
        &["# TYPE moody gauge", "steady 7.0", "plain_total 1", named, "# EOF"],
        &["moody "],
    );
    moody.panics.store(false, Ordering::Relaxed);
    check(&text(&registry), &["moody 7.0", "steady 7.0", named], &[]);
}

#[test]
fn one_that_hangs_is_left_behind_once_and_taken_back_when_it_returns() {
    let (registry, moody) = with_moody(Duration::from_secs(2));
    moody.shut(true);
    let late = "metrics_collector_failures_total{collector=\"moody\",cause=\"deadline\"} 1.0";
    check(&text(&registry), &["steady 7.0", "plain_total 1", late], &["moody "]);
    // It is not waited for again.
    for scrape in 1..=3 {
        let busy =
            format!("metrics_collector_failures_total{{collector=\"moody\",cause=\"busy\"}} {scrape}.0");
        check(&text(&registry), &["steady 7.0", late, &busy], &["moody "]);
    }
    moody.shut(false);
    let patience = Instant::now() + Duration::from_secs(30);
    while !text(&registry).contains("\nmoody 7.0\n") {
        assert!(Instant::now() < patience, "it never came back");
        thread::yield_now();
    }
    check(&text(&registry), &["steady 7.0", late], &[]);
}

#[test]
fn an_included_registry_that_panics_or_hangs_is_named_and_the_others_are_there() {
    let named = |cause: &str| {
        format!("metrics_collector_failures_total{{collector=\"prometheus_client\",cause=\"{cause}\"}} 1.0")
    };
    let (registry, moody) = including_moody(Duration::from_secs(60));
    check(&text(&registry), &["moody 7.0", "beside_total 0"], &["metrics_collector_failures_total"]);
    moody.panics.store(true, Ordering::Relaxed);
    check(&text(&registry), &["moody 7.0", "plain_total 1", &named("panic"), "# EOF"], &["beside_total"]);
    moody.panics.store(false, Ordering::Relaxed);
    check(&text(&registry), &["moody 7.0", "beside_total 0"], &[]);

    let (registry, moody) = including_moody(Duration::from_secs(2));
    moody.shut(true);
    check(&text(&registry), &["moody 7.0", &named("deadline"), "# EOF"], &["beside_total"]);
    // It is not waited for again.
    check(&text(&registry), &["moody 7.0", &named("busy")], &["beside_total"]);
    assert!(!registry.snapshot().iter().any(|sample| sample.name == "beside_total"));
    moody.shut(false);
    let patience = Instant::now() + Duration::from_secs(30);
    while !text(&registry).contains("\nbeside_total 0\n") {
        assert!(Instant::now() < patience, "it never came back");
        thread::yield_now();
    }
}

#[test]
fn many_scrapes_at_once_miss_nothing() {
    let (registry, _moody) = with_moody(Duration::from_secs(60));
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                check(&text(&registry), &["moody 7.0", "steady 7.0"], &["metrics_collector_failures"])
            });
        }
    });
}
