//! Metrics of prometheus-client's registries among ours.

use std::sync::Arc;

use nkudo_metrics_core::{Desc, Format, MetricKind, Registry};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry as Theirs, Unit};

use crate::text;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    path: String,
}

fn theirs() -> Theirs {
    let mut theirs = Theirs::default();
    let requests = Family::<Labels, Counter>::default();
    requests.get_or_create(&Labels { path: "/a \"b\"} # {x\\\n".to_owned() }).inc_by(3);
    theirs.register("requests", "Requests with a \"quote\"", requests);
    let traced = CounterWithExemplar::<Vec<(String, String)>>::default();
    traced.inc_by(2, Some(vec![("trace_id".to_owned(), "abc".to_owned())]), None);
    theirs.register("traced", "Traced", traced);
    let seconds = Histogram::new([0.5, 1.0]);
    seconds.observe(0.7);
    theirs.register_with_unit("took", "How long it took", Unit::Seconds, seconds);
    let depth = Gauge::<i64>::default();
    depth.set(-7);
    theirs.register("depth", "Depth", depth);
    theirs.register("build", "Build", Info::new([("version", "1")]));
    theirs
}

fn ours() -> Registry {
    let registry = Registry::new();
    registry.counter(&Desc::counter("own_total", "Ours.")).inc();
    registry.include(Arc::new(theirs()));
    registry
}

#[test]
fn they_are_there_in_both_formats() {
    let open = text(&ours(), Format::OpenMetrics100);
    for line in [
        "own_total 1",
        "# TYPE requests counter",
        "requests_total{path=\"/a \\\"b\\\"} # {x\\\\\\n\"} 3",
        "# UNIT took_seconds seconds",
        "depth -7",
        "build_info{version=\"1\"} 1",
    ] {
        assert!(open.lines().any(|found| found == line), "{line} is not in\n{open}");
    }
    assert!(open.ends_with("# EOF\n") && open.matches("# EOF").count() == 1, "{open}");
    assert!(open.contains("traced_total 2 # {trace_id=\"abc\"}"), "{open}");

    let older = text(&ours(), Format::Text004);
    for line in [
        "# HELP requests_total Requests with a \"quote\".",
        "# TYPE requests_total counter",
        "requests_total{path=\"/a \\\"b\\\"} # {x\\\\\\n\"} 3",
        "traced_total 2",
        "# TYPE took_seconds histogram",
        "took_seconds_bucket{le=\"1.0\"} 1",
        "# TYPE build_info gauge",
    ] {
        assert!(older.lines().any(|found| found == line), "{line} is not in\n{older}");
    }
    assert!(!older.contains("# UNIT") && !older.contains("# EOF") && !older.contains("abc"), "{older}");
}

#[test]
fn a_snapshot_has_their_samples_whole() {
    let samples = ours().snapshot();
    let requests = samples.iter().find(|sample| sample.name == "requests_total").expect("it is there");
    let path = ("path".to_owned(), "/a \"b\"} # {x\\\n".to_owned());
    assert_eq!(
        (requests.kind, &requests.labels[..], requests.value),
        (MetricKind::Counter, &[path][..], 3.0)
    );
    let count = samples.iter().find(|sample| sample.name == "took_seconds_count").expect("it is there");
    assert_eq!((count.kind, count.value), (MetricKind::Histogram, 1.0));
}

#[test]
#[should_panic(expected = "is registered here and in the registry to include")]
fn a_name_that_is_taken_here_is_told() {
    let registry = Registry::new();
    registry.counter(&Desc::counter("requests_total", "Ours."));
    registry.include(Arc::new(theirs()));
}

#[test]
#[should_panic(expected = "depth is registered twice")]
fn a_name_that_is_taken_there_is_told() {
    ours().gauge(&Desc::gauge("depth", "Ours."));
}
