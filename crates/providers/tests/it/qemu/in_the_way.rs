//! What has the name of a run directory and was not made as one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_domain::{Machine, Observation, VmSpec};
use nkudo_providers::qemu::{Qemu, QemuConfig};
use nkudo_providers::{Provider, ProviderError};

use crate::world::{World, processes, until};

/// Everything below a path: what a file holds, where a link leads.
fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let there = fs::symlink_metadata(&path).unwrap();
        let content = if there.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            b"a directory".to_vec()
        } else if there.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(path, content);
    }
    found
}

fn is_refused(asked: Result<(), ProviderError>, path: &Path, case: &str) {
    let error = asked.unwrap_err();
    assert!(matches!(&error, ProviderError::InTheWay { path: told } if told == path), "{case}: {error:?}");
    assert!(!error.is_transient(), "{case}");
    let told = error.to_string();
    assert!(told.contains(path.to_str().unwrap()) && told.contains("move it away"), "{case}: {told}");
}

type Put = fn(&Path, &VmSpec);

/// What may be in the way, and how it comes there.
const CASES: &[(&str, Put)] = &[
    ("a link to a directory", |path, _| {
        let victim = path.ancestors().nth(2).unwrap().join("victim");
        fs::create_dir(&victim).unwrap();
        for name in ["spec.json", "vmm.json", "console.log", "lock"] {
            fs::write(victim.join(name), "precious").unwrap();
        }
        symlink(victim, path).unwrap();
    }),
    ("a link that leads nowhere", |path, _| symlink("nowhere", path).unwrap()),
    ("a file", |path, _| fs::write(path, "x").unwrap()),
    ("an empty directory", |path, _| fs::create_dir(path).unwrap()),
    ("a directory with a disk", |path, _| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("disk.img"), "precious").unwrap();
    }),
    ("a directory with files of our names", |path, _| {
        fs::create_dir(path).unwrap();
        for name in ["spec.json", "vmm.json", "lock", "events.out", "console.log"] {
            fs::write(path.join(name), "precious").unwrap();
        }
    }),
    ("a directory with a lock and the specification of another vm", |path, spec| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("lock"), "").unwrap();
        let vm_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let spec = VmSpec { vm_id, ..spec.clone() };
        fs::write(path.join("spec.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
    }),
];

#[tokio::test]
async fn what_is_in_the_way_is_refused_and_never_touched() {
    for (case, put) in CASES {
        let world = World::new();
        // So small a bound that a console.log would be cut.
        let config = QemuConfig { console_max_bytes: 1, ..world.config() };
        let (qemu, spec) = (Qemu::new(config), world.spec(Machine::Q35, ""));
        let (vm_id, path) = (spec.vm_id, world.run_directory(spec.vm_id));
        fs::create_dir(world.path().join("vms")).unwrap();
        put(&path, &spec);
        let before = tree(world.path());

        is_refused(qemu.create(&spec).await, &path, case);
        is_refused(qemu.boot(&spec).await, &path, case);
        let without_kernel = VmSpec { kernel: "/nowhere".into(), ..spec.clone() };
        qemu.create(&without_kernel).await.unwrap_err();
        assert_eq!(qemu.observe(vm_id).await.unwrap(), Observation::Absent, "{case}");
        let found = qemu.evidence(vm_id).await.unwrap();
        assert_eq!(found.observation, Observation::Absent, "{case}");
        assert!(found.facts[0].detail.contains("move it away"), "{case}: {found:?}");
        assert_eq!(qemu.list().await.unwrap(), [], "{case}");
        assert_eq!(qemu.spec(vm_id).await, None, "{case}");
        qemu.rotate(vm_id).await.unwrap();
        qemu.power_off(vm_id, Duration::ZERO).await.unwrap();
        qemu.force_off(vm_id).await.unwrap();
        qemu.exited(vm_id).await;
        // As when the deed is done afresh, by a program that was started again.
        let later = world.qemu();
        later.sweep();
        later.delete(vm_id).await.unwrap();
        is_refused(later.create(&spec).await, &path, case);
        later.delete(vm_id).await.unwrap();
        assert_eq!(tree(world.path()), before, "{case}");

        fs::rename(&path, world.path().join("moved away")).unwrap();
        later.create(&spec).await.unwrap();
        assert_eq!(later.observe(vm_id).await.unwrap(), Observation::Stopped(None), "{case}");
        later.delete(vm_id).await.unwrap();
        assert_eq!(world.leftovers(vm_id), Vec::<String>::new(), "{case}");
    }
}

#[tokio::test]
async fn a_directory_of_ours_is_known_by_its_lock_or_by_its_records() {
    let check = async |case: &str, spoil: &dyn Fn(&Path)| {
        let world = World::new();
        let (qemu, spec) = (world.qemu(), world.spec(Machine::Q35, ""));
        qemu.create(&spec).await.unwrap();
        spoil(&world.run_directory(spec.vm_id));
        let later = world.qemu();
        assert_eq!(later.list().await.unwrap(), [spec.vm_id], "{case}");
        assert_eq!(later.observe(spec.vm_id).await.unwrap(), Observation::Stopped(None), "{case}");
        later.create(&spec).await.unwrap();
        assert_eq!(later.spec(spec.vm_id).await.as_ref(), Some(&spec), "{case}");
        later.delete(spec.vm_id).await.unwrap();
        assert_eq!(world.leftovers(spec.vm_id), Vec::<String>::new(), "{case}");
    };
    check("whole", &|_| {}).await;
    // After a loss of power a file may have its name and nothing in it.
    check("an empty specification", &|path| fs::write(path.join("spec.json"), "").unwrap()).await;
    check("no specification", &|path| fs::remove_file(path.join("spec.json")).unwrap()).await;
    check("no lock", &|path| fs::remove_file(path.join("lock")).unwrap()).await;
}

/// The files of a living VM were moved, and something else has their place: the VM is there, and can be ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_living_vm_is_found_and_ended_behind_what_is_in_its_way() {
    let world = World::new();
    let check = async |case: &str, replace: &dyn Fn(&Path)| {
        let spec = world.spec(Machine::Microvm, "");
        let path = world.run_directory(spec.vm_id);
        world.qemu().create(&spec).await.unwrap();
        world.qemu().boot(&spec).await.unwrap();
        replace(&path);
        let later = world.qemu();
        assert_eq!(later.identity(spec.vm_id), Some(processes(spec.vm_id)[0]), "{case}");
        assert_eq!(later.observe(spec.vm_id).await.unwrap(), Observation::Unresponsive, "{case}");
        let before = tree(&path);
        is_refused(later.boot(&spec).await, &path, case);
        later.delete(spec.vm_id).await.unwrap();
        until("its end", || processes(spec.vm_id).is_empty()).await;
        assert_eq!(later.observe(spec.vm_id).await.unwrap(), Observation::Absent, "{case}");
        assert_eq!(tree(&path), before, "{case}");
    };
    check("a link to where it is now", &|path| {
        let moved = world.path().join("moved");
        fs::rename(path, &moved).unwrap();
        symlink(moved, path).unwrap();
    })
    .await;
    check("a file", &|path| {
        fs::remove_dir_all(path).unwrap();
        fs::write(path, "x").unwrap();
    })
    .await;
}
