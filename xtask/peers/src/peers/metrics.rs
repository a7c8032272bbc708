//! metrics, the facade, with its exporter for Prometheus.

use std::sync::Arc;

use metrics::with_local_recorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::harness::{
    BOUNDS, COUNTED, METHODS, ROUTES, SERIES, Subject, Whose, observations, spin, time_creation, time_scrape,
};
use crate::memory::held_by_each;

const PEER: Whose = Whose::Peer("metrics");

fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new().set_buckets(&BOUNDS).expect("there are buckets");
    builder.build_recorder()
}

pub(crate) fn counter(threads: usize) -> Subject {
    let counter = with_local_recorder(&recorder(), || metrics::counter!("c"));
    Subject::new(PEER, move || spin(threads, |_| counter.increment(1)))
}

pub(crate) fn labels(threads: usize) -> Subject {
    let recorder = recorder();
    Subject::new(PEER, move || {
        spin(threads, |i| {
            let i = i as usize % 16;
            with_local_recorder(&recorder, || {
                metrics::counter!("c", "method" => METHODS[i / 4], "route" => ROUTES[i % 4]).increment(1);
            });
        })
    })
}

pub(crate) fn histogram(threads: usize) -> Subject {
    let recorder = recorder();
    let histogram = with_local_recorder(&recorder, || metrics::histogram!("h"));
    let (handle, values) = (recorder.handle(), observations());
    Subject::new(PEER, move || {
        let taken = spin(threads, |i| histogram.record(values[i as usize % 1_024]));
        // It keeps every observation until somebody drains them.
        handle.run_upkeep();
        taken
    })
}

fn filled(series: u32) -> Arc<PrometheusRecorder> {
    let recorder = Arc::new(recorder());
    with_local_recorder(&*recorder, || {
        for number in 0..series {
            metrics::counter!("http_requests_total", "number" => number.to_string())
                .increment(u64::from(number));
        }
    });
    recorder
}

pub(crate) fn scrape() -> Subject {
    let recorder = filled(SERIES);
    Subject::new(PEER, move || time_scrape(|| drop(recorder.handle().render())))
}

pub(crate) fn creation() -> Subject {
    Subject::new(PEER, || {
        let recorder = filled(SERIES);
        let handle = recorder.handle();
        let make = |i: u32| {
            with_local_recorder(&*recorder, || {
                metrics::counter!("http_requests_total", "number" => (SERIES + i).to_string()).increment(1);
            });
        };
        time_creation(make, || drop(handle.render()))
    })
}

pub(crate) fn counter_memory() -> Subject {
    Subject::new(PEER, || held_by_each(COUNTED, || filled(COUNTED)))
}
