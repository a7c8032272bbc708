//! The load, small: that its figures are there and are of what they say.

use std::time::Duration;

use xtask::load::{Load, measure};

#[test]
fn a_small_load_has_every_figure_and_no_error() {
    let load = Load { agents: 20, seconds: 2, release: false, heartbeat_interval: Duration::from_secs(1) };
    let figures = measure(&load).unwrap();
    assert_eq!((figures.agents, figures.errors, figures.actions), (20, 0, 40), "{:?}", figures.told);
    // Those of the agents and those of the probes.
    assert!(figures.heartbeats_per_second > 150.0, "{figures:?}");
    let json = serde_json::to_value(&figures).unwrap();
    for name in [
        "cpu_us_per_heartbeat",
        "server_rss_bytes",
        "heartbeat_p50_ms",
        "heartbeat_p99_ms",
        "heartbeat_p999_ms",
        "delivery_p50_ms",
        "delivery_p99_ms",
        "delivery_p999_ms",
        "completion_p50_ms",
        "completion_p99_ms",
    ] {
        assert!(json[name].as_f64().is_some_and(|figure| figure > 0.0), "{name}: {json}");
    }
    assert!(json["server_bytes_per_agent"].is_u64(), "{json}");
    assert!(figures.completion_p50_ms >= figures.delivery_p50_ms);
}
