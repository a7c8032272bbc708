//! opentelemetry_sdk. It writes no text: where others are scraped, its data points are collected.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};

use crate::harness::{
    BOUNDS, COUNTED, METHODS, ROUTES, SERIES, Subject, Whose, spin, time_creation, time_scrape,
};
use crate::memory::held_by_each;

const PEER: Whose = Whose::Peer("opentelemetry_sdk");
/// A reader that is asked from outside, too.
#[derive(Debug, Clone)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// Of a metric with up to so many series: it has room for all of them from the start, for two thousand where nobody says
/// otherwise.
fn provider(series: u32) -> (SdkMeterProvider, Reader) {
    let reader = Reader(Arc::new(ManualReader::builder().build()));
    let many = move |_: &Instrument| Stream::builder().with_cardinality_limit(series as usize).build().ok();
    (SdkMeterProvider::builder().with_reader(reader.clone()).with_view(many).build(), reader)
}

fn histogram_of(provider: &SdkMeterProvider) -> Histogram<f64> {
    provider.meter("peers").f64_histogram("h").with_boundaries(BOUNDS.to_vec()).build()
}

pub(crate) fn counter(threads: usize) -> Subject {
    let (provider, _) = provider(16);
    let counter = provider.meter("peers").u64_counter("c").build();
    Subject::new(PEER, move || {
        let _alive = &provider;
        spin(threads, |_| counter.add(1, &[]))
    })
}

pub(crate) fn labels(threads: usize) -> Subject {
    let (provider, _) = provider(16);
    let counter = provider.meter("peers").u64_counter("c").build();
    Subject::new(PEER, move || {
        let _alive = &provider;
        spin(threads, |i| {
            let i = i as usize % 16;
            counter.add(1, &[KeyValue::new("method", METHODS[i / 4]), KeyValue::new("route", ROUTES[i % 4])]);
        })
    })
}

pub(crate) fn histogram(threads: usize) -> Subject {
    let (provider, _) = provider(16);
    let (histogram, values) = (histogram_of(&provider), crate::harness::observations());
    Subject::new(PEER, move || {
        let _alive = &provider;
        spin(threads, |i| histogram.record(values[i as usize % 1_024], &[]))
    })
}

fn number(number: u32) -> [KeyValue; 1] {
    [KeyValue::new("number", i64::from(number))]
}

fn filled(series: u32, most: u32) -> (SdkMeterProvider, Reader, Counter<u64>) {
    let (provider, reader) = provider(most);
    let counter = provider.meter("peers").u64_counter("http_requests_total").build();
    (0..series).for_each(|i| counter.add(u64::from(i), &number(i)));
    (provider, reader, counter)
}

pub(crate) fn scrape() -> Subject {
    let (provider, reader, _) = filled(SERIES, SERIES);
    let mut metrics = ResourceMetrics::default();
    Subject::new(PEER, move || {
        let _alive = &provider;
        time_scrape(|| reader.collect(&mut metrics).expect("it is not shut down"))
    })
}

pub(crate) fn creation() -> Subject {
    Subject::new(PEER, || {
        let (_alive, reader, counter) = filled(SERIES, 2 * SERIES);
        time_creation(
            |i| counter.add(1, &number(SERIES + i)),
            || reader.collect(&mut ResourceMetrics::default()).expect("it is not shut down"),
        )
    })
}

pub(crate) fn counter_memory() -> Subject {
    Subject::new(PEER, || held_by_each(COUNTED, || filled(COUNTED, COUNTED)))
}

pub(crate) fn histogram_memory() -> Subject {
    Subject::new(PEER, || {
        held_by_each(COUNTED, || {
            let (provider, reader) = provider(COUNTED);
            let histogram = histogram_of(&provider);
            (0..COUNTED).for_each(|i| histogram.record(0.1, &number(i)));
            (provider, reader, histogram)
        })
    })
}
