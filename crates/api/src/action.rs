//! An action as JSON, read into an [`Action`].

mod command;

use std::path::PathBuf;
use std::time::Duration;

use nkudo_domain::{
    Action, ActionId, ActionType, AskedBy, Console, CreateVm, DeleteVm, Disk, DiskFormat, Machine, Nic,
    Request, RestartPolicy, SpanId, StopVm, TraceId, VmId, VmSpec,
};
use serde_json::{Value, json};

use crate::fields::{Faults, Fields};
use crate::problem::FieldError;
use nkudo_settings::nearest;

/// Longest grace time of a stop, in seconds.
const GRACE_SECONDS_MAX: u64 = 3_600;
/// Grace time of a stop when it does not say, in seconds.
const GRACE_SECONDS_DEFAULT: u64 = 30;
/// Longest time an action may be given, in seconds.
const TIMEOUT_SECONDS_MAX: u64 = nkudo_domain::TIMEOUT_MAX.as_secs();

/// What an action gets from the call that brings it rather than from its body.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its id when the body has none.
    pub action_id: ActionId,
    pub trace_id: Option<TraceId>,
    pub parent_span_id: Option<SpanId>,
    pub correlation_id: Option<String>,
}

/// Reads one action. Every fault is told, with the path of its field under `path` (empty for the top).
pub fn parse(value: &Value, path: &str, origin: Origin) -> Result<Action, Vec<FieldError>> {
    let mut faults = Faults::default();
    let mut fields = Fields::of(value, path, &mut faults);
    let action_id = fields.parsed("action_id", &mut faults).unwrap_or(origin.action_id);
    let action_type = action_type(&mut fields, &mut faults);
    let params_path = fields.path_of("params");
    let params = fields.get("params");
    let timeout =
        fields.number("timeout_seconds", 1, TIMEOUT_SECONDS_MAX, &mut faults).map(Duration::from_secs);
    if value.is_object() && params.is_none() {
        faults.add(params_path.clone(), "is required");
    }
    fields.finish(&mut faults);
    let request = match (action_type, params) {
        (Some(action_type), Some(params)) => request(action_type, params, &params_path, &mut faults),
        (None, _) | (_, None) => None,
    };
    match request {
        Some(request) if faults.is_empty() => Ok(Action {
            action_id,
            timeout: timeout.unwrap_or_else(|| request.default_timeout()),
            request,
            trace_id: origin.trace_id,
            parent_span_id: origin.parent_span_id,
            correlation_id: origin.correlation_id,
            asked_by: AskedBy::Unknown,
            start_within: None,
        }),
        Some(_) | None => Err(faults.into_inner()),
    }
}

fn action_type(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<ActionType> {
    let taken = fields.text("action_type", faults);
    let text = fields.require("action_type", taken, faults)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let names = ActionType::ALL.map(ActionType::as_str);
        let hint = nearest(text, names).map_or_else(
            || format!("it is one of: {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        let shown: String = text.chars().take(64).collect();
        faults.add(fields.path_of("action_type"), format!("`{shown}` is not an action type; {hint}"));
    }
    parsed
}

fn request(action_type: ActionType, params: &Value, path: &str, faults: &mut Faults) -> Option<Request> {
    let mut fields = Fields::of(params, path, faults);
    let request = match action_type {
        ActionType::Create => create(&mut fields, faults).map(Request::Create),
        ActionType::Start => vm_id(&mut fields, faults).map(Request::Start),
        ActionType::Stop => {
            let vm_id = vm_id(&mut fields, faults);
            let grace = fields.number("grace_seconds", 0, GRACE_SECONDS_MAX, faults);
            let grace = Duration::from_secs(grace.unwrap_or(GRACE_SECONDS_DEFAULT));
            vm_id.map(|vm_id| Request::Stop(StopVm { vm_id, grace }))
        }
        ActionType::Delete => {
            let vm_id = vm_id(&mut fields, faults);
            let delete_disks = fields.flag("delete_disks", faults).unwrap_or(false);
            vm_id.map(|vm_id| Request::Delete(DeleteVm { vm_id, delete_disks }))
        }
        ActionType::Pause => vm_id(&mut fields, faults).map(Request::Pause),
        ActionType::Resume => vm_id(&mut fields, faults).map(Request::Resume),
        ActionType::Snapshot | ActionType::Restore | ActionType::SnapshotDelete => {
            faults.add("action_type", "snapshots are not available in this version");
            return None;
        }
        ActionType::CommandExecute => command::parse(&mut fields, faults).map(Request::Execute),
    };
    fields.finish(faults);
    request
}

fn vm_id(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<VmId> {
    let taken = fields.parsed("vm_id", faults);
    fields.require("vm_id", taken, faults)
}

fn create(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<CreateVm> {
    let vm_id = vm_id(fields, faults);
    let vm_name = fields.parsed("vm_name", faults);
    let vm_name = fields.require("vm_name", vm_name, faults);
    let vcpus = fields.number("vcpus", 1, u64::from(nkudo_domain::VCPUS_MAX), faults);
    let vcpus = fields.require("vcpus", vcpus, faults).and_then(|vcpus| u32::try_from(vcpus).ok());
    // QEMU and Cloud Hypervisor take sizes as signed 64-bit numbers.
    let memory =
        fields.number("memory_bytes", nkudo_domain::MEMORY_BYTES_MIN, i64::MAX.unsigned_abs(), faults);
    let memory_bytes = fields.require("memory_bytes", memory, faults);
    let kernel = fields.text("kernel", faults);
    let kernel = fields.require("kernel", kernel, faults).map(PathBuf::from);
    let initramfs = fields.text("initramfs", faults).map(PathBuf::from);
    let cmdline = fields.text("cmdline", faults).unwrap_or("console=ttyS0").to_owned();
    let disks = disks(fields, faults);
    let nics = nics(fields, faults);
    let console = fields.parsed("console", faults).unwrap_or(Console::Log);
    let provider = fields.parsed("provider", faults);
    let machine = fields.parsed("machine", faults).unwrap_or(Machine::Q35);
    let autostart = fields.flag("autostart", faults).unwrap_or(true);
    let restart_policy = fields.parsed("restart_policy", faults).unwrap_or(RestartPolicy::No);
    let labels = fields.text_map("labels", faults);
    let spec = VmSpec {
        vm_id: vm_id?,
        vm_name: vm_name?,
        vcpus: vcpus?,
        memory_bytes: memory_bytes?,
        kernel: kernel?,
        initramfs,
        cmdline,
        disks,
        nics,
        console,
        provider,
        machine,
        restart_policy,
        labels,
    };
    for (field, violation) in spec.violations() {
        faults.add(fields.path_of(&field), violation.to_string());
    }
    Some(CreateVm { spec, autostart })
}

fn disks(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<Disk> {
    let path = fields.path_of("disks");
    let list = fields.list("disks", faults).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .enumerate()
        .filter_map(|(index, value)| {
            let mut disk = Fields::of(value, &format!("{path}[{index}]"), faults);
            let file = disk.text("path", faults);
            let file = disk.require("path", file, faults).map(PathBuf::from);
            let readonly = disk.flag("readonly", faults).unwrap_or(false);
            let format = disk.parsed("format", faults).unwrap_or(DiskFormat::Raw);
            disk.finish(faults);
            Some(Disk { path: file?, readonly, format })
        })
        .collect()
}

fn nics(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<Nic> {
    let path = fields.path_of("nics");
    let list = fields.list("nics", faults).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .enumerate()
        .filter_map(|(index, value)| {
            let mut nic = Fields::of(value, &format!("{path}[{index}]"), faults);
            let bridge = nic.text("bridge", faults);
            let bridge = nic.require("bridge", bridge, faults).map(str::to_owned);
            let mac = nic.text("mac", faults).map(str::to_owned);
            nic.finish(faults);
            Some(Nic { bridge: bridge?, mac })
        })
        .collect()
}

/// The action as a body that [`parse`] reads back.
pub fn to_json(action: &Action) -> Value {
    let params = match &action.request {
        Request::Create(create) => create_json(create),
        Request::Start(vm_id) | Request::Pause(vm_id) | Request::Resume(vm_id) => json!({ "vm_id": vm_id }),
        Request::Stop(stop) => json!({ "vm_id": stop.vm_id, "grace_seconds": stop.grace.as_secs() }),
        Request::Delete(delete) => json!({ "vm_id": delete.vm_id, "delete_disks": delete.delete_disks }),
        Request::Execute(command) => command::to_json(command),
    };
    json!({
        "action_id": action.action_id,
        "action_type": action.request.action_type(),
        "params": params,
        "timeout_seconds": action.timeout.as_secs(),
    })
}

fn create_json(create: &CreateVm) -> Value {
    let CreateVm { spec, autostart } = create;
    json!({
        "vm_id": spec.vm_id, "vm_name": spec.vm_name, "vcpus": spec.vcpus, "memory_bytes": spec.memory_bytes,
        "kernel": spec.kernel, "initramfs": spec.initramfs, "cmdline": spec.cmdline, "disks": spec.disks,
        "nics": spec.nics, "console": spec.console, "provider": spec.provider, "machine": spec.machine,
        "autostart": autostart, "restart_policy": spec.restart_policy, "labels": spec.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn origin() -> Origin {
        Origin {
            action_id: "made".parse().unwrap(),
            trace_id: None,
            parent_span_id: None,
            correlation_id: None,
        }
    }

    fn create_body() -> Value {
        json!({"action_type": "MicroVMCreate", "params": {"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "vm_name": "web-1", "vcpus": 1, "memory_bytes": 67_108_864, "kernel": "/k"}})
    }

    /// The body with one member set (or removed, when null is given with `remove`).
    fn with(pointer: &str, value: Value) -> Value {
        let mut body = create_body();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = value;
        body
    }

    fn check(body: &Value, path: &str, detail: &str) {
        let faults = parse(body, "", origin()).expect_err(&body.to_string());
        let told = faults.iter().any(|fault| fault.path == path && fault.detail.contains(detail));
        assert!(told, "{body}\nwanted {path}: {detail}\nfound {faults:?}");
    }

    #[test]
    fn defaults_are_filled_in() {
        let action = parse(&create_body(), "", origin()).unwrap();
        let Request::Create(create) = &action.request else { panic!("{action:?}") };
        assert!(create.autostart);
        assert_eq!(create.spec.machine, Machine::Q35);
        assert_eq!(create.spec.console, Console::Log);
        assert_eq!(create.spec.restart_policy, RestartPolicy::No);
        assert_eq!(create.spec.provider, None);
        assert_eq!(action.timeout, Duration::from_secs(120));
        assert_eq!(action.action_id.as_str(), "made");
        let explicit = with("/params/autostart", json!(true));
        assert!(parse(&explicit, "", origin()).unwrap().asks_the_same(&action));
    }

    #[test]
    fn a_body_survives_its_action() {
        let vm_id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let mut bodies =
            vec![create_body(), with("/params/disks", json!([{"path": "/d", "format": "qcow2"}]))];
        bodies.push(json!({"action_type": "MicroVMStop", "params": {"vm_id": vm_id, "grace_seconds": 3}}));
        bodies
            .push(json!({"action_type": "MicroVMDelete", "params": {"vm_id": vm_id, "delete_disks": true}}));
        for action_type in ["MicroVMStart", "MicroVMPause", "MicroVMResume"] {
            bodies.push(json!({"action_type": action_type, "params": {"vm_id": vm_id}}));
        }
        for body in bodies {
            let action = parse(&body, "", origin()).unwrap();
            assert_eq!(parse(&to_json(&action), "", origin()).as_ref(), Ok(&action), "{body}");
        }
    }

    #[test]
    fn each_fault_is_told_with_its_path() {
        check(&with("/params/vcpus", json!(0)), "params.vcpus", "whole number from 1 to 255, not 0");
        check(&with("/params/vcpus", json!("one")), "params.vcpus", "not a string");
        check(&with("/params/vcpus", json!(1.5)), "params.vcpus", "not 1.5");
        check(&with("/params/memory_bytes", json!(-1)), "params.memory_bytes", "not -1");
        check(&with("/params/vm_id", json!("web")), "params.vm_id", "`web` is not a UUID");
        check(&with("/params/vm_name", json!("a/b")), "params.vm_name", "1 to 64 letters");
        check(&with("/params/vm_name", json!("a".repeat(300))), "params.vm_name", "1 to 64 letters");
        check(&with("/params/kernel", json!(null)), "params.kernel", "is required");
        check(&with("/params/kernel", json!("k")), "params.kernel", "absolute");
        check(
            &with("/params/nics", json!([{"bridge": "br0"}])),
            "params.nics",
            "networks are not available in this version",
        );
        check(&with("/params/vcpu", json!(1)), "params.vcpu", "did you mean `vcpus`?");
        check(&with("/params/machine", json!("pc")), "params.machine", "one of: q35, microvm");
        check(&with("/params/disks", json!([{"format": "raw"}])), "params.disks[0].path", "is required");
        check(&with("/params/labels", json!({"a": 1})), "params.labels.a", "must be a string");
        check(&with("/action_type", json!("MicroVMCraete")), "action_type", "did you mean `MicroVMCreate`?");
        check(&with("/action_type", json!("Reboot")), "action_type", "it is one of");
        check(&with("/action_id", json!("a b")), "action_id", "1 to 128");
        check(&with("/timeout_seconds", json!(0)), "timeout_seconds", "from 1 to");
        check(&json!([]), "", "must be an object, not a list");
        check(&json!({"action_type": "MicroVMStart"}), "params", "is required");
        check(&json!({"action_type": "MicroVMStart", "params": {}}), "params.vm_id", "is required");
    }

    #[test]
    fn every_fault_of_a_body_is_told_at_once() {
        let body = json!({"action_type": "MicroVMCreate", "params": {"vcpus": 0, "colour": "red"}});
        let paths: Vec<String> =
            parse(&body, "", origin()).unwrap_err().into_iter().map(|fault| fault.path).collect();
        for path in ["params.vcpus", "params.colour", "params.vm_id", "params.vm_name", "params.kernel"] {
            assert!(paths.contains(&path.to_owned()), "{path} in {paths:?}");
        }
    }
}
