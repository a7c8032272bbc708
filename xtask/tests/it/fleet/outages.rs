//! Why an agent was away: found on the host, told when it is back, and recorded once.

use serde_json::{Value, json};
use xtask::agent::until;

use super::rounds::{Chance, Fleet};

const CONFIG: &str = "[providers]\nsimulated = true\n";

/// The outages of the host as it shows them, the last first.
fn own(fleet: &Fleet) -> Vec<Value> {
    let health = fleet.host.json(&["health", "--since", "1h"]).unwrap();
    health["outages"].as_array().unwrap().clone()
}

/// Those that the control plane has.
fn recorded(fleet: &Fleet) -> Vec<Value> {
    fleet.control.list(&format!("/v1/agents/{}/outages", fleet.agent_id)).unwrap()
}

fn causes(outages: &[Value]) -> Vec<&str> {
    outages.iter().map(|outage| outage["cause"].as_str().unwrap()).collect()
}

fn wait_recorded(fleet: &Fleet, count: usize) -> Vec<Value> {
    until("the outages to be told", || {
        let recorded = recorded(fleet);
        (recorded.len() >= count).then_some(recorded)
    })
    .unwrap()
}

#[test]
fn each_outage_is_recorded_once_however_often_the_control_plane_is_killed() {
    let mut fleet = Fleet::start(CONFIG);
    let mut chance = Chance::new(7);
    for _ in 0..8 {
        fleet.control.kill_9().unwrap();
        // What the first dials meet may be the end of the former one.
        until("the outage to be seen", || {
            let last = fleet.host.json(&["status"]).ok()?["last_outage"].clone();
            let is_told = last["evidence"].as_str()?.starts_with("TCP: no connection to 127.0.0.1:");
            (last["ended_at"].is_null() && last["cause"] == "control_plane" && is_told).then_some(())
        })
        .unwrap();
        fleet.control.start().unwrap();
        // Killed again before the hello, before the acknowledgement, or after it.
        let patience = chance.below(40);
        let mut looks = 0;
        until("a while", || {
            looks += 1;
            (looks > patience).then_some(())
        })
        .unwrap();
    }
    fleet.control.wait_presence(&fleet.agent_id, "online").unwrap();
    let own = until("all to be over", || {
        let own = own(&fleet);
        own.iter().all(|outage| !outage["ended_at"].is_null()).then_some(own)
    })
    .unwrap();
    let recorded = wait_recorded(&fleet, own.len());
    assert_eq!(recorded, own, "each of them once, as the host has it");
    assert!(causes(&own).iter().all(|cause| *cause == "control_plane" || *cause == "link"), "{own:?}");
    assert!(own.len() <= 2 * 8, "{own:?}");
}

#[test]
fn a_kill_is_a_crash_and_a_stop_is_no_fault() {
    let mut fleet = Fleet::start(CONFIG);
    fleet.host.kill_9().unwrap();
    let down = fleet.host.json(&["health"]).unwrap();
    assert_eq!((&down["daemon_running"], &down["outages"][0]["ended_at"]), (&json!(false), &Value::Null));
    assert_eq!(causes(down["outages"].as_array().unwrap()), ["crash"]);
    fleet.host.start().unwrap();
    assert_eq!(causes(&wait_recorded(&fleet, 1)), ["crash"]);

    fleet.host.stop().unwrap();
    assert_eq!(causes(&own(&fleet)), ["stopped", "crash"]);
    let last = |fleet: &Fleet| fleet.host.json(&["status"]).unwrap()["last_outage"]["cause"].clone();
    assert_eq!(last(&fleet), "crash", "the stop was wanted");
    fleet.host.start().unwrap();
    assert_eq!(causes(&wait_recorded(&fleet, 2)), ["stopped", "crash"]);
    assert_eq!(last(&fleet), "crash");
    let listed = ["agents", "outages", &fleet.agent_id, "--cause", "crash", "--since", "1h"];
    let text = fleet.control.operator_says(&listed).unwrap();
    assert!(text.contains("the agent ended without a word") && !text.contains("stopped"), "{text}");
}

#[test]
fn a_name_that_is_not_found_is_the_link_and_is_told_over_kills() {
    let mut fleet = Fleet::start(CONFIG);
    let names = fleet.host.state_dir().join("identity/current/identity.json");
    let read = || -> Value { serde_json::from_str(&std::fs::read_to_string(&names).unwrap()).unwrap() };
    let good = read();
    let point_at = |fleet: &mut Fleet, names_of: &Value| {
        fleet.host.stop().unwrap();
        std::fs::write(&names, names_of.to_string()).unwrap();
        fleet.host.start().unwrap();
    };
    let mut lost = good.clone();
    lost["control_plane"] = json!("https://control-plane.invalid:8443");
    point_at(&mut fleet, &lost);
    let open = |fleet: &Fleet| {
        until("the gap to be seen", || {
            let first = own(fleet).into_iter().next()?;
            (first["ended_at"].is_null() && first["cause"] == "link").then_some(first)
        })
        .unwrap()
    };
    let evidence = open(&fleet)["evidence"].as_str().unwrap().to_owned();
    assert!(evidence.contains("control-plane.invalid"), "{evidence}");
    fleet.host.kill_9().unwrap();
    fleet.host.start().unwrap();
    open(&fleet);
    point_at(&mut fleet, &good);
    let recorded = wait_recorded(&fleet, 5);
    assert_eq!(causes(&recorded), ["stopped", "link", "crash", "link", "stopped"], "{recorded:?}");
    assert!(recorded.iter().all(|outage| outage["ended_at"].is_string()), "{recorded:?}");
}

#[test]
fn a_ledger_that_is_damaged_keeps_nobody_from_starting() {
    let mut fleet = Fleet::start(CONFIG);
    fleet.host.stop().unwrap();
    let dir = fleet.host.state_dir().join("outages");
    let segment = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let output = fleet.host.command(&["health"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the ledger of outages has lost something"), "{said}");
    fleet.host.start().unwrap();
    fleet.control.wait_presence(&fleet.agent_id, "online").unwrap();
    let log = std::fs::read_to_string(fleet.host.log()).unwrap();
    assert!(log.contains("the ledger of outages has lost something"), "{log}");
    // It goes on: what comes is told.
    fleet.host.kill_9().unwrap();
    fleet.host.start().unwrap();
    until("the crash to be told", || causes(&recorded(&fleet)).contains(&"crash").then_some(())).unwrap();
}
