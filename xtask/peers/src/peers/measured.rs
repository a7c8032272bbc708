//! measured, which like ours turns enums into an index.

use measured::label::{DynamicLabelSet, LabelSet, LabelValue, LabelVisitor, StaticLabelSet};
use measured::metric::MetricFamilyEncoding as _;
use measured::metric::histogram::Thresholds;
use measured::metric::name::MetricName;
use measured::text::BufferedTextEncoder;
use measured::{Counter, CounterVec, FixedCardinalityLabel, Histogram, HistogramVec, LabelGroup};

use crate::harness::{
    BOUNDS, COUNTED, SERIES, Subject, Whose, observations, spin, time_creation, time_scrape,
};
use crate::memory::held_by_each;

const PEER: Whose = Whose::Peer("measured");

#[derive(Clone, Copy, FixedCardinalityLabel)]
enum Method {
    Get,
    Post,
    Put,
    Delete,
}

#[derive(Clone, Copy, FixedCardinalityLabel)]
enum Route {
    Agents,
    Vms,
    Actions,
    Executions,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = BySet)]
struct By {
    method: Method,
    route: Route,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = ByNumberSet)]
struct ByNumber {
    #[label(dynamic_with = Numbers)]
    number: Number,
}

/// A number is its own code. Of texts measured keeps one each in an interner, which costs more.
struct Numbers;

#[derive(Clone, Copy)]
struct Number(u32);

impl LabelValue for Number {
    fn visit<V: LabelVisitor>(&self, visitor: V) -> V::Output {
        visitor.write_int(self.0.into())
    }
}

impl LabelSet for Numbers {
    type Value<'a> = Number;

    fn dynamic_cardinality(&self) -> Option<usize> {
        None
    }

    fn encode(&self, value: Number) -> Option<usize> {
        Some(value.0 as usize)
    }

    fn decode(&self, value: usize) -> Number {
        Number(value as u32)
    }
}

impl DynamicLabelSet for Numbers {}

pub(crate) fn counter(threads: usize) -> Subject {
    let counter = Counter::new();
    Subject::new(PEER, move || spin(threads, |_| counter.inc()))
}

pub(crate) fn labels(threads: usize) -> Subject {
    let set = BySet { method: StaticLabelSet::new(), route: StaticLabelSet::new() };
    let family = CounterVec::with_label_set(set);
    let methods = [Method::Get, Method::Post, Method::Put, Method::Delete];
    let routes = [Route::Agents, Route::Vms, Route::Actions, Route::Executions];
    let labels: Vec<By> = methods
        .iter()
        .flat_map(|method| routes.iter().map(|route| By { method: *method, route: *route }))
        .collect();
    Subject::new(PEER, move || spin(threads, |i| family.inc(labels[i as usize % 16])))
}

pub(crate) fn histogram(threads: usize) -> Subject {
    let histogram = Histogram::with_metadata(Thresholds::<12>::with_buckets(BOUNDS));
    let values = observations();
    Subject::new(PEER, move || spin(threads, |i| histogram.observe(values[i as usize % 1_024])))
}

fn filled(series: u32) -> CounterVec<ByNumberSet> {
    let family = CounterVec::with_label_set(ByNumberSet { number: Numbers });
    (0..series).for_each(|number| family.inc_by(ByNumber { number: Number(number) }, number.into()));
    family
}

/// It has no registry; a family is written by its name.
fn encode(family: &CounterVec<ByNumberSet>) {
    let mut text = BufferedTextEncoder::new();
    let name = MetricName::from_str("http_requests_total");
    family.collect_family_into(name, &mut text).expect("nothing can fail");
    drop(text.finish());
}

pub(crate) fn scrape() -> Subject {
    let family = filled(SERIES);
    Subject::new(PEER, move || time_scrape(|| encode(&family)))
}

pub(crate) fn creation() -> Subject {
    Subject::new(PEER, || {
        let family = filled(SERIES);
        time_creation(|i| family.inc(ByNumber { number: Number(SERIES + i) }), || encode(&family))
    })
}

pub(crate) fn counter_memory() -> Subject {
    Subject::new(PEER, || held_by_each(COUNTED, || filled(COUNTED)))
}

pub(crate) fn histogram_memory() -> Subject {
    Subject::new(PEER, || {
        held_by_each(COUNTED, || {
            let set = ByNumberSet { number: Numbers };
            let bounds = Thresholds::<12>::with_buckets(BOUNDS);
            let family = HistogramVec::with_label_set_and_metadata(set, bounds);
            (0..COUNTED).for_each(|number| family.observe(ByNumber { number: Number(number) }, 0.1));
            family
        })
    })
}
