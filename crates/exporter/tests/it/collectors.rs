//! What every service exposes.

use nkudo_exporter::{collectors, descs};
use nkudo_metrics_core::{Registry, Sample};

const BUILD: &[(&str, &str)] = &[("version", "1.2.3"), ("commit", "abc"), ("profile", "release")];

fn samples(registry: &Registry, name: &str) -> Vec<Sample> {
    registry.snapshot().into_iter().filter(|sample| sample.name == name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_runtime_and_build_have_plausible_values() {
    let registry = Registry::new();
    collectors::register(&registry, "own_", BUILD);
    let check = |name: &str, plausible: fn(f64) -> bool| {
        let [sample] = samples(&registry, name).try_into().expect(name);
        assert!(plausible(sample.value), "{name} is {}", sample.value);
    };
    check("process_cpu_seconds_total", |value| value > 0.0 && value < 3_600.0);
    check("process_resident_memory_bytes", |value| value > 1e5 && value < 1e11);
    check("process_virtual_memory_bytes", |value| value > 1e6);
    check("process_open_fds", |value| value >= 3.0);
    check("process_max_fds", |value| value >= 64.0);
    check("process_threads", |value| value >= 3.0);
    check("process_start_time_seconds", |value| value > 1.5e9);
    check("own_runtime_workers", |value| value == 2.0);
    check("own_runtime_alive_tasks", |value| value >= 0.0);
    check("own_runtime_global_queue_depth", |value| value >= 0.0);
    check("own_build_info", |value| value == 1.0);
    let labels = samples(&registry, "own_build_info").remove(0).labels;
    let labels: Vec<(&str, &str)> =
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, BUILD);
}

#[tokio::test]
async fn what_is_registered_is_what_is_described() {
    let registry = Registry::new();
    collectors::register(&registry, "own_", &[]);
    let mut described = descs("own_");
    described.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(registry.descs(), described);
}

#[tokio::test]
#[should_panic(expected = "build_info has no label compiler")]
async fn an_unknown_fact_of_the_build_is_a_mistake() {
    collectors::register(&Registry::new(), "own_", &[("compiler", "rustc")]);
}
