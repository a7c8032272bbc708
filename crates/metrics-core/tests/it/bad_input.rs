//! What nobody should have written, and what becomes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use nkudo_metrics_core::{
    Collector, Counter, Desc, FloatCounter, Format, Gauge, Histogram, HotHistogram, Registry, SampleSink,
};

use crate::{ByName, openmetrics, text};

fn by_name(name: impl Into<String>) -> ByName {
    ByName { name: name.into() }
}

fn line_of(registry: &Registry, begin: &str) -> Option<String> {
    let text = text(registry, Format::Text004);
    text.lines().find(|line| line.starts_with(begin)).map(str::to_owned)
}

#[test]
fn label_values_of_any_kind_are_read_back_by_everybody() {
    let registry = Registry::new();
    let family = registry.gauge_family::<ByName>(&Desc::gauge("g", "G\u{7}\t\"\\.").labels(&["name"]));
    let controls: Vec<char> =
        ('\0'..' ').chain(['\u{7f}', '\u{85}', '\u{2028}', '\u{feff}', '\u{fffd}']).collect();
    let mut values: Vec<String> = controls.iter().map(|control| control.to_string()).collect();
    values.extend(controls.iter().map(|control| format!("a{control}\\{control}\"{control}z")));
    values.extend(
        ["", " ", "\\", "\"", "\\n", "\\\\", "\\\"", "\"}", "\",x=\"", "} 1", "# EOF\n"].map(str::to_owned),
    );
    values.iter().for_each(|value| family.get(&by_name(value.as_str())).set(1.0));
    let families = openmetrics::families(&registry);
    let read: Vec<&String> = families["g"].samples.iter().map(|sample| &sample.labels["name"]).collect();
    assert_eq!(read, values.iter().collect::<Vec<_>>());
    openmetrics::read_by_others(&registry);
}

struct Huge;

impl Collector for Huge {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let huge = "ü\n".repeat(350_000);
        sink.sample(0, &[&huge], 1.0);
        sink.sample(0, &[&format!("{huge}x")], 2.0);
        sink.sample(1, &["nan"], f64::NAN);
        sink.sample(1, &["below"], -1.0);
        sink.sample(1, &["most"], f64::INFINITY);
        sink.summary(2, &[], &[(0.5, -1.0), (0.9, f64::NAN), (1.0, 2.0)], f64::NAN, 3);
    }
}

#[test]
fn a_megabyte_in_a_label_is_cut_and_what_is_no_count_is_left_out() {
    let registry = Registry::new();
    let huge = "ü\n".repeat(350_000);
    let family = registry.counter_family::<ByName>(&Desc::counter("x_total", "X.").labels(&["name"]));
    for end in ["a", "b"] {
        family.get(&by_name(format!("{huge}{end}"))).inc();
    }
    let which = &["which"];
    let descs =
        vec![Desc::gauge("read", "R.").labels(which), Desc::counter("read_total", "R.").labels(which)];
    let clashing = catch_unwind(AssertUnwindSafe(|| registry.collector(descs, Arc::new(Huge))));
    assert!(clashing.is_err(), "a gauge is called like a counter's family");
    let descs = ["huge", "seen_total", "told"];
    let descs = vec![
        Desc::gauge(descs[0], "H.").labels(which),
        Desc::counter(descs[1], "S.").labels(which),
        Desc::summary(descs[2], "T."),
    ];
    registry.collector(descs, Arc::new(Huge));
    let families = openmetrics::families(&registry);
    for name in ["x", "huge"] {
        let [sample] = families[name].samples.as_slice() else {
            panic!("{name} is there {:?}", families[name])
        };
        assert!(sample.labels.values().all(|value| value.len() == 1_023 || value.len() == 1_024));
    }
    assert_eq!(families["x"].samples[0].value, 2.0, "both count");
    let seen: Vec<&str> =
        families["seen"].samples.iter().map(|sample| sample.labels["which"].as_str()).collect();
    assert_eq!(seen, ["most"]);
    let told: Vec<&str> = families["told"].samples.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(told, ["told", "told", "told_count"]);
    openmetrics::read_by_others(&registry);
    assert_eq!(line_of(&registry, "told_sum").as_deref(), Some("told_sum NaN"));
    assert_eq!(line_of(&registry, "told{quantile=\"0.5\"}").as_deref(), Some("told{quantile=\"0.5\"} -1.0"));
}

#[test]
fn numbers_at_the_edges_are_defined() {
    let gauge = Gauge::default();
    for (value, then) in
        [(f64::NAN, f64::NAN), (f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::NEG_INFINITY)]
    {
        gauge.set(value);
        gauge.add(1.0);
        assert!(gauge.get() == then || (gauge.get().is_nan() && then.is_nan()));
        gauge.set(2.0);
        assert_eq!(gauge.get(), 2.0);
    }
    gauge.set(f64::INFINITY);
    gauge.add(f64::NEG_INFINITY);
    assert!(gauge.get().is_nan());
    let float = FloatCounter::default();
    float.inc_by(f64::NEG_INFINITY);
    assert_eq!(float.get(), 0.0);
    float.inc_by(f64::INFINITY);
    float.inc_by(1.0);
    assert_eq!(float.get(), f64::INFINITY);
    let counter = Counter::default();
    counter.inc_by(u64::MAX);
    counter.inc_by(3);
    assert_eq!(counter.get(), 2);
}

#[test]
fn a_sum_that_is_no_counter_is_left_out_of_openmetrics() {
    let check = |bounds: &'static [f64], values: &[f64], sum: &str| {
        let registry = Registry::new();
        let shared = registry.histogram(&Desc::histogram("a", "A.", bounds));
        let own = registry.hot_histogram(&Desc::histogram("b", "B.", bounds));
        values.iter().for_each(|value| {
            shared.observe(*value);
            own.observe(*value);
        });
        let is_whole = sum.parse::<f64>().is_ok_and(|sum| sum >= 0.0) && bounds[0] >= 0.0;
        for name in ["a", "b"] {
            let found = line_of(&registry, &format!("{name}_sum")).unwrap();
            assert_eq!(found, format!("{name}_sum {sum}"));
            let samples = &openmetrics::families(&registry)[name].samples;
            assert_eq!(samples.len(), bounds.len() + 1 + if is_whole { 2 } else { 0 });
            let counted = values.iter().filter(|value| !value.is_nan()).count();
            assert_eq!(samples[bounds.len()].value, counted as f64);
        }
        openmetrics::read_by_others(&registry);
    };
    check(&[0.0, 1.0], &[], "0.0");
    check(&[0.0, 1.0], &[f64::NAN], "0.0");
    check(&[0.0, 1.0], &[-0.5, 1.5], "1.0");
    check(&[0.0, 1.0], &[-0.5, 0.25], "-0.25");
    check(&[0.0, 1.0], &[f64::INFINITY, 1.0], "+Inf");
    check(&[0.0, 1.0], &[f64::NEG_INFINITY], "-Inf");
    check(&[0.0, 1.0], &[f64::NEG_INFINITY, f64::INFINITY], "NaN");
    check(&[-1.0, 1.0], &[0.5], "0.5");
    assert_eq!(Histogram::new(&[0.0]).sum().to_bits(), HotHistogram::new(&[0.0]).sum().to_bits());
}

/// Four writers, each with labels that nobody has seen, until long after the bound; memory stays that of the bound.
#[test]
fn a_flood_of_labels_is_bounded_and_counted() {
    const SERIES: usize = 50;
    let registry = Registry::new();
    registry.register_own("");
    let desc = |name: &'static str| Desc::counter(name, "X.").labels(&["name"]).series_max(SERIES);
    let plain = registry.counter_family::<ByName>(&desc("x_total"));
    let hot = registry.hot_counter_family::<ByName>(&desc("y_total"));
    thread::scope(|scope| {
        for writer in 0..4 {
            let (plain, hot) = (&plain, &hot);
            scope.spawn(move || {
                for i in 0..1_000 {
                    // Half of them are cut, so that they are found by what is left.
                    let labels = by_name(format!("{writer}.{i}{}", "y".repeat(i % 2 * 5_000)));
                    plain.get(&labels).inc();
                    hot.inc(&labels);
                }
            });
        }
    });
    let samples = registry.snapshot();
    for name in ["x_total", "y_total"] {
        let kept: Vec<f64> =
            samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).collect();
        assert_eq!(kept, [1.0; SERIES], "{name}");
    }
    assert_eq!((plain.refused(), hot.refused(), registry.refused()), (3_950, 3_950, 7_900));
    assert!(text(&registry, Format::Text004).len() < 2 * SERIES * 1_100);
    let line = line_of(&registry, "metrics_series_refused_total{family=\"y_total\"}").unwrap();
    assert!(line.ends_with(" 3950.0"), "{line}");
    plain.retain(|_| false);
    plain.get(&by_name("after")).inc();
    assert_eq!(line_of(&registry, "x_total").as_deref(), Some("x_total{name=\"after\"} 1"));
}

#[test]
fn a_registration_that_fails_leaves_the_registry_as_it_was() {
    let registry = Registry::new();
    registry.gauge(&Desc::gauge("kept", "K."));
    let before = text(&registry, Format::OpenMetrics100);
    let refuse = |descs: &[Desc]| {
        let registered =
            catch_unwind(AssertUnwindSafe(|| registry.collector(descs.to_vec(), Arc::new(Huge))));
        registered.expect_err("it breaks a rule");
        assert_eq!(text(&registry, Format::OpenMetrics100), before);
    };
    let fine = Desc::gauge("fine", "F.");
    refuse(&[fine.clone(), Desc::gauge("kept", "Taken.")]);
    refuse(&[fine.clone(), fine.clone()]);
    refuse(&[fine.clone(), Desc::gauge("naïve", "Not ASCII.")]);
    refuse(&[fine.clone(), Desc::gauge("with:colon", "Colons are for rules.")]);
    refuse(&[fine.clone(), Desc::gauge("new\nline", "N.")]);
    refuse(&[Desc::gauge("g", "G.").with_prefix("1-"), fine.clone()]);
    refuse(&[Desc::gauge("g", "G.").labels(&[""]), fine.clone()]);
    registry.gauge(&fine).set(1.0);
    assert_eq!(line_of(&registry, "fine").as_deref(), Some("fine 1.0"));
}
