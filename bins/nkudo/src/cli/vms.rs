//! `vms`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nkudo_domain::{AgentId, Console, Machine, ProviderKind, RestartPolicy, VmId, VmName, VmState};
use serde_json::{Value, json};

use super::{Listing, Waiting};

#[derive(Debug, Args)]
pub(crate) struct Vms {
    #[command(subcommand)]
    pub(crate) command: Option<VmCommand>,
    #[command(flatten)]
    pub(crate) filter: VmFilter,
}

#[derive(Debug, Args)]
pub(crate) struct VmFilter {
    /// Only those of this agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<AgentId>,
    /// Only those in this state: creating, running, paused, stopped, failed or unknown
    #[arg(long)]
    pub(crate) state: Option<VmState>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// List the VMs (the same as without a word)
    List(VmFilter),
    /// Show one VM
    Show {
        /// The VM's id
        vm_id: VmId,
        /// The VM's agent, where two have a VM of that id
        #[arg(long, value_name = "AGENT")]
        agent: Option<AgentId>,
    },
    /// Create a VM, and boot it
    #[command(after_help = "Examples:\n  nkudo vms create --agent AGENT -f vm.json --wait\n  \
        nkudo vms create --agent AGENT --name web-1 --vcpus 2 --memory 256MiB --kernel /boot/vmlinux \
        --disk /srv/web-1.img\n\n\
        The file holds the VM's parameters or a whole MicroVMCreate action, in JSON or TOML.")]
    Create(Box<CreateVm>),
    /// Boot a VM
    Start(VmDeed),
    /// Ask a VM to power off, and force it when it does not
    Stop {
        #[command(flatten)]
        deed: VmDeed,
        /// How long it may take to power off before it is forced
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3_600))]
        grace_seconds: u64,
    },
    /// Halt a VM where it is
    Pause(VmDeed),
    /// Let a paused VM go on
    Resume(VmDeed),
    /// Remove a VM and every trace of it
    Delete {
        #[command(flatten)]
        deed: VmDeed,
        /// Remove its disks as well
        #[arg(long)]
        delete_disks: bool,
    },
}

/// What is done to a VM that is there.
#[derive(Debug, Args)]
pub(crate) struct VmDeed {
    /// The VM's id
    pub(crate) vm_id: VmId,
    /// The VM's agent, when the control plane is not to be asked for it
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<AgentId>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// A deed in the words of the contract: an action's type and its parameters.
pub(crate) type Deed = (&'static str, Value);

#[derive(Debug, Args)]
pub(crate) struct CreateVm {
    /// The agent whose host runs it
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: AgentId,
    /// The VM's parameters, or - for standard input; instead of the flags below
    #[arg(short, long, value_name = "FILE", conflicts_with = "flags")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: CreateFlags,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
#[group(id = "flags", multiple = true)]
pub(crate) struct CreateFlags {
    /// The VM's name, unique on its host
    #[arg(long, required_unless_present = "file")]
    name: Option<VmName>,
    /// The VM's id; made when it is not given
    #[arg(long)]
    vm_id: Option<VmId>,
    /// Virtual CPUs [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    vcpus: Option<u32>,
    /// Memory, like 64MiB, 1GiB or a number of bytes
    #[arg(long, value_name = "SIZE", value_parser = bytes, required_unless_present = "file")]
    memory: Option<u64>,
    /// The kernel, a path on the agent's host
    #[arg(long, value_name = "PATH", required_unless_present = "file")]
    kernel: Option<String>,
    /// The initial RAM disk, a path on the agent's host
    #[arg(long, value_name = "PATH")]
    initramfs: Option<String>,
    /// The kernel's command line [default: console=ttyS0]
    #[arg(long, allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// A disk on the agent's host; may be given several times
    #[arg(long, value_name = "PATH[,readonly][,format=raw|qcow2]", value_parser = disk)]
    disk: Vec<Value>,
    /// Whether its console is kept: log or off [default: log]
    #[arg(long)]
    console: Option<Console>,
    /// What runs it: cloud-hypervisor, qemu or simulated [default: what the host has]
    #[arg(long)]
    provider: Option<ProviderKind>,
    /// QEMU's machine: q35 or microvm [default: q35]
    #[arg(long)]
    machine: Option<Machine>,
    /// Create it without booting it
    #[arg(long)]
    no_autostart: bool,
    /// What happens when it ends by itself: no, on-failure or always [default: no]
    #[arg(long, value_name = "POLICY")]
    restart_policy: Option<RestartPolicy>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

impl CreateFlags {
    /// The parameters as the contract writes them; what was not given is left to its default.
    pub(crate) fn params(self) -> Value {
        let Self {
            name,
            vm_id,
            vcpus,
            memory,
            kernel,
            initramfs,
            cmdline,
            disk,
            console,
            provider,
            machine,
            no_autostart,
            restart_policy,
            labels,
        } = self;
        let labels: serde_json::Map<String, Value> =
            labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
        let mut params = json!({
            "vm_id": vm_id.unwrap_or_else(|| VmId::from_uuid(uuid::Uuid::now_v7())), "vm_name": name,
            "vcpus": vcpus.unwrap_or(1), "memory_bytes": memory, "kernel": kernel, "initramfs": initramfs,
            "cmdline": cmdline, "disks": disk, "console": console, "provider": provider, "machine": machine,
            "autostart": !no_autostart, "restart_policy": restart_policy, "labels": labels,
        });
        if let Some(params) = params.as_object_mut() {
            params.retain(|_, value| !value.is_null());
        }
        params
    }
}

/// A number of bytes, with a binary unit or without.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it like 67108864, 64MiB or 1GiB");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" | "K" => 10,
        "MiB" | "M" => 20,
        "GiB" | "G" => 30,
        "TiB" | "T" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A disk's path with what is said of it behind commas; a path has none.
fn disk(text: &str) -> Result<Value, String> {
    let mut parts = text.split(',');
    let mut disk = json!({ "path": parts.next().unwrap_or_default() });
    for part in parts {
        match part.split_once('=') {
            None if part == "readonly" => disk["readonly"] = Value::Bool(true),
            Some(("format", format)) => disk["format"] = Value::String(format.to_owned()),
            None | Some(_) => {
                return Err(format!(
                    "`{part}` says nothing of a disk; write readonly, format=raw or format=qcow2"
                ));
            }
        }
    }
    Ok(disk)
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not a label; write it like role=web"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, expected) in [
            ("67108864", Some(67_108_864)),
            ("64MiB", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("2 G", Some(2 << 30)),
            ("64MB", None),
            ("-1", None),
            ("", None),
            ("1.5GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn disks_and_labels_are_read() {
        assert_eq!(disk("/d"), Ok(json!({"path": "/d"})));
        let all = json!({"path": "/d", "readonly": true, "format": "qcow2"});
        assert_eq!(disk("/d,readonly,format=qcow2"), Ok(all));
        assert!(disk("/d,writable").is_err());
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err() && label("=b").is_err());
    }
}
