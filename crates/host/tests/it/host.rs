use std::collections::BTreeSet;

use nkudo_host::{clock, cpu, effective_root, facts, memory, net};

use crate::children::until;

#[tokio::test]
async fn clocks_go_forward() {
    let (monotonic, boottime, wall) = (clock::monotonic_ms(), clock::boottime_ms(), clock::wall_ms());
    assert!(boottime >= monotonic && wall > 1_700_000_000_000);
    until("a later time", || {
        (clock::monotonic_ms() > monotonic && clock::boottime_ms() > boottime).then_some(())
    })
    .await;
    let boot_id = clock::boot_id().expect("an id");
    assert_eq!(boot_id.len(), 36, "{boot_id}");
}

#[tokio::test]
async fn processors_are_busy_within_bounds() {
    let before = cpu::read().expect("times");
    let after = until("a tick", || cpu::read().ok().filter(|after| *after != before)).await;
    let percent = cpu::usage_percent(&before, &after);
    assert!((0.0..=100.0).contains(&percent), "{percent}");
    let info = cpu::info().expect("an answer");
    let cores = usize::try_from(info.cores).expect("a few");
    assert!(cores >= std::thread::available_parallelism().expect("a number").get());
    assert!(!info.model.is_empty() && !info.flags.is_empty());
}

#[test]
fn memory_adds_up() {
    let memory = memory::read().expect("an answer");
    assert!(memory.available_bytes <= memory.total_bytes && memory.total_bytes > 0);
    assert_eq!(memory.used_bytes(), memory.total_bytes - memory.available_bytes);
}

#[test]
fn interfaces_are_listed_once_and_names_lead_nowhere_else() {
    let interfaces = net::interfaces();
    let names: BTreeSet<_> = interfaces.iter().map(|interface| interface.name.clone()).collect();
    assert_eq!(names.len(), interfaces.len());
    let loopback = interfaces.iter().find(|interface| interface.name == "lo").expect("there is a loopback");
    assert!(loopback.mtu > 0 && loopback.mac.is_none());
    for name in ["", ".", "..", "lo", "lo/..", "../net/lo", "absent0"] {
        assert!(!net::is_bridge(name), "{name}");
    }
}

#[test]
fn facts_are_those_of_the_modules() {
    let facts = facts::read().expect("facts");
    assert_eq!(facts.boot_id, clock::boot_id().expect("an id"));
    assert_eq!(facts.memory_bytes, memory::read().expect("an answer").total_bytes);
    assert_eq!(facts.cores, cpu::info().expect("an answer").cores);
    assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty());
    assert!(facts.disks.iter().all(|disk| !disk.name.starts_with("loop")));
}

#[test]
fn root_may_read_what_is_closed_to_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("closed");
    std::fs::write(&path, "x").expect("a file");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o0)).expect("a mode");
    assert_eq!(std::fs::read(&path).is_ok(), effective_root());
}
