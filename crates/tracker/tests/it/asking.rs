//! What tests ask for, in few words.

use std::time::Duration;

use nkudo_domain::{
    Action, AskedBy, Console, CreateVm, DeleteVm, HostCommand, Machine, Request, RestartPolicy, StopVm, VmId,
    VmSpec,
};

/// What commands may run on these hosts.
pub(crate) const PROGRAM: &str = "/usr/bin/uptime";

/// The id of the n-th VM.
pub(crate) fn vm_id(n: u32) -> VmId {
    format!("01890a5d-ac96-774b-bcce-{n:012}").parse().unwrap()
}

/// The n-th VM, named `web-n`.
pub(crate) fn spec(n: u32) -> VmSpec {
    VmSpec {
        vm_id: vm_id(n),
        vm_name: format!("web-{n}").parse().unwrap(),
        vcpus: 1,
        memory_bytes: 64 << 20,
        kernel: "/boot/kernel".into(),
        initramfs: None,
        cmdline: String::new(),
        disks: Vec::new(),
        nics: Vec::new(),
        console: Console::Log,
        provider: None,
        machine: Machine::Q35,
        restart_policy: RestartPolicy::No,
        labels: [].into(),
    }
}

pub(crate) fn create(n: u32) -> Request {
    Request::Create(CreateVm { spec: spec(n), autostart: true })
}

pub(crate) fn create_stopped(n: u32) -> Request {
    Request::Create(CreateVm { spec: spec(n), autostart: false })
}

pub(crate) fn create_restarting(n: u32, restart_policy: RestartPolicy) -> Request {
    Request::Create(CreateVm { spec: VmSpec { restart_policy, ..spec(n) }, autostart: true })
}

pub(crate) fn start(n: u32) -> Request {
    Request::Start(vm_id(n))
}

pub(crate) fn stop(n: u32) -> Request {
    Request::Stop(StopVm { vm_id: vm_id(n), grace: Duration::from_secs(30) })
}

pub(crate) fn pause(n: u32) -> Request {
    Request::Pause(vm_id(n))
}

pub(crate) fn resume(n: u32) -> Request {
    Request::Resume(vm_id(n))
}

pub(crate) fn delete(n: u32) -> Request {
    Request::Delete(DeleteVm { vm_id: vm_id(n), delete_disks: false })
}

/// A command that may take 30 s.
pub(crate) fn command(program: &str) -> Request {
    Request::Execute(HostCommand {
        program: program.into(),
        args: vec!["--pretty".to_owned()],
        timeout: Duration::from_secs(30),
        dir: "/".into(),
        env: [].into(),
    })
}

/// One of those that may be run here.
pub(crate) fn execute() -> Request {
    command(PROGRAM)
}

/// The action of that id, with its type's own timeout.
pub(crate) fn action(id: &str, request: Request) -> Action {
    let timeout = request.default_timeout();
    Action {
        action_id: id.parse().unwrap(),
        request,
        timeout,
        trace_id: None,
        parent_span_id: None,
        correlation_id: None,
        asked_by: AskedBy::Unknown,
        start_within: None,
    }
}
