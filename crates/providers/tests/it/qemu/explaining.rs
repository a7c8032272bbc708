//! The evidence about a VM of a real QEMU, in every state.

use std::fs;
use std::time::Duration;

use nkudo_domain::{Machine, Observation, VmSpec};
use nkudo_host::pidfd::Signal;
use nkudo_providers::{Findings, Provider};

use crate::world::{World, processes, signal, until};

/// What is judged, a piece of the sentence, and pieces of facts.
async fn check(
    world: &World,
    spec: &VmSpec,
    judged: impl Fn(&Observation) -> bool,
    why: &str,
    facts: &[(&str, Option<bool>, &str)],
) -> Findings {
    let found = world.qemu().evidence(spec.vm_id).await.unwrap();
    assert!(judged(&found.observation) && found.why.contains(why), "{found:?}");
    for (name, holds, detail) in facts {
        let fact = found.facts.iter().find(|fact| fact.name == *name);
        let told = fact.is_some_and(|fact| fact.holds == *holds && fact.detail.contains(detail));
        assert!(told, "{name} is not {holds:?} with `{detail}`: {found:?}");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_is_explained_in_every_state_of_its_life() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Q35, "pm explained");
    let absent = |found: &Observation| *found == Observation::Absent;
    check(&world, &spec, absent, "nothing of it", &[("directory", Some(false), "is not there")]).await;
    qemu.create(&spec).await.unwrap();
    let idle = |found: &Observation| *found == Observation::Stopped(None);
    check(&world, &spec, idle, "never started", &[("lock", Some(false), "nobody")]).await;

    qemu.boot(&spec).await.unwrap();
    let pid = format!("pid {}", processes(spec.vm_id)[0].pid);
    let running = |found: &Observation| *found == Observation::Running;
    let facts = [
        ("lock", Some(true), "as its standard input"),
        ("pid", Some(true), pid.as_str()),
        ("uuid", Some(true), "bears"),
        ("process", Some(true), "adopted"),
        ("socket", Some(true), "is there"),
        ("monitor", Some(true), "\"status\":\"running\""),
        ("console", None, "bytes"),
    ];
    check(&world, &spec, running, "QEMU says that the guest runs", &facts).await;
    let own = qemu.evidence(spec.vm_id).await.unwrap();
    assert!(own.facts.iter().any(|fact| fact.detail.contains("this run of the agent")), "{own:?}");

    qemu.pause(spec.vm_id).await.unwrap();
    let paused = |found: &Observation| *found == Observation::Paused;
    let found = check(&world, &spec, paused, "does not run on", &[("monitor", Some(true), "paused")]).await;
    assert_eq!(found.events.last().unwrap().event, "STOP", "{found:?}");

    // A hypervisor that hangs is not dead.
    signal(spec.vm_id, Signal::Stop);
    let silent = |found: &Observation| *found == Observation::Unresponsive;
    check(&world, &spec, silent, "did not answer", &[("monitor", Some(false), "within 1000 ms")]).await;
    signal(spec.vm_id, Signal::Kill);
    until("its end", || processes(spec.vm_id).is_empty()).await;
    let died = |found: &Observation| matches!(found, Observation::Stopped(Some(_)));
    let facts = [("pid", Some(false), "is gone"), ("socket", Some(true), "there"), ("lock", Some(false), "")];
    check(&world, &spec, died, "nothing says why", &facts).await;

    qemu.boot(&spec).await.unwrap();
    until("READY", || world.console(spec.vm_id).contains("READY")).await;
    qemu.power_off(spec.vm_id, Duration::from_secs(20)).await.unwrap();
    let off = [("end", None, "the guest powered off")];
    let found = check(&world, &spec, died, "the guest powered off", &off).await;
    let last = found.events.last().unwrap();
    assert_eq!((last.event.as_str(), last.reason.as_deref()), ("SHUTDOWN", Some("guest-shutdown")));
    qemu.delete(spec.vm_id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_evidence_alters_nothing() {
    let world = World::new();
    let qemu = world.qemu();
    let spec = world.spec(Machine::Microvm, "");
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    let directory = world.run_directory(spec.vm_id);
    fs::remove_file(directory.join("vmm.json")).unwrap();
    let gone = directory.with_file_name(format!(".gone-{}", spec.vm_id));
    fs::create_dir(&gone).unwrap();
    let found = world.qemu().evidence(spec.vm_id).await.unwrap();
    assert_eq!(found.observation, Observation::Running, "{found:?}");
    assert!(!directory.join("vmm.json").exists() && gone.exists());
    // A pipe where a file should be is not waited for.
    nkudo_host::fifo::make(&directory.join("vmm.json")).unwrap();
    let found = world.qemu().evidence(spec.vm_id).await.unwrap();
    assert!(found.facts.iter().any(|fact| fact.detail.contains("no plain file")), "{found:?}");
    fs::remove_file(directory.join("vmm.json")).unwrap();
    // A run directory that was taken away leaves the process to be found.
    fs::remove_dir_all(&directory).unwrap();
    let found = world.qemu().evidence(spec.vm_id).await.unwrap();
    assert_eq!(found.observation, Observation::Unresponsive, "{found:?}");
    signal(spec.vm_id, Signal::Kill);
}
