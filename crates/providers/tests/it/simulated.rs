//! The simulated provider: the suite, its file, and its faults.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nkudo_domain::{Exit, Machine, Observation, VmSpec};
use nkudo_providers::conformance::{Finding, Fixture, run};
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_providers::{Provider, ProviderError};
use tokio::time::timeout;

use crate::world::World;

fn file(world: &World) -> PathBuf {
    world.path().join("simulated.jsonl")
}

fn simulated(world: &World) -> Simulated {
    Simulated::new(SimulatedConfig { file: file(world), memory_only: false })
}

fn spec(world: &World, labels: &[(&str, &str)]) -> VmSpec {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    VmSpec { labels, ..world.spec(Machine::Q35, "") }
}

/// The deeds of the file, with the state after each.
fn deeds(world: &World) -> Vec<String> {
    let text = fs::read_to_string(file(world)).unwrap_or_default();
    text.lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", line["deed"].as_str().unwrap(), line["state"].as_str().unwrap())
        })
        .collect()
}

async fn findings(world: &World, labels: &[(&str, &str)]) -> Vec<Finding> {
    let provider = simulated(world);
    let fixture = Fixture {
        spec: &|| spec(world, labels),
        another: &|| Arc::new(simulated(world)),
        leftovers: &|_| Vec::new(),
        signs_of_life: None,
        kill: None,
        guest_power_off: None,
    };
    run(&provider, &fixture).await
}

#[tokio::test(start_paused = true)]
async fn it_conforms() {
    let world = World::new();
    assert_eq!(findings(&world, &[]).await, []);
    assert_eq!(findings(&world, &[("simulated.boot_ms", "30"), ("simulated.delay_ms", "4")]).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_lie_is_found() {
    for (lie, detail) in [
        ("create", "it is Absent and should be Stopped(None)"),
        ("boot", "it is Stopped(None) and should be Running"),
        ("pause", "it is Running and should be Paused"),
        ("resume", "it is Paused and should be Running"),
        ("power_off", "it is Running and should be stopped"),
        ("force_off", "it is Paused and should be Stopped(None)"),
        ("delete", "it is Running and should be Absent"),
    ] {
        let world = World::new();
        let findings = findings(&world, &[("simulated.lie", lie)]).await;
        let expected = Finding { check: "a whole life", detail: detail.to_owned() };
        assert!(findings.contains(&expected), "{lie}: {findings:?}");
    }
}

#[tokio::test]
async fn each_deed_that_alters_something_is_one_line() {
    let world = World::new();
    let provider = simulated(&world);
    let spec = spec(&world, &[]);
    let vm_id = spec.vm_id;
    provider.create(&spec).await.unwrap();
    provider.create(&spec).await.unwrap();
    provider.boot(&spec).await.unwrap();
    provider.resume(vm_id).await.unwrap();
    provider.pause(vm_id).await.unwrap();
    provider.resume(vm_id).await.unwrap();
    provider.power_off(vm_id, Duration::ZERO).await.unwrap();
    provider.force_off(vm_id).await.unwrap();
    provider.force_off(vm_id).await.unwrap();
    provider.delete(vm_id).await.unwrap();
    provider.delete(vm_id).await.unwrap();
    let expected = [
        "create stopped",
        "boot running",
        "pause paused",
        "resume running",
        "power_off stopped",
        "force_off stopped",
        "delete deleted",
    ];
    assert_eq!(deeds(&world), expected);
    let first = fs::read_to_string(file(&world)).unwrap();
    let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(first["vm_id"], vm_id.to_string());
    assert_eq!(serde_json::from_value::<VmSpec>(first["spec"].clone()).unwrap(), spec);
    assert!(first["at_ms"].as_i64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn a_cut_last_line_is_ignored_and_ended() {
    let world = World::new();
    let spec = spec(&world, &[]);
    let first = simulated(&world);
    first.create(&spec).await.unwrap();
    first.boot(&spec).await.unwrap();
    first.pause(spec.vm_id).await.unwrap();
    let whole = fs::read(file(&world)).unwrap();
    let pause_begins = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in pause_begins..whole.len() - 1 {
        fs::write(file(&world), &whole[..length]).unwrap();
        let second = simulated(&world);
        assert_eq!(second.observe(spec.vm_id).await.unwrap(), Observation::Running, "cut at {length}");
        second.pause(spec.vm_id).await.unwrap();
        assert_eq!(simulated(&world).observe(spec.vm_id).await.unwrap(), Observation::Paused);
    }
    // Only the end of the last line is missing: the deed was done.
    fs::write(file(&world), &whole[..whole.len() - 1]).unwrap();
    assert_eq!(simulated(&world).observe(spec.vm_id).await.unwrap(), Observation::Paused);
}

#[tokio::test]
async fn in_memory_nothing_is_written() {
    let world = World::new();
    let provider = Simulated::new(SimulatedConfig { file: file(&world), memory_only: true });
    let spec = spec(&world, &[]);
    provider.create(&spec).await.unwrap();
    provider.boot(&spec).await.unwrap();
    assert_eq!(provider.observe(spec.vm_id).await.unwrap(), Observation::Running);
    assert!(!file(&world).exists());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_at_each_call() {
    let world = World::new();
    fs::create_dir(file(&world)).unwrap();
    let provider = simulated(&world);
    for error in [provider.probe().await.unwrap_err(), provider.create(&spec(&world, &[])).await.unwrap_err()]
    {
        assert!(matches!(error, ProviderError::File { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn failures_are_as_often_and_as_lasting_as_asked() {
    let check = async |labels: &[(&str, &str)], expected: &[(&str, Option<bool>)]| {
        let world = World::new();
        let provider = simulated(&world);
        let spec = spec(&world, labels);
        for (deed, failure) in expected {
            let result = match *deed {
                "create" => provider.create(&spec).await,
                "boot" => provider.boot(&spec).await,
                "pause" => provider.pause(spec.vm_id).await,
                "delete" => provider.delete(spec.vm_id).await,
                other => panic!("{other}"),
            };
            let found = result.err().map(|error| error.is_transient());
            assert_eq!(found, *failure, "{deed} with {labels:?}");
        }
    };
    let (well, transient, lasting) = (None, Some(true), Some(false));
    check(&[("simulated.fail", "create")], &[("create", lasting), ("create", lasting)]).await;
    check(&[("simulated.fail", "boot")], &[("create", well), ("boot", lasting), ("boot", lasting)]).await;
    check(
        &[("simulated.fail", "boot"), ("simulated.fail_times", "2")],
        &[("create", well), ("boot", transient), ("boot", transient), ("boot", well), ("pause", well)],
    )
    .await;
    check(
        &[("simulated.fail_times", "2")],
        // What takes back a create that failed does not begin the count anew.
        &[("create", transient), ("delete", well), ("create", transient), ("create", well), ("boot", well)],
    )
    .await;
    check(&[("simulated.fail", "dance")], &[("create", lasting)]).await;
    check(&[("simulated.boot_ms", "soon")], &[("create", lasting)]).await;
    check(&[("simulated.fial", "boot")], &[("create", lasting)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_deed_that_hangs_can_be_dropped() {
    let world = World::new();
    let provider = simulated(&world);
    let spec = spec(&world, &[("simulated.hang", "boot")]);
    provider.create(&spec).await.unwrap();
    assert!(timeout(Duration::from_secs(3600), provider.boot(&spec)).await.is_err());
    assert_eq!(deeds(&world), ["create stopped"]);
    assert_eq!(provider.observe(spec.vm_id).await.unwrap(), Observation::Stopped(None));
    provider.delete(spec.vm_id).await.unwrap();
}

#[tokio::test]
async fn a_vm_dies_by_itself_after_each_boot() {
    let world = World::new();
    let provider = simulated(&world);
    let spec = spec(&world, &[("simulated.exit_after_ms", "150")]);
    let died = Exit::Died("simulated death".to_owned());
    provider.create(&spec).await.unwrap();
    for _ in 0..2 {
        provider.boot(&spec).await.unwrap();
        assert_eq!(provider.exited(spec.vm_id).await, died);
        let stopped = Observation::Stopped(Some(died.clone()));
        assert_eq!(provider.observe(spec.vm_id).await.unwrap(), stopped);
        assert_eq!(simulated(&world).observe(spec.vm_id).await.unwrap(), stopped);
        assert!(matches!(provider.pause(spec.vm_id).await, Err(ProviderError::NotRunning { .. })));
    }
}

#[tokio::test]
async fn whoever_watches_is_told_of_a_wanted_end() {
    let world = World::new();
    let provider = simulated(&world);
    let spec = spec(&world, &[]);
    provider.create(&spec).await.unwrap();
    provider.boot(&spec).await.unwrap();
    let power_off = provider.power_off(spec.vm_id, Duration::ZERO);
    let (exit, result) = tokio::join!(provider.exited(spec.vm_id), power_off);
    result.unwrap();
    assert_eq!(exit, Exit::GuestPoweredOff);
}
