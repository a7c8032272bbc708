//! The contract's table of actions by states, each cell on each provider.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Host, on, send_signal, until, vm_id};

/// What an action on a VM in a state comes to: done, unchanged, or refused.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    /// It succeeds, and the VM is then in this state; none when it is gone.
    Becomes(Option<&'static str>),
    Unchanged,
    Refused,
}

use Cell::{Becomes, Refused, Unchanged};

const STATES: [&str; 5] = ["running", "paused", "stopped", "failed", "unknown"];
/// When a silent simulated VM falls silent.
const SILENT_AFTER: Duration = Duration::from_secs(2);
const GONE: Cell = Becomes(None);

/// Row by row as the contract has it: running, paused, stopped, failed, unknown.
const TABLE: [(&str, [Cell; 5]); 5] = [
    ("MicroVMStart", [Unchanged, Refused, Becomes(Some("running")), Becomes(Some("running")), Refused]),
    (
        "MicroVMStop",
        [
            Becomes(Some("stopped")),
            Becomes(Some("stopped")),
            Unchanged,
            Becomes(Some("stopped")),
            Becomes(Some("stopped")),
        ],
    ),
    ("MicroVMPause", [Becomes(Some("paused")), Unchanged, Refused, Refused, Refused]),
    ("MicroVMResume", [Unchanged, Becomes(Some("running")), Refused, Refused, Refused]),
    ("MicroVMDelete", [GONE; 5]),
];

#[test]
fn every_cell_holds_on_qemu() {
    let mut host = Host::running("");
    let ids = prepare(&mut host, |host, id, name, _| host.create(id, name), bring_qemu_into);
    check_all(&host, &ids);
    host.assert_nothing_left();
}

#[test]
fn every_cell_holds_on_the_simulated_provider() {
    let mut host = Host::running("[providers]\nsimulated = true\n");
    let create = |host: &Host, id: &str, name: &str, state: &str| {
        let labels = match state {
            "failed" => json!({"simulated.exit_after_ms": "50"}),
            // Long enough to be created, over by the time that it is looked at again.
            "unknown" => json!({"simulated.silent_after_ms": SILENT_AFTER.as_millis().to_string()}),
            _ => json!({}),
        };
        host.create_simulated(id, name, &labels)
    };
    let ids = prepare(&mut host, create, |_, _, _| ());
    check_all(&host, &ids);
}

/// A VM for each cell, in the state of its column.
fn prepare(
    host: &mut Host,
    create: impl Fn(&Host, &str, &str, &str) -> Value,
    bring_into: impl Fn(&Host, &str, &str),
) -> Vec<Vec<String>> {
    let mut ids = Vec::new();
    for (row, (action, _)) in (0_u32..).zip(TABLE) {
        let mut of_row = Vec::new();
        for (column, state) in (0_u32..).zip(STATES) {
            let id = vm_id(10 * row + column);
            host.succeed(&create(host, &id, &format!("{action}-{state}"), state));
            match state {
                "paused" => drop(host.succeed(&on("MicroVMPause", &id))),
                "stopped" => {
                    drop(host.succeed(&on("MicroVMPause", &id)));
                    drop(host.succeed(&on("MicroVMStop", &id)));
                }
                _ => bring_into(host, &id, state),
            }
            of_row.push(id);
        }
        ids.push(of_row);
    }
    // A restart has every VM looked at: those that are silent by then are found to be so.
    let began = Instant::now();
    until("the silence", || (began.elapsed() > SILENT_AFTER).then_some(()));
    host.kill_9();
    host.start();
    for row in &ids {
        for (id, state) in row.iter().zip(STATES) {
            host.wait_for_vm(id, state);
        }
    }
    ids
}

fn bring_qemu_into(host: &Host, id: &str, state: &str) {
    let pid = host.vmm_pid(id).unwrap();
    match state {
        "failed" => send_signal(pid, "KILL"),
        "unknown" => send_signal(pid, "STOP"),
        _ => until("READY", || host.console(id).contains("READY").then_some(())),
    }
}

fn check_all(host: &Host, ids: &[Vec<String>]) {
    for ((action, row), ids) in TABLE.into_iter().zip(ids) {
        for ((cell, state), id) in row.into_iter().zip(STATES).zip(ids) {
            check(host, action, state, id, cell);
        }
    }
    let rest: Value = ids.iter().take(4).flatten().map(|id| on("MicroVMDelete", id)).collect();
    assert_eq!(host.apply(&rest).0, 0, "a delete works from any state");
}

fn check(host: &Host, action: &str, state: &str, id: &str, cell: Cell) {
    let what = format!("{action} on a {state} vm");
    let request = on(action, id);
    match cell {
        Refused => {
            let verb = action.strip_prefix("MicroVM").unwrap().to_lowercase();
            let expected = format!("cannot {verb} vm {action}-{state}: it is {state}");
            assert_eq!(host.fail(&request), expected, "{what}");
            assert_eq!(host.vm(id)["state"], state, "{what}");
        }
        Unchanged => {
            assert_eq!(host.succeed(&request)["changed"], false, "{what}");
            assert_eq!(host.vm(id)["state"], state, "{what}");
        }
        Becomes(then) => {
            assert_eq!(host.succeed(&request)["changed"], true, "{what}");
            match then {
                Some(then) => assert_eq!(host.vm(id)["state"], then, "{what}"),
                None => assert_eq!(host.request("GET", &format!("/v1/vms/{id}"), "").status, 404, "{what}"),
            }
        }
    }
}
