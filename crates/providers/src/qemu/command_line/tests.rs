use std::collections::BTreeMap;

use nkudo_domain::{Disk, RestartPolicy};

use super::*;

fn spec() -> VmSpec {
    VmSpec {
        vm_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        vm_name: "web-1".parse().unwrap(),
        vcpus: 2,
        memory_bytes: 64 << 20,
        kernel: "/k,1".into(),
        initramfs: None,
        cmdline: String::new(),
        disks: Vec::new(),
        nics: Vec::new(),
        console: Console::Off,
        provider: None,
        machine: Machine::Q35,
        restart_policy: RestartPolicy::No,
        labels: BTreeMap::new(),
    }
}

fn line(spec: &VmSpec, accelerator: Accelerator) -> String {
    let words: Vec<_> =
        arguments(spec, accelerator).into_iter().map(|word| word.into_string().unwrap()).collect();
    words.join(" ")
}

#[test]
fn a_command_line_says_what_the_specification_says() {
    let check = |spec: VmSpec, accelerator, expected: &[&str]| {
        let line = line(&spec, accelerator);
        for part in expected {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    };
    let base = "-name guest=web-1 -uuid 01890a5d-ac96-774b-bcce-b302099a8057 -M q35 -accel tcg,tb-size=32 -smp 2 \
                -m 67108864B -nodefaults -no-user-config -display none -chardev pipe,id=events,path=events -mon \
                chardev=events,mode=control -qmp unix:qmp.sock,server=on,wait=off -kernel /k,1";
    assert_eq!(line(&spec(), Accelerator::Tcg), base);
    check(spec(), Accelerator::Kvm, &["-accel kvm -cpu host,-arch-capabilities "]);
    let microvm = VmSpec { machine: Machine::Microvm, ..spec() };
    check(microvm.clone(), Accelerator::Kvm, &["-M microvm -"]);
    check(microvm.clone(), Accelerator::Tcg, &["-M microvm,acpi=off -"]);
    let console = VmSpec { console: Console::Log, ..spec() };
    let serial = "-chardev file,id=console,path=console.log,append=on -serial chardev:console";
    check(console, Accelerator::Tcg, &[serial]);
    let linux = VmSpec { initramfs: Some("/i".into()), cmdline: "console=ttyS0 a,b".to_owned(), ..spec() };
    check(linux, Accelerator::Tcg, &["-kernel /k,1 -initrd /i -append console=ttyS0 a,b"]);
    let disks = vec![
        Disk { path: "/a,b".into(), readonly: true, format: DiskFormat::Raw },
        Disk { path: "/c".into(), readonly: false, format: DiskFormat::Qcow2 },
    ];
    let drives = [
        "-drive file=/a,,b,format=raw,if=none,id=disk0,readonly=on -device virtio-blk-pci,drive=disk0",
        "-drive file=/c,format=qcow2,if=none,id=disk1,readonly=off -device virtio-blk-pci,drive=disk1",
    ];
    check(VmSpec { disks: disks.clone(), ..spec() }, Accelerator::Tcg, &drives);
    check(VmSpec { disks, ..microvm }, Accelerator::Tcg, &["-device virtio-blk-device,drive=disk1"]);
}

#[test]
fn only_the_vms_own_process_is_known_by_its_command_line() {
    let check = |line: &[&str], expected| {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(names_vm(&words, spec().vm_id), expected, "{line:?}");
    };
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    check(&["qemu", "-name", "guest=x", "-uuid", uuid], true);
    check(&["qemu", "-append", uuid], false);
    check(&["tail", uuid], false);
    check(&["qemu", "-uuid", "01890a5d-ac96-774b-bcce-b302099a8058"], false);
    check(&[], false);
}
