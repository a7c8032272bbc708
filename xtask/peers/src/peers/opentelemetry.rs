//! opentelemetry_sdk.

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};

use crate::harness::{METHODS, ROUTES, Subject, Whose, spin};

const PEER: Whose = Whose::Peer("opentelemetry_sdk");

fn provider() -> SdkMeterProvider {
    SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).build()
}

pub(crate) fn counter(threads: usize) -> Subject {
    let provider = provider();
    let counter = provider.meter("peers").u64_counter("c").build();
    Subject::new(PEER, move || {
        let _alive = &provider;
        spin(threads, |_| counter.add(1, &[]))
    })
}

pub(crate) fn labels(threads: usize) -> Subject {
    let provider = provider();
    let counter = provider.meter("peers").u64_counter("c").build();
    Subject::new(PEER, move || {
        let _alive = &provider;
        spin(threads, |i| {
            let i = i as usize % 16;
            counter.add(1, &[KeyValue::new("method", METHODS[i / 4]), KeyValue::new("route", ROUTES[i % 4])]);
        })
    })
}
