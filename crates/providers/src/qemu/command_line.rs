//! How QEMU is started for a VM.

use std::ffi::OsString;
use std::path::Path;

use nkudo_domain::{Console, DiskFormat, Machine, VmId, VmSpec};

use super::accel::Accelerator;

/// The arguments after the program. Names of files in the run directory, where QEMU runs, are relative.
pub(super) fn arguments(spec: &VmSpec, accelerator: Accelerator) -> Vec<OsString> {
    let mut line = Line::default();
    line.add("-name", format!("guest={}", spec.vm_name));
    line.add("-uuid", spec.vm_id.to_string());
    line.add("-M", machine(spec.machine, accelerator));
    accelerator.add_to(&mut line);
    line.add("-smp", spec.vcpus.to_string());
    line.add("-m", format!("{}B", spec.memory_bytes));
    line.flag("-nodefaults").flag("-no-user-config").add("-display", "none");
    match spec.console {
        Console::Log => {
            line.add("-chardev", "file,id=console,path=console.log,append=on");
            line.add("-serial", "chardev:console");
        }
        Console::Off => {}
    }
    line.add("-chardev", "pipe,id=events,path=events").add("-mon", "chardev=events,mode=control");
    line.add("-qmp", "unix:qmp.sock,server=on,wait=off");
    line.add("-kernel", spec.kernel.as_os_str());
    if let Some(path) = &spec.initramfs {
        line.add("-initrd", path.as_os_str());
    }
    if !spec.cmdline.is_empty() {
        line.add("-append", spec.cmdline.as_str());
    }
    for (index, disk) in spec.disks.iter().enumerate() {
        let format = match disk.format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        let readonly = if disk.readonly { "on" } else { "off" };
        let mut drive = OsString::from("file=");
        drive.push(option_value(&disk.path));
        drive.push(format!(",format={format},if=none,id=disk{index},readonly={readonly}"));
        let device = match spec.machine {
            Machine::Q35 => "virtio-blk-pci",
            Machine::Microvm => "virtio-blk-device",
        };
        line.add("-drive", drive).add("-device", format!("{device},drive=disk{index}"));
    }
    line.0
}

/// Whether a command line is that of this VM's QEMU.
pub(super) fn names_vm(command_line: &[String], vm_id: VmId) -> bool {
    let uuid = vm_id.to_string();
    command_line.windows(2).any(|pair| pair[0] == "-uuid" && pair[1] == uuid)
}

/// Arguments being put together.
#[derive(Debug, Default)]
pub(super) struct Line(pub(super) Vec<OsString>);

impl Line {
    pub(super) fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    pub(super) fn add(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.into());
        self
    }
}

/// With ACPI, Linux takes a `microvm` for hardware without the legacy timers that it measures the clock of its CPU
/// with. KVM tells it that clock; under TCG only a `microvm` without ACPI boots it, and such a one has no power
/// button: stopping it waits out the grace time.
fn machine(machine: Machine, accelerator: Accelerator) -> &'static str {
    match (machine, accelerator) {
        (Machine::Q35, Accelerator::Kvm | Accelerator::Tcg) => "q35",
        (Machine::Microvm, Accelerator::Kvm) => "microvm",
        (Machine::Microvm, Accelerator::Tcg) => "microvm,acpi=off",
    }
}

/// A comma ends a value in a list of options, unless it is doubled.
fn option_value(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let bytes = path.as_os_str().as_bytes();
    let doubled = bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}

#[cfg(test)]
mod tests;
