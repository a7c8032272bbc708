//! measured, which like ours turns enums into an index.

use measured::label::StaticLabelSet;
use measured::metric::histogram::Thresholds;
use measured::{Counter, CounterVec, FixedCardinalityLabel, Histogram, LabelGroup};

use crate::harness::{BOUNDS, Subject, Whose, observations, spin};

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
