//! The registry as a scraper and as another service see it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use nkudo_metrics_core::{
    ClosedLabelSet, Collector, Counter, Desc, FloatCounter, Format, Gauge, Histogram, HotCounter,
    HotHistogram, NoLabels, Registry, SERIES_MAX, SampleSink, closed_label_set, label_enum, label_set,
};

mod bad_input;
mod collectors;
mod exemplars;
mod foreign;
mod interleavings;
mod model;
mod openmetrics;
mod patched;
mod states;
mod summary;

label_set! {
    /// By a free text.
    pub struct ByName { name: String }
}

label_set! {
    /// By a text that is never freed.
    pub struct ByWord { name: &'static str }
}

label_set! {
    /// One label of each kind of value.
    pub struct OfEachKind { word: &'static str, yes: bool, code: u16, offset: i64 }
}

label_enum! {
    /// How a request ended.
    pub enum Outcome { Success = "success", Failure = "failure", Refused = "refused" }
}

closed_label_set! {
    /// By how it ended, and whether it was the first of its connection.
    pub struct ByOutcome { outcome: Outcome, first: bool }
}

/// The exposition; one in OpenMetrics is held against the rules.
fn text(registry: &Registry, format: Format) -> String {
    let mut out = Vec::new();
    registry.encode(format, &mut out);
    let text = String::from_utf8(out).expect("an exposition is text");
    if format == Format::OpenMetrics100
        && let Err(fault) = openmetrics::read(&text)
    {
        panic!("{fault}\n{text}");
    }
    text
}

struct Fixed;

impl Collector for Fixed {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        sink.sample(0, &["a"], f64::NAN);
        sink.sample(0, &["b"], f64::INFINITY);
        sink.sample(0, &["c"], -0.25);
        sink.summary(1, &[], &[(0.5, 0.25), (0.99, f64::NAN)], 1.5, 4);
    }
}

fn filled() -> Registry {
    let registry = Registry::new();
    registry.counter(&Desc::counter("jobs_total", "Jobs \"done\".")).inc_by(3);
    registry.gauge(&Desc::gauge("vms_total", "A gauge\nof that name.")).set(2.0);
    let seconds = registry.histogram(&Desc::histogram("work_seconds", "Work.", &[0.5, 1.0]).unit("seconds"));
    seconds.observe(0.5);
    seconds.observe(7.25);
    let names = registry.gauge_family::<ByName>(&Desc::gauge("named", "Names.").labels(&["name"]));
    names.get(&ByName { name: "quo\"te\\back\nline".to_owned() }).set(1.0);
    registry.counter_family::<ByName>(&Desc::counter("empty_total", "Nothing yet.").labels(&["name"]));
    registry.collector(
        vec![
            Desc::gauge("read", "Read at scrape.").labels(&["which"]),
            Desc::summary("wait_seconds", "Waits.").unit("seconds"),
        ],
        Arc::new(Fixed),
    );
    registry
}

#[test]
fn both_formats_are_written_to_the_letter() {
    let values = "named{name=\"quo\\\"te\\\\back\\nline\"} 1.0\n\
        # HELP read Read at scrape.\n# TYPE read gauge\n\
        read{which=\"a\"} NaN\nread{which=\"b\"} +Inf\nread{which=\"c\"} -0.25\n\
        # HELP vms_total A gauge\\nof that name.\n# TYPE vms_total gauge\nvms_total 2.0\n\
        # HELP wait_seconds Waits.\n# TYPE wait_seconds summary\n{UNIT OF wait_seconds}\
        wait_seconds{quantile=\"0.5\"} 0.25\nwait_seconds{quantile=\"0.99\"} NaN\n\
        wait_seconds_sum 1.5\nwait_seconds_count 4\n\
        # HELP work_seconds Work.\n# TYPE work_seconds histogram\n{UNIT OF work_seconds}\
        work_seconds_bucket{le=\"0.5\"} 1\nwork_seconds_bucket{le=\"1.0\"} 1\nwork_seconds_bucket{le=\"+Inf\"} 2\n\
        work_seconds_sum 7.75\nwork_seconds_count 2\n";
    let units = |with: bool| {
        ["wait_seconds", "work_seconds"].iter().fold(values.to_owned(), |text, name| {
            let line = if with { format!("# UNIT {name} seconds\n") } else { String::new() };
            text.replace(&format!("{{UNIT OF {name}}}"), &line)
        })
    };
    let plain = format!(
        "# HELP empty_total Nothing yet.\n# TYPE empty_total counter\n\
        # HELP jobs_total Jobs \"done\".\n# TYPE jobs_total counter\njobs_total 3\n\
        # HELP named Names.\n# TYPE named gauge\n{}",
        units(false)
    );
    let open = format!(
        "# HELP empty Nothing yet.\n# TYPE empty counter\n\
        # HELP jobs Jobs \\\"done\\\".\n# TYPE jobs counter\njobs_total 3\n\
        # HELP named Names.\n# TYPE named gauge\n{}# EOF\n",
        units(true)
    );
    let registry = filled();
    assert_eq!(text(&registry, Format::Text004), plain);
    assert_eq!(text(&registry, Format::OpenMetrics100), open);
    assert_eq!(text(&registry.clone(), Format::Text004), plain, "the same again");
    openmetrics::read_by_others(&registry);
}

#[test]
fn labels_of_each_kind_of_value_are_written() {
    let registry = Registry::new();
    let desc = Desc::gauge("g", "G.").labels(&["word", "yes", "code", "offset"]);
    let family = registry.gauge_family::<OfEachKind>(&desc);
    family.get(&OfEachKind { word: "a", yes: true, code: 404, offset: -3 });
    let line = "g{word=\"a\",yes=\"true\",code=\"404\",offset=\"-3\"} 0.0\n";
    assert!(text(&registry, Format::Text004).ends_with(line));
}

#[test]
fn a_closed_family_has_every_series_from_the_start_and_finds_each() {
    let registry = Registry::new();
    let desc = Desc::counter("calls_total", "Calls.").labels(&["outcome", "first"]);
    let calls = registry.hot_counter_family::<ByOutcome>(&desc).closed();
    assert_eq!(ByOutcome::COUNT, 6);
    for index in 0..6 {
        let labels = ByOutcome::at(index);
        assert_eq!(labels.index(), index);
        calls.get(&labels).inc_by(index as u64 / 2);
        calls.inc_by(&labels, index as u64 - index as u64 / 2);
    }
    let lines: Vec<String> = text(&registry, Format::Text004).lines().skip(2).map(str::to_owned).collect();
    let expected = ["success", "failure", "refused"].iter().flat_map(|outcome| {
        [false, true].map(|first| format!("calls_total{{outcome=\"{outcome}\",first=\"{first}\"}}"))
    });
    let expected: Vec<String> = expected.enumerate().map(|(index, line)| format!("{line} {index}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(calls.get(&ByOutcome { outcome: Outcome::Refused, first: true }).get(), 5);
    let small = Desc::gauge("small", "Too small a bound.").labels(&["outcome", "first"]).series_max(4);
    assert_eq!(registry.gauge_family::<ByOutcome>(&small).closed().refused(), 2);
}

#[test]
fn a_remembered_counter_is_that_of_its_labels_and_forgotten_with_its_series() {
    let registry = Registry::new();
    let desc = Desc::counter("x_total", "X.").labels(&["word", "yes", "code", "offset"]);
    let family = registry.hot_counter_family::<OfEachKind>(&desc);
    let other = registry.hot_counter_family::<OfEachKind>(&Desc { name: "y_total".into(), ..desc.clone() });
    let words: Vec<&'static str> = (0..40).map(|i| &*format!("w{}", i % 20).leak()).collect();
    for _ in 0..3 {
        for word in &words {
            for code in 0..5 {
                family.inc(&OfEachKind { word, yes: true, code, offset: 3 });
                other.inc_by(&OfEachKind { word, yes: true, code, offset: 3 }, 10);
                // A value without an identity is looked up.
                family.inc(&OfEachKind { word, yes: true, code, offset: -3 });
            }
        }
    }
    let values = |name: &str| -> Vec<f64> {
        let samples = registry.snapshot().into_iter().filter(|sample| sample.name == name);
        samples.map(|sample| sample.value).collect()
    };
    // Each word is there at two addresses.
    assert_eq!(values("x_total"), vec![6.0; 200]);
    assert_eq!(values("y_total"), vec![60.0; 100]);
    let labels = OfEachKind { word: words[0], yes: true, code: 0, offset: 3 };
    family.inc(&labels);
    assert!(family.remove(&labels));
    family.inc(&labels);
    assert_eq!(family.get(&labels).get(), 1, "it is another series now");
    assert_eq!(values("x_total").len(), 200);
}

#[test]
fn a_scrape_while_series_come_and_go_sees_each_once_and_whole() {
    let registry = Registry::new();
    let family = registry.counter_family::<ByName>(&Desc::counter("x_total", "X.").labels(&["name"]));
    let stays = ByName { name: "stays".to_owned() };
    family.get(&stays).inc_by(7);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let family = &family;
                scope.spawn(move || {
                    for i in 0..2_000 {
                        let labels = ByName { name: format!("{writer}.{i}") };
                        family.get(&labels).inc();
                        if i % 5 != 0 {
                            assert!(family.remove(&labels));
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let text = text(&registry, Format::Text004);
            let lines: Vec<&str> = text.lines().skip(2).collect();
            let names: HashSet<&str> = lines.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
            assert_eq!(names.len(), lines.len(), "a series came twice");
            assert!(lines.contains(&"x_total{name=\"stays\"} 7"), "{text}");
        }
    });
    assert_eq!(registry.snapshot().len(), 1 + 4 * 400);
}

#[test]
fn a_metric_without_labels_may_have_no_sample() {
    let registry = Registry::new();
    let expiry = registry.gauge_family::<NoLabels>(&Desc::gauge("expiry", "Expiry."));
    let described = "# HELP expiry Expiry.\n# TYPE expiry gauge\n";
    assert_eq!(text(&registry, Format::Text004), described);
    expiry.get(&NoLabels).set(5.0);
    assert_eq!(text(&registry, Format::Text004), format!("{described}expiry 5.0\n"));
    expiry.remove(&NoLabels);
    assert_eq!(text(&registry, Format::Text004), described);
}

#[test]
fn a_snapshot_has_what_the_exposition_has() {
    let registry = filled();
    let lines = text(&registry, Format::Text004).lines().filter(|line| !line.starts_with('#')).count();
    let samples = registry.snapshot();
    assert_eq!(samples.len(), lines);
    let bucket = samples.iter().find(|sample| sample.name == "work_seconds_bucket").unwrap();
    assert_eq!((bucket.labels.as_slice(), bucket.value), (&[("le".to_owned(), "0.5".to_owned())][..], 1.0));
}

#[test]
fn series_are_removed_and_bounded_and_the_refused_are_counted() {
    let registry = Registry::new();
    registry.register_own("own_");
    let family = registry.counter_family::<ByName>(&Desc::counter("x_total", "X.").labels(&["name"]));
    let label = |i: usize| ByName { name: i.to_string() };
    for i in 0..SERIES_MAX + 5 {
        family.get(&label(i)).inc();
    }
    let samples = || registry.snapshot().into_iter().filter(|sample| sample.name == "x_total");
    assert_eq!((family.refused(), registry.refused(), samples().count()), (5, 5, SERIES_MAX));
    assert!(
        text(&registry, Format::Text004)
            .contains("own_metrics_series_refused_total{family=\"x_total\"} 5.0\n")
    );
    assert!(family.remove(&label(1)));
    assert!(!family.remove(&label(1)));
    family.get(&label(SERIES_MAX + 1)).inc();
    assert_eq!((samples().count(), registry.refused()), (SERIES_MAX, 5), "there was room for one again");
    family.retain(|label| label.name.len() > 4);
    assert_eq!(samples().count(), 1, "only the one with five digits is left");
}

#[test]
fn a_bound_of_its_own_holds_for_families_and_collectors() {
    let registry = Registry::new();
    let desc = Desc::gauge("g", "G.").labels(&["name"]).series_max(1);
    let family = registry.gauge_family::<ByName>(&desc);
    family.get(&ByName { name: "a".to_owned() }).set(1.0);
    family.get(&ByName { name: "b".to_owned() }).set(2.0);
    let read = Desc::gauge("read", "Read.").labels(&["which"]).series_max(2);
    registry.collector(vec![read, Desc::summary("s", "S.")], Arc::new(Fixed));
    let names: Vec<String> = registry.snapshot().into_iter().map(|sample| sample.name).collect();
    assert_eq!(names, ["g", "read", "read", "s", "s", "s_sum", "s_count"]);
    assert_eq!((family.refused(), registry.refused()), (1, 2));
}

#[test]
fn long_values_are_cut_and_never_make_a_series_come_twice() {
    let registry = Registry::new();
    let family = registry.counter_family::<ByName>(&Desc::counter("x_total", "X.").labels(&["name"]));
    for end in ["a", "b"] {
        family.get(&ByName { name: format!("a{}{end}", "ü".repeat(5_000)) });
    }
    let lengths: Vec<usize> = registry.snapshot().iter().map(|sample| sample.labels[0].1.len()).collect();
    assert_eq!(lengths, [1_023]);
}

#[test]
fn mistakes_of_the_program_are_found_at_registration() {
    let check = |descs: &[Desc], sentence: &str| {
        let registry = Registry::new();
        registry.gauge(&Desc::gauge("taken", "Taken."));
        registry.counter(&Desc::counter("jobs_total", "Taken."));
        let registered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            registry.collector(descs.to_vec(), Arc::new(Fixed));
        }));
        let message = *registered.expect_err(sentence).downcast::<String>().unwrap();
        assert!(message.contains(sentence), "{message}");
    };
    let check = |desc: Desc, sentence: &str| check(&[desc], sentence);
    check(Desc::gauge("taken", "Again."), "taken is registered twice");
    check(Desc::gauge("jobs_total", "A counter's sample."), "jobs_total is registered twice");
    check(Desc::gauge("jobs", "A counter's family in OpenMetrics."), "jobs is registered twice");
    check(Desc::counter("taken_total", "A gauge's name is its family."), "taken is registered twice");
    check(Desc::gauge("1st", "Digit first."), "its name is not");
    check(Desc::gauge("", "Nothing."), "its name is not");
    check(Desc::counter("work", "No suffix."), "ends in _total");
    check(Desc::gauge("g", "Not its unit.").unit("bytes"), "does not end in its unit");
    check(Desc::gauge("g", "Bad label.").labels(&["a-b"]), "a label's name");
    check(Desc::gauge("g", "Bad label.").labels(&["__a"]), "a label's name");
    check(Desc::gauge("g", "Reserved.").labels(&["le"]), "by histograms and summaries themselves");
    check(Desc::gauge("g", "Twice.").labels(&["a", "b", "a"]), "a label is there twice");
    check(Desc::histogram("h", "Read.", &[0.5]), "no collector has histograms");
}

#[test]
fn a_histograms_buckets_are_checked_at_registration() {
    let check = |buckets: &'static [f64], sentence: &str| {
        let registered =
            std::panic::catch_unwind(|| Registry::new().histogram(&Desc::histogram("h", "H.", buckets)));
        let message = *registered.expect_err(sentence).downcast::<String>().unwrap();
        assert!(message.contains(sentence), "{message}");
    };
    check(&[1.0, 0.5], "do not ascend");
    check(&[0.5, 0.5], "do not ascend");
    check(&[0.5, f64::INFINITY], "do not ascend");
    check(&[f64::NAN], "do not ascend");
    check(&[], "has buckets");
}

#[test]
fn our_cells_register_in_prometheus_clients_registry() {
    let mut theirs = prometheus_client::registry::Registry::default();
    let (counter, gauge, float) = (Counter::default(), Gauge::default(), FloatCounter::default());
    let (hot, seconds) = (HotCounter::default(), HotHistogram::new(&[0.5]));
    let histogram = Histogram::new(&[0.5]);
    theirs.register("jobs", "Jobs", counter.clone());
    theirs.register("busy", "Busy", float.clone());
    theirs.register("load", "Load", gauge.clone());
    theirs.register("seconds", "Seconds", histogram.clone());
    theirs.register("calls", "Calls", hot.clone());
    theirs.register("hot_seconds", "Seconds", seconds.clone());
    counter.inc_by(2);
    hot.inc_by(3);
    float.inc_by(0.5);
    gauge.set(1.5);
    for value in [0.25, 2.0] {
        histogram.observe(value);
        seconds.observe(value);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &theirs).unwrap();
    for line in ["jobs_total 2\n", "busy_total 0.5\n", "load 1.5\n", "calls_total 3\n"] {
        assert!(text.contains(line), "{text} lacks {line}");
    }
    for name in ["seconds", "hot_seconds"] {
        let lines = format!(
            "{name}_sum 2.25\n{name}_count 2\n{name}_bucket{{le=\"0.5\"}} 1\n{name}_bucket{{le=\"+Inf\"}} 2\n"
        );
        assert!(text.contains(&lines), "{text} lacks {lines}");
    }
}
