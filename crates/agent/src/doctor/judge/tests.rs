use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nkudo_host::process::Identity;
use nkudo_providers::qemu::inventory::Inventory;

use super::*;
use crate::doctor::picture::{Host, Ledger, StateFile, StateFileKind};
use crate::offline::FREE_BYTES_MIN;

const NOW_MS: i64 = 1_000_000;

fn vm_id(number: u32) -> VmId {
    format!("01890a5d-ac96-774b-bcce-{number:012}").parse().unwrap()
}

fn vm(state: VmState) -> LedgerVm {
    LedgerVm { name: "web-1".parse().unwrap(), provider: ProviderKind::Qemu, state }
}

fn run(number: u32) -> RunFacts {
    RunFacts {
        vm_id: vm_id(number),
        spec_age_ms: Some(9_000),
        lock_held: false,
        socket: None,
        unfinished: Vec::new(),
    }
}

fn entry(name: &str, kind: EntryKind) -> Entry {
    Entry { path: PathBuf::from("/s/vms").join(name), kind, age_ms: Some(3_600_000) }
}

fn process(number: u32) -> VmProcess {
    VmProcess {
        identity: Identity { pid: 100 + number, start_ticks: 1 },
        vm_id: vm_id(number),
        program: "qemu".to_owned(),
        age_ms: 9_000,
        names_vm: true,
        holds_lock: true,
        held_removed_lock: false,
    }
}

/// A host with one VM, number 1, that runs as its journal says.
fn clean() -> Picture {
    let host = Host {
        state_dir: "/s".into(),
        daemon_running: false,
        vms: Inventory {
            entries: vec![entry("1", EntryKind::Run(RunFacts { lock_held: true, ..run(1) }))],
            processes: vec![process(1)],
            left_out: 0,
        },
        simulated: None,
        files: Vec::new(),
        used: BTreeSet::new(),
        available_bytes: Some(1 << 30),
        now_ms: NOW_MS,
    };
    let vms = BTreeMap::from([(vm_id(1), vm(VmState::Running))]);
    Picture { ledger: Ledger { vms, ..Ledger::default() }, unread: None, host }
}

fn add(picture: &mut Picture, entry: Entry) {
    picture.host.vms.entries.push(entry);
}

/// Alters a clean picture and expects these kinds, each with whether it is mended.
fn check(expected: &[(&str, bool)], alter: impl FnOnce(&mut Picture)) -> Vec<Finding> {
    let mut picture = clean();
    alter(&mut picture);
    let found = findings(&picture);
    let told: Vec<(&str, bool)> = found.iter().map(|finding| (finding.kind, finding.fix.is_some())).collect();
    assert_eq!(told, expected, "{found:#?}");
    assert!(found.iter().all(|finding| !finding.evidence.is_empty() && !finding.remedy.is_empty()));
    found
}

#[test]
fn a_clean_host_has_no_findings() {
    check(&[], |_| ());
    check(&[], |picture| picture.host.daemon_running = true);
    check(&[], |picture| {
        picture.ledger.vms.insert(vm_id(2), vm(VmState::Stopped));
        add(picture, entry("2", EntryKind::Run(run(2))));
    });
}

#[test]
fn run_directories_are_held_against_the_journal() {
    let deleted = |picture: &mut Picture| {
        picture.ledger.deleted.insert(vm_id(2), NOW_MS - 5_000);
    };
    check(&[("unrecorded_vm", false)], |picture| add(picture, entry("2", EntryKind::Run(run(2)))));
    check(&[("orphan_directory", true)], |picture| {
        add(picture, entry("2", EntryKind::Run(RunFacts { spec_age_ms: None, ..run(2) })));
    });
    check(&[("unrecorded_vm", false)], |picture| {
        add(picture, entry("2", EntryKind::Run(RunFacts { spec_age_ms: None, lock_held: true, ..run(2) })));
    });
    let found = check(&[("deleted_vm", true)], |picture| {
        deleted(picture);
        add(picture, entry("2", EntryKind::Run(run(2))));
    });
    assert_eq!(found[0].fix, Some(Fix::SetAside("/s/vms/2".into())));
    let found = check(&[("deleted_vm", true)], |picture| {
        deleted(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { lock_held: true, ..run(2) })));
        picture.host.vms.processes.push(process(2));
    });
    let ends = Fix::End { processes: vec![process(2)], directory: Some("/s/vms/2".into()) };
    assert_eq!((found[0].fix.as_ref(), found[0].pid), (Some(&ends), Some(102)));
    // What is younger than the delete is another life, which the journal has lost; so it may be where it was cut.
    check(&[("unrecorded_vm", false)], |picture| {
        deleted(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { spec_age_ms: Some(4_000), ..run(2) })));
    });
    check(&[("unrecorded_vm", false)], |picture| {
        deleted(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { lock_held: true, ..run(2) })));
        picture.host.vms.processes.push(VmProcess { age_ms: 4_000, ..process(2) });
    });
    check(&[("damaged_journal", false), ("unrecorded_vm", false)], |picture| {
        deleted(picture);
        picture.unread = Some("cut".to_owned());
        add(picture, entry("2", EntryKind::Run(run(2))));
    });
    // By a clock that went back nothing is older than a delete that is yet to come.
    let to_come = |picture: &mut Picture| {
        picture.ledger.deleted.insert(vm_id(2), NOW_MS + 1);
        picture.host.vms.processes.push(process(2));
    };
    check(&[("unrecorded_vm", false)], |picture| {
        to_come(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { lock_held: true, ..run(2) })));
    });
    check(&[("orphan_process", false)], |picture| {
        to_come(picture);
        let process = picture.host.vms.processes.last_mut().unwrap();
        (process.holds_lock, process.held_removed_lock) = (false, true);
    });
    // A holder that is not proven to be the VM is nobody's to end.
    check(&[("deleted_vm", false), ("foreign_holder", false)], |picture| {
        deleted(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { lock_held: true, ..run(2) })));
        picture.host.vms.processes.push(VmProcess { names_vm: false, ..process(2) });
    });
    check(&[("deleted_vm", false)], |picture| {
        deleted(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { lock_held: true, ..run(2) })));
    });
    // What is being done with a VM is not to be judged.
    check(&[], |picture| {
        deleted(picture);
        picture.ledger.busy.insert(vm_id(2));
        add(picture, entry("2", EntryKind::Run(run(2))));
        add(picture, entry(".new-2", EntryKind::Unfinished { vm_id: vm_id(2) }));
    });
}

#[test]
fn vms_of_the_journal_are_looked_for_on_the_host() {
    let alone =
        |picture: &mut Picture| (picture.host.vms.entries, picture.host.vms.processes) = Default::default();
    check(&[("missing_directory", false)], alone);
    let found = check(&[("missing_directory", false)], |picture| picture.host.vms.entries.clear());
    assert!(found[0].evidence.contains("pid 101"), "{found:?}");
    check(&[("not_looked_at", false)], |picture| {
        alone(picture);
        picture.host.vms.left_out = 1;
    });
    let dead = |picture: &mut Picture| {
        alone(picture);
        add(picture, entry("1", EntryKind::Run(run(1))));
    };
    check(&[("vm_differs", false)], dead);
    check(&[], |picture| {
        dead(picture);
        picture.host.daemon_running = true;
    });
    let is = |state| move |picture: &mut Picture| drop(picture.ledger.vms.insert(vm_id(1), vm(state)));
    check(&[("vm_differs", false)], is(VmState::Stopped));
    check(&[("vm_unknown", false)], is(VmState::Unknown));
    check(&[("leftover_socket", true), ("unfinished_file", true)], |picture| {
        is(VmState::Failed)(picture);
        alone(picture);
        let unfinished = vec![("/s/vms/1/vmm.json.new".into(), 61_000), ("/s/vms/1/young.new".into(), 9)];
        let socket = Some("/s/vms/1/qmp.sock".into());
        add(picture, entry("1", EntryKind::Run(RunFacts { socket, unfinished, ..run(1) })));
    });
    check(&[("interrupted_action", false)], |picture| {
        picture.ledger.begun.push((Some(vm_id(1)), "MicroVMStop stop-1".to_owned()));
        picture.ledger.busy.insert(vm_id(1));
    });
}

#[test]
fn what_is_not_ours_is_told_and_not_mended() {
    check(&[("foreign_entry", false), ("foreign_entry", false)], |picture| {
        add(picture, entry("lost+found", EntryKind::Foreign));
        add(picture, entry("2", EntryKind::Link));
    });
    check(&[("foreign_holder", false)], |picture| picture.host.vms.processes[0].names_vm = false);
    // Somebody's shell that stands in a run directory.
    check(&[], |picture| {
        picture.host.vms.processes.push(VmProcess { names_vm: false, holds_lock: false, ..process(1) });
    });
    let removed = VmProcess { holds_lock: false, held_removed_lock: true, ..process(2) };
    check(&[("orphan_process", false)], |picture| picture.host.vms.processes.push(removed.clone()));
    let found = check(&[("orphan_process", true)], |picture| {
        picture.ledger.deleted.insert(vm_id(2), NOW_MS - 5_000);
        picture.host.vms.processes.push(removed.clone());
    });
    assert_eq!(found[0].fix, Some(Fix::End { processes: vec![removed.clone()], directory: None }));
    check(&[("orphan_process", false)], |picture| {
        picture.ledger.deleted.insert(vm_id(2), NOW_MS - 5_000);
        let unproven = VmProcess { held_removed_lock: false, ..removed };
        picture.host.vms.processes.push(unproven);
    });
    check(&[("orphan_process", false)], |picture| {
        picture.host.vms.processes.push(VmProcess { holds_lock: false, ..process(1) });
    });
    check(&[("unfinished_directory", true)], |picture| {
        add(picture, entry(".gone-2", EntryKind::Unfinished { vm_id: vm_id(2) }));
        let young = entry(".new-3", EntryKind::Unfinished { vm_id: vm_id(3) });
        add(picture, Entry { age_ms: Some(9), ..young });
    });
}

#[test]
fn simulated_vms_are_held_against_their_deeds() {
    let simulated = |there: &[u32]| {
        let there: BTreeSet<VmId> = there.iter().map(|number| vm_id(*number)).collect();
        move |picture: &mut Picture| {
            let vm = LedgerVm { provider: ProviderKind::Simulated, ..vm(VmState::Running) };
            picture.ledger.vms.insert(vm_id(2), vm);
            picture.host.simulated = Some(there);
        }
    };
    check(&[], simulated(&[2]));
    check(&[("missing_deeds", false)], simulated(&[]));
    check(&[("unrecorded_vm", false)], simulated(&[2, 3]));
}

#[test]
fn the_files_of_the_state_directory_are_judged_one_by_one() {
    let check_file = |what: StateFileKind, kind: &str, fixable: bool| {
        check(&[(kind, fixable)], |picture| {
            picture.host.files.push(StateFile { path: "/s/file".into(), what });
        })
    };
    check_file(StateFileKind::StaleAddress, "stale_address", true);
    check_file(StateFileKind::LeftoverSocket, "leftover_socket", true);
    check_file(StateFileKind::Unfinished { age_ms: 61_000 }, "unfinished_file", true);
    check_file(StateFileKind::SetAside { bytes: 7 }, "set_aside", true);
    check_file(StateFileKind::FormerIdentity, "former_identity", true);
    check_file(StateFileKind::NoIdentity, "no_identity", false);
    check_file(StateFileKind::Beyond { entries: 7 }, "not_looked_at", false);
    let found = check_file(StateFileKind::Mode { mode: 0o644, wanted: 0o7700 }, "open_mode", true);
    assert_eq!(found[0].fix, Some(Fix::Chmod { path: "/s/file".into(), mode: 0o600 }));
    check(&[("disk_full", false)], |picture| picture.host.available_bytes = Some(FREE_BYTES_MIN - 1));
    check(&[], |picture| picture.host.available_bytes = None);
    check(&[("damaged_journal", false)], |picture| picture.unread = Some("cut".to_owned()));
}

#[test]
fn what_a_vm_is_made_of_is_not_moved() {
    let left = |moved: &str| {
        let file = StateFile { path: moved.into(), what: StateFileKind::Unfinished { age_ms: 61_000 } };
        move |picture: &mut Picture| {
            picture.host.files.push(file);
            picture.host.used.insert("/s/vms/2/web.qcow2".into());
        }
    };
    let found = check(&[("unfinished_file", false)], left("/s/vms/2/web.qcow2"));
    assert!(found[0].remedy.contains("a vm uses /s/vms/2/web.qcow2"), "{found:?}");
    check(&[("unfinished_file", true)], left("/s/vms/2/web.qcow"));
    check(&[("orphan_directory", false), ("unfinished_file", true)], |picture| {
        left("/s/other")(picture);
        add(picture, entry("2", EntryKind::Run(RunFacts { spec_age_ms: None, ..run(2) })));
    });
}

#[test]
fn what_comes_or_goes_while_the_host_is_looked_at_is_not_judged() {
    let ledger = |vms: &[(u32, VmState)], deleted: &[u32]| Ledger {
        vms: vms.iter().map(|(number, state)| (vm_id(*number), vm(*state))).collect(),
        deleted: deleted.iter().map(|number| (vm_id(*number), 0)).collect(),
        ..Ledger::default()
    };
    let before = ledger(&[(1, VmState::Running), (2, VmState::Running), (4, VmState::Stopped)], &[3, 5]);
    let after = ledger(&[(1, VmState::Running), (3, VmState::Creating), (4, VmState::Running)], &[2, 5]);
    let both = before.beside(after);
    assert_eq!(both.busy, BTreeSet::from([vm_id(2), vm_id(3), vm_id(4)]));
    assert_eq!(both.deleted, BTreeMap::from([(vm_id(5), 0)]));
    assert_eq!(both.vms.len(), 4);
}
