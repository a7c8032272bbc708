//! How long a killed agent takes, from its start, until it is ready again with all its VMs adopted.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::stats::percentile;
use super::{Row, VMS};
use crate::agent::{Host, vm_id};

/// Kills.
const ROUNDS: u32 = 30;
/// The bar for the median, in milliseconds.
const ADOPTED_MS_MAX: f64 = 200.0;

pub(crate) fn measure(program: &Path) -> Result<Vec<Row>> {
    println!("killing the agent with {VMS} VMs {ROUNDS} times");
    let mut host = Host::new(program)?;
    host.start()?;
    for number in 0..VMS {
        host.apply(&host.create(&vm_id(number), &format!("adopt-{number}")))?;
    }
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        host.kill_9()?;
        let began = Instant::now();
        host.spawn()?;
        host.wait_ready()?;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        let running = host.json(&["status"])?["vms"]["running"].as_u64();
        ensure!(running == Some(u64::from(VMS)), "{running:?} of {VMS} VMs were adopted");
    }
    Ok(vec![
        Row::new("restart to adopted, 20 VMs: p50", "ms", percentile(&took, 50), None, Some(ADOPTED_MS_MAX)),
        Row::new("restart to adopted, 20 VMs: p99", "ms", percentile(&took, 99), None, None),
    ])
}
