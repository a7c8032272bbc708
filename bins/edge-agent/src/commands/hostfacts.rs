//! `hostfacts`.

use nkudo_host::facts;
use nkudo_terminal::print::{self, bytes, or_dash};
use nkudo_terminal::{Failure, Output};
use serde::Serialize;

/// What the host is made of, and with which agent.
#[derive(Debug, Serialize)]
struct Facts {
    #[serde(flatten)]
    host: facts::HostFacts,
    kvm: bool,
    hypervisors: Vec<String>,
    agent_version: &'static str,
}

pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let host = facts::read().map_err(Failure::failed)?;
    let facts = Facts {
        kvm: std::path::Path::new("/dev/kvm").exists()
            && host.cpu_flags.iter().any(|flag| flag == "vmx" || flag == "svm"),
        hypervisors: nkudo_agent::checks::installed_hypervisors(),
        host,
        agent_version: env!("CARGO_PKG_VERSION"),
    };
    match output {
        Output::Json => print::json(&facts),
        Output::Text => print::line(&text(&facts)),
    }
}

fn text(facts: &Facts) -> String {
    let host = &facts.host;
    let mut lines = vec![
        format!("Host Name:     {}", host.hostname),
        format!("Machine ID:    {}", host.machine_id),
        format!("OS:            {}", host.os),
        format!("Kernel:        {}", host.kernel),
        format!("CPU:           {} ({} cores, {} flags)", host.cpu_model, host.cores, host.cpu_flags.len()),
        format!("Memory:        {}", bytes(host.memory_bytes)),
    ];
    lines.extend(
        host.disks.iter().map(|disk| format!("Disk:          {} {}", disk.name, bytes(disk.size_bytes))),
    );
    lines.extend(host.nics.iter().map(|nic| {
        let state = if nic.up { "up" } else { "down" };
        format!("NIC:           {} {} {state}", nic.name, or_dash(nic.mac.as_ref()))
    }));
    lines.push(format!("KVM:           {}", if facts.kvm { "yes" } else { "no" }));
    let found = if facts.hypervisors.is_empty() { "none".to_owned() } else { facts.hypervisors.join(", ") };
    lines.push(format!("Hypervisors:   {found}"));
    lines.push(format!("Agent Version: {}", facts.agent_version));
    lines.join("\n")
}
