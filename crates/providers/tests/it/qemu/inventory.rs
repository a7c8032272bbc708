//! What is below the directory of run directories, and who has to do with it.

use std::fs;

use nkudo_domain::{Machine, VmId};
use nkudo_host::pidfd::Signal;
use nkudo_host::{clock, fifo};
use nkudo_providers::Provider;
use nkudo_providers::qemu::inventory::{EntryKind, Inventory, inventory};

use crate::world::{World, processes, signal, until};

fn look(world: &World) -> Inventory {
    inventory(&world.path().join("vms"), clock::wall_ms()).unwrap()
}

fn kind<'i>(inventory: &'i Inventory, name: &str) -> &'i EntryKind {
    let named = |path: &std::path::Path| path.file_name().is_some_and(|file| file.to_str() == Some(name));
    &inventory.entries.iter().find(|entry| named(&entry.path)).unwrap().kind
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_and_its_process_are_told_together_and_proven() {
    let world = World::new();
    assert_eq!(look(&world), Inventory::default());
    let (qemu, spec) = (world.qemu(), world.spec(Machine::Microvm, ""));
    let vm_id = spec.vm_id;
    qemu.create(&spec).await.unwrap();
    qemu.boot(&spec).await.unwrap();
    let found = look(&world);
    let EntryKind::Run(run) = kind(&found, &vm_id.to_string()) else { panic!("{found:?}") };
    assert!(run.spec_age_ms.is_some() && run.lock_held && run.socket.is_some(), "{run:?}");
    let [process] = &found.processes[..] else { panic!("{found:?}") };
    assert_eq!((process.identity, process.vm_id), (processes(vm_id)[0], vm_id));
    assert!(process.is_proven() && process.holds_lock && !process.held_removed_lock, "{process:?}");
    // Its directory is taken away: it is still known by the lock that it had.
    fs::remove_dir_all(world.run_directory(vm_id)).unwrap();
    let found = look(&world);
    assert!(found.entries.is_empty() && found.processes[0].held_removed_lock, "{found:?}");
    let again = process.look_again(&world.path().join("vms")).unwrap();
    assert!(again.is_proven() && again.age_ms >= process.age_ms, "{again:?}");
    signal(vm_id, Signal::Kill);
    until("its end", || processes(vm_id).is_empty()).await;
    assert_eq!(process.look_again(&world.path().join("vms")), None);
    assert_eq!(look(&world), Inventory::default());
}

#[test]
fn what_is_no_run_directory_is_told_as_what_it_is() {
    let world = World::new();
    let vms = world.path().join("vms");
    let id = |number: u32| format!("01890a5d-ac96-774b-bcce-{number:012}");
    let vm_id: VmId = id(1).parse().unwrap();
    for name in [format!(".new-{}", id(1)), ".new-nobody".to_owned(), "lost+found".to_owned(), id(2), id(5)] {
        fs::create_dir_all(vms.join(name)).unwrap();
    }
    fs::write(vms.join(id(2)).join("lock"), "").unwrap();
    fs::write(vms.join(id(5)).join("thesis.txt"), "a directory with a vm's name").unwrap();
    std::os::unix::fs::symlink(world.path(), vms.join(id(3))).unwrap();
    fs::write(vms.join(id(4)), "a file with a vm's name").unwrap();
    // A pipe where the specification should be is not waited for.
    fifo::make(&vms.join(id(2)).join("spec.json")).unwrap();
    fs::write(vms.join(id(2)).join("vmm.json.new"), "{").unwrap();
    // What somebody else has put there, by its name or by what it is, is not ours.
    fs::write(vms.join(id(2)).join("disk.new"), "a disk").unwrap();
    fs::create_dir(vms.join(id(2)).join("spec.json.new")).unwrap();
    let found = look(&world);
    assert_eq!(*kind(&found, &format!(".new-{}", id(1))), EntryKind::Unfinished { vm_id });
    for foreign in [".new-nobody", "lost+found", &id(4), &id(5)] {
        assert_eq!(*kind(&found, foreign), EntryKind::Foreign, "{foreign}");
    }
    assert_eq!(*kind(&found, &id(3)), EntryKind::Link);
    let EntryKind::Run(run) = kind(&found, &id(2)) else { panic!("{found:?}") };
    assert!(run.spec_age_ms.is_none() && !run.lock_held && run.socket.is_none(), "{run:?}");
    let unfinished: Vec<_> = run.unfinished.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(unfinished, [vms.join(id(2)).join("vmm.json.new")]);
    assert_eq!((found.entries.len(), found.left_out), (7, 0));
}
