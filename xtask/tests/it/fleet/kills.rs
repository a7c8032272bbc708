//! `kill -9` of the control plane, of the agent, and of both, while actions flow: none lost, none twice, all outcomes
//! known.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xtask::agent::{until, vm_id};

use super::rounds::{Chance, Fleet, kill, life};

/// VMs of a round.
const VMS: u32 = 50;
/// Each is paused and resumed so often; with its creation and its end that is 500 actions a round.
const TIMES: u32 = 4;
/// Kills of a round.
const KILLS: u32 = 4;

/// What the simulated provider has done to each VM, in its order.
fn deeds(fleet: &Fleet) -> BTreeMap<String, Vec<String>> {
    let ledger = std::fs::read_to_string(fleet.host.state_dir().join("simulated.jsonl")).unwrap();
    let mut deeds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in ledger.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let vm_id = line["vm_id"].as_str().unwrap().to_owned();
        deeds.entry(vm_id).or_default().push(line["deed"].as_str().unwrap().to_owned());
    }
    deeds
}

fn rounds(from: u64, count: u64) {
    let mut fleet = Fleet::start("parallel_actions = 8\n[providers]\nsimulated = true\n");
    for seed in from..from + count {
        let mut chance = Chance::new(seed);
        let ids: Vec<String> =
            (0..VMS).map(|number| vm_id(u32::try_from(seed).unwrap() * 1_000 + number)).collect();
        let mut actions = Vec::new();
        for id in &ids {
            let name = format!("v{}", id.replace('-', ""));
            let create = json!({"action_type": "MicroVMCreate", "params": {"vm_id": id, "vm_name": name, "vcpus": 1,
                "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(), "provider": "simulated"}});
            actions.extend(life(&create, id, &format!("r{seed}"), TIMES));
        }
        assert_eq!(actions.len(), 500);
        let ended = fleet.flow(&actions, |control, host| kill(control, host, &mut chance, KILLS));

        // All outcomes are known: with these deeds each is a success, whatever was killed.
        for action in &actions {
            let known = &ended[action["action_id"].as_str().unwrap()];
            assert_eq!(known["status"], "success", "round {seed}: {known}");
        }
        // None lost, none twice: the provider has done each deed once, in its order.
        let expected: Vec<&str> = ["create", "boot"]
            .into_iter()
            .chain((0..TIMES).flat_map(|_| ["pause", "resume"]))
            .chain(["power_off"])
            .collect();
        let done = deeds(&fleet);
        for id in &ids {
            // A creation that was cut off before its boot is taken back and begun again.
            let mut done = done[id].as_slice();
            while let [create, delete, rest @ ..] = done
                && (create.as_str(), delete.as_str()) == ("create", "delete")
            {
                done = rest;
            }
            assert_eq!(done, expected, "round {seed}, vm {id}");
        }
        // Each result was recorded once, as the agent has it.
        until("the agent's own results", || {
            let own = fleet.host.json(&["executions", "--limit", "1000"]).ok()?;
            let own = own["items"].as_array()?.len();
            (own >= actions.len().min(1_000)).then_some(())
        })
        .unwrap();
    }
    let executions = fleet.control.list("/v1/executions").unwrap();
    let mut ids: Vec<&str> =
        executions.iter().map(|execution| execution["action_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(
        (ids.len(), all),
        (500 * usize::try_from(count).unwrap(), 500 * usize::try_from(count).unwrap())
    );
    let vms = fleet.control.list("/v1/vms").unwrap();
    assert_eq!(vms.len(), usize::try_from(u64::from(VMS) * count).unwrap());
    assert!(vms.iter().all(|vm| vm["state"] == "stopped"), "{vms:?}");
}

#[test]
fn rounds_1_to_10() {
    rounds(1, 10);
}

#[test]
fn rounds_11_to_20() {
    rounds(11, 10);
}

#[test]
fn rounds_21_to_30() {
    rounds(21, 10);
}

#[test]
fn rounds_31_to_40() {
    rounds(31, 10);
}

#[test]
fn rounds_41_to_50() {
    rounds(41, 10);
}

/// Real microVMs of a round.
const REAL_VMS: u32 = 10;
/// Each is paused and resumed so often; with its creation and its end that is 500 actions a round.
const REAL_TIMES: u32 = 24;

/// How often QEMU itself says that a VM was halted and set going.
fn qemu_counts(fleet: &Fleet, vm_id: &str) -> (usize, usize) {
    let events = std::fs::read_to_string(fleet.host.vm_dir(vm_id).join("events.out")).unwrap();
    let count = |event: &str| events.matches(&format!("\"event\": \"{event}\"")).count();
    (count("STOP"), count("RESUME"))
}

#[test]
fn five_rounds_with_real_microvms() {
    let mut fleet = Fleet::start("parallel_actions = 4\n");
    for seed in 1..=5 {
        let mut chance = Chance::new(1_000 + u64::from(seed));
        let ids: Vec<String> = (0..REAL_VMS).map(|number| vm_id(seed * 1_000 + number)).collect();
        let mut actions = Vec::new();
        for id in &ids {
            let create = fleet.host.create(id, &format!("v{}", id.replace('-', "")));
            let mut life = life(&create, id, &format!("q{seed}"), REAL_TIMES);
            // Halted for good only once it was counted.
            life.pop();
            actions.extend(life);
        }
        assert_eq!(actions.len(), 490);
        let ended = fleet.flow(&actions, |control, host| kill(control, host, &mut chance, KILLS));
        for action in &actions {
            let known = &ended[action["action_id"].as_str().unwrap()];
            assert_eq!(known["status"], "success", "round {seed}: {known}");
        }
        for id in &ids {
            assert_eq!(qemu_counts(&fleet, id), (24, 24), "round {seed}, vm {id}");
        }
        let ends: Vec<Value> = ids
            .iter()
            .map(|id| json!({"action_id": format!("q{seed}.{id}.end"), "action_type": "MicroVMDelete", "params": {"vm_id": id}}))
            .collect();
        let ended = fleet.flow(&ends, |control, host| kill(control, host, &mut chance, 1));
        assert!(
            ends.iter().all(|end| ended[end["action_id"].as_str().unwrap()]["status"] == "success"),
            "{ends:?}"
        );
        until("no process to be left", || fleet.host.leftovers().is_empty().then_some(())).unwrap();
    }
    until("no vm to be left", || fleet.control.list("/v1/vms").ok()?.is_empty().then_some(())).unwrap();
}
