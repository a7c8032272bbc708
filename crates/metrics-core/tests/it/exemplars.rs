//! Exemplars in OpenMetrics, and nowhere else.

use std::time::{Duration, UNIX_EPOCH};

use nkudo_metrics_core::{
    Counter, Desc, Exemplar, FloatCounter, Format, Histogram, HotCounter, HotHistogram, Registry,
    TRACE_ID_MAX_BYTES, Traced,
};
use proptest::prelude::{prop_assert_eq, proptest};

use crate::{ByName, openmetrics, text};

const BOUNDS: &[f64] = &[0.5, 10.0];

#[test]
fn exemplars_are_written_to_the_letter() {
    let registry = Registry::new();
    let at = UNIX_EPOCH + Duration::from_millis(1_520_879_607_789);
    let calls =
        registry.family::<ByName, Traced<Counter>>(&Desc::counter("calls_total", "C.").labels(&["name"]));
    calls.get(&ByName { name: "a".to_owned() }).inc(Exemplar::new("abc").map(|exemplar| exemplar.at(at)));
    calls.get(&ByName { name: "b".to_owned() }).inc_by(3, None);
    let hot = registry.cell::<Traced<HotCounter>>(&Desc::counter("hot_total", "H."));
    hot.inc(Exemplar::new("first"));
    hot.inc_by(4, Exemplar::new("second"));
    hot.cell().inc_by(10);
    let busy = registry.cell::<Traced<FloatCounter>>(&Desc::counter("busy_seconds_total", "B."));
    busy.inc_by(0.5, Exemplar::new("x"));
    busy.inc_by(-0.5, Exemplar::new("y"));
    busy.inc_by(f64::NAN, Exemplar::new("z"));
    let shared = registry.cell::<Traced<Histogram>>(&Desc::histogram("seconds", "S.", BOUNDS));
    let own = registry.cell::<Traced<HotHistogram>>(&Desc::histogram("own_seconds", "O.", BOUNDS));
    for (value, trace_id) in [(0.25, "p"), (0.5, "q"), (99.0, "r"), (f64::INFINITY, "s"), (f64::NAN, "t")] {
        shared.observe(value, Exemplar::new(trace_id));
        own.observe(value, Exemplar::new(trace_id));
    }
    assert_eq!((shared.cell().count(), own.cell().count(), busy.cell().get()), (4, 4, 0.5));
    let buckets = |name: &str| {
        format!(
            "{name}_bucket{{le=\"0.5\"}} 2 # {{trace_id=\"q\"}} 0.5\n{name}_bucket{{le=\"10.0\"}} 2\n\
            {name}_bucket{{le=\"+Inf\"}} 4 # {{trace_id=\"s\"}} +Inf\n{name}_sum +Inf\n{name}_count 4\n"
        )
    };
    let open = format!(
        "# HELP busy_seconds B.\n# TYPE busy_seconds counter\nbusy_seconds_total 0.5 # {{trace_id=\"x\"}} 0.5\n\
        # HELP calls C.\n# TYPE calls counter\n\
        calls_total{{name=\"a\"}} 1 # {{trace_id=\"abc\"}} 1.0 1520879607.789\ncalls_total{{name=\"b\"}} 3\n\
        # HELP hot H.\n# TYPE hot counter\nhot_total 15 # {{trace_id=\"second\"}} 4.0\n\
        # HELP own_seconds O.\n# TYPE own_seconds histogram\n{}\
        # HELP seconds S.\n# TYPE seconds histogram\n{}# EOF\n",
        buckets("own_seconds"),
        buckets("seconds"),
    );
    assert_eq!(text(&registry, Format::OpenMetrics100), open);
    openmetrics::read_by_others(&registry);
    // The reference parser takes an escaped quote in an exemplar for the end of its value, which the ABNF does not.
    hot.inc_by(0, Exemplar::new("quo\"te\n"));
    let escaped = open.replace("{trace_id=\"second\"} 4.0", "{trace_id=\"quo\\\"te\\n\"} 0.0");
    assert_eq!(text(&registry, Format::OpenMetrics100), escaped);
    assert!(!text(&registry, Format::Text004).contains(" # "), "the older format knows no exemplars");
}

proptest! {
    #[test]
    fn any_trace_id_within_the_bound_is_read_back(trace_id in "\\PC{0,70}[\\\\\"\n\t]?\\PC{0,70}", value in 0.0..1e300_f64) {
        let registry = Registry::new();
        let seconds = registry.cell::<Traced<Histogram>>(&Desc::histogram("seconds", "S.", BOUNDS));
        let exemplar = Exemplar::new(&trace_id);
        prop_assert_eq!(exemplar.is_some(), (1..=TRACE_ID_MAX_BYTES).contains(&trace_id.len()));
        seconds.observe(value, exemplar);
        let families = openmetrics::families(&registry);
        let kept: Vec<_> = families["seconds"].samples.iter().filter_map(|sample| sample.exemplar.as_ref()).collect();
        prop_assert_eq!(kept.len(), usize::from(exemplar.is_some()));
        for kept in kept {
            prop_assert_eq!((&kept.labels["trace_id"], kept.value), (&trace_id, value));
        }
    }
}

/// What has no exemplars pays nothing for them, not even a pointer.
#[test]
fn plain_cells_are_as_small_as_they_were() {
    let sizes =
        [size_of::<Counter>(), size_of::<Histogram>(), size_of::<HotCounter>(), size_of::<HotHistogram>()];
    assert_eq!(sizes, [8, 24, 24, 32]);
}
