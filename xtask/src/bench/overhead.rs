//! What the agent adds to a boot: from the request to READY on the console, beside QEMU started by hand with the very
//! same arguments, in turns.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Row;
use super::stats::percentile;
use crate::agent::{Host, on, until_finely, vm_id};

/// Pairs of boots.
const ROUNDS: u32 = 100;
/// The bar for the median of what is added, in milliseconds.
const ADDED_MS_MAX: f64 = 5.0;

pub(crate) fn measure(program: &Path) -> Result<Vec<Row>> {
    println!("booting {ROUNDS} VMs with the agent and {ROUNDS} with bare QEMU, in turns");
    let mut host = Host::new(program)?;
    host.start()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let mut arguments = Vec::new();
    for round in 0..ROUNDS {
        let id = vm_id(round);
        let create = host.create(&id, "bench");
        let began = Instant::now();
        host.submit(&create)?;
        until_finely("READY", || host.console(&id).contains("READY").then_some(()))?;
        ours.push(began.elapsed().as_secs_f64() * 1_000.0);
        if arguments.is_empty() {
            arguments = qemu_arguments(&host, &id)?;
        }
        host.apply(&on("MicroVMDelete", &id))?;
        bare.push(boot_bare(&arguments)?);
    }
    let added: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours - bare).collect();
    let peer = |percent| Some(("bare QEMU", percentile(&bare, percent)));
    Ok(vec![
        Row::new("create to READY: p50", "ms", percentile(&ours, 50), peer(50), None),
        Row::new("create to READY: p99", "ms", percentile(&ours, 99), peer(99), None),
        Row::new(
            "create to READY: added, p50 of pairs",
            "ms",
            percentile(&added, 50),
            None,
            Some(ADDED_MS_MAX),
        ),
        Row::new("create to READY: added, p99 of pairs", "ms", percentile(&added, 99), None, None),
    ])
}

/// The command line that the agent used.
fn qemu_arguments(host: &Host, id: &str) -> Result<Vec<String>> {
    let vmm: Value = serde_json::from_str(&std::fs::read_to_string(host.vm_dir(id).join("vmm.json"))?)?;
    let args = vmm["args"].as_array().context("vmm.json has the arguments")?;
    Ok(args.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Boots QEMU in a directory of its own and says how long it took until READY, in milliseconds.
fn boot_bare(arguments: &[String]) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    run_in(dir.path(), Command::new("mkfifo").arg("events.in"))?;
    std::fs::write(dir.path().join("events.out"), "")?;
    // As the agent's does, the FIFO has a writer, or QEMU waits for one.
    let _writer = std::fs::OpenOptions::new().read(true).write(true).open(dir.path().join("events.in"))?;
    let skip = usize::from(arguments.first().is_some_and(|first| !first.starts_with('-')));
    let began = Instant::now();
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(arguments.iter().skip(skip))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let console = dir.path().join("console.log");
    let ready = until_finely("READY of bare QEMU", || {
        std::fs::read_to_string(&console).ok().filter(|text| text.contains("READY"))
    });
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    qemu.kill()?;
    qemu.wait()?;
    ready.map(|_| took)
}

fn run_in(dir: &Path, command: &mut Command) -> Result<()> {
    let status = command.current_dir(dir).status()?;
    anyhow::ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
