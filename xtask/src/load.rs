//! `cargo xtask load`: many agents in this process, with real mutual TLS, against one control plane in another.
//!
//! The agents are real but for their VMs, which are simulated in memory: each has its journal, its identity, its link.
//! First only heartbeats flow, for the cost of one; then operators ask for actions at a steady rate.

mod actions;
mod agents;
mod figures;
mod probes;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::fleet::{ControlPlane, build};
use crate::interrupt;
use figures::{Figures, Samples, Usage};

/// Connections that measure heartbeats, besides those of the agents.
const PROBES: usize = 20;
/// How often each of them sends one.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Actions that are asked for each second.
const ACTIONS_PER_SECOND: u32 = 20;
/// Threads for blocking calls beyond the one that each agent's journal holds as long as it runs.
const BLOCKING_EXTRA: usize = 64;

/// What is loaded, and for how long.
#[derive(Debug, Clone)]
pub struct Load {
    pub agents: u32,
    /// Of each of the two phases.
    pub seconds: u64,
    /// Whether the control plane is built with optimisation.
    pub release: bool,
    pub heartbeat_interval: Duration,
}

/// Runs the load, prints a table and writes the figures to a file when one is named.
pub fn run(load: &Load, json: Option<&Path>) -> Result<()> {
    interrupt::watch()?;
    let figures = measure(load)?;
    println!("{}", figures.table());
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(figures.errors == 0, "{} errors: {}", figures.errors, figures.told.join("; "));
    Ok(())
}

/// Runs the load and answers what was measured.
pub fn measure(load: &Load) -> Result<Figures> {
    nkudo_host::limits::raise_open_files()?;
    let programs = build(load.release)?;
    let interval = format!("{}ms", load.heartbeat_interval.as_millis());
    let mut control =
        ControlPlane::new(&programs, &["--heartbeat-interval", &interval, "--log-level", "warn"])?;
    control.start()?;
    // With tokio's default of 512 the agents beyond would link, and wait for ever for a journal.
    let threads = usize::try_from(load.agents)?.saturating_add(BLOCKING_EXTRA);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(threads).build()?;
    let control = Arc::new(control);
    runtime.block_on(Box::pin(under_load(load, &control)))
}

async fn under_load(load: &Load, control: &Arc<ControlPlane>) -> Result<Figures> {
    let pid = control.pid();
    let mut samples = Samples::default();
    let empty = Usage::of(pid)?;
    println!("{} agents enrol with the control plane (pid {pid}) and dial", load.agents);
    let began = Instant::now();
    let fleet = agents::start(load.agents, control).await?;
    let took = began.elapsed();
    println!("all are online after {:.1} s", took.as_secs_f64());
    let full = Usage::of(pid)?;

    let probes = probes::open(PROBES, control).await?;
    println!("heartbeats only, for {} s", load.seconds);
    let before = (Usage::of(pid)?, heartbeats(control)?);
    let began = Instant::now();
    samples.heartbeats = probes::beat(&probes, PROBE_INTERVAL, Duration::from_secs(load.seconds)).await;
    let (elapsed, after) = (began.elapsed(), (Usage::of(pid)?, heartbeats(control)?));
    interrupt::check()?;
    let counted = after.1 - before.1;
    let cpu = after.0.cpu.saturating_sub(before.0.cpu);

    println!("{ACTIONS_PER_SECOND} actions a second, for {} s", load.seconds);
    samples.actions =
        actions::flow(control, &fleet, ACTIONS_PER_SECOND, Duration::from_secs(load.seconds)).await?;
    interrupt::check()?;
    let last = Usage::of(pid)?;
    let online = agents::online(control)?;
    if online < fleet.len() {
        samples.errors.push(format!("{} of {} agents are online at the end", online, fleet.len()));
    }
    drop(probes);
    agents::stop(fleet).await;
    Ok(Figures {
        agents: load.agents,
        heartbeats_per_second: counted / elapsed.as_secs_f64(),
        cpu_us_per_heartbeat: cpu.as_secs_f64() * 1e6 / counted.max(1.0),
        server_bytes_per_agent: full.rss_bytes.saturating_sub(empty.rss_bytes)
            / u64::from(load.agents.max(1)),
        server_rss_bytes: last.rss_bytes,
        enrolled_in_seconds: took.as_secs_f64(),
        ..samples.figures()
    })
}

/// Heartbeats that the control plane has counted.
fn heartbeats(control: &ControlPlane) -> Result<f64> {
    let (_, text) = crate::fleet::request(control.http_addr(), "GET", "/metrics", None, None)
        .context("the control plane's metrics are there")?;
    let line = text.lines().find_map(|line| line.strip_prefix("nkudo_heartbeats_received_total "));
    Ok(line.context("heartbeats are counted")?.parse()?)
}
