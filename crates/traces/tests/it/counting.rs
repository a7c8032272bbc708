//! What is exposed.

use nkudo_metrics_core::{Format, Registry};
use nkudo_traces::{Config, Sampling, descs};

use crate::spans::{failed, of_trace, span};
use crate::world::{World, pair};

#[test]
fn everything_that_is_declared_is_exposed_with_the_prefix() {
    let sampling = Sampling { ratio: 0.0, ..Sampling::default() };
    let mut world = World::new(Config { sampling, ..Config::default() });
    let registry = Registry::new();
    world.recent.register(&registry, "shop_");
    world.keep(pair(1));
    world.keep([of_trace(2, failed(span("a", "", 0, 1), "no"))]);
    world.keep([of_trace(2, span("late", "a", 0, 1))]);
    world.offer(pair(3));
    let mut bytes = Vec::new();
    registry.encode(Format::Text004, &mut bytes);
    let exposed = String::from_utf8(bytes).expect("it is a text");
    let samples = exposed.lines().filter(|line| !line.starts_with('#'));
    // Memory depends on the sizes of types.
    let samples: Vec<_> = samples.filter(|line| !line.starts_with("shop_trace_memory_bytes ")).collect();
    assert_eq!(
        samples,
        [
            "shop_trace_disk_bytes 169.0",
            "shop_trace_records_damaged_total 0.0",
            "shop_trace_spans_dropped_total{reason=\"full\"} 0.0",
            "shop_trace_spans_dropped_total{reason=\"late\"} 0.0",
            "shop_trace_spans_late_total 1.0",
            "shop_trace_spans_received_total 6.0",
            "shop_trace_write_failures_total 0.0",
            "shop_traces_dropped_total{reason=\"evicted\"} 0.0",
            "shop_traces_dropped_total{reason=\"memory\"} 0.0",
            "shop_traces_dropped_total{reason=\"sampling\"} 1.0",
            "shop_traces_dropped_total{reason=\"vanished\"} 0.0",
            "shop_traces_kept_total{reason=\"failed\"} 1.0",
            "shop_traces_kept_total{reason=\"sampled\"} 0.0",
            "shop_traces_kept_total{reason=\"slow\"} 0.0",
            "shop_traces_pending 1.0",
            "shop_traces_stored 1.0",
        ]
    );
    for desc in descs("shop_") {
        assert!(exposed.contains(&format!("# TYPE {} ", desc.name)), "{}", desc.name);
    }
}
