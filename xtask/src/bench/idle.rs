//! What the agent costs at rest with its VMs, beside Prometheus's node exporter, both scraped at the same interval.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Row, VMS, history};
use crate::agent::{Host, http_get, until, vm_id};
use crate::interrupt;

/// How long both are watched.
const WINDOW: Duration = Duration::from_secs(60);
/// How often both are scraped.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(5);
/// The bars: resident memory in MiB and per cent of a core.
const RESIDENT_MIB_MAX: f64 = 20.0;
const CPU_PERCENT_MAX: f64 = 0.5;

pub(crate) fn measure(program: &Path) -> Result<Vec<Row>> {
    let mut host = Host::new(program)?;
    host.start()?;
    let scraped = until("a scrape", || host.scrape("/metrics").map(|(_, text)| text))?;
    host.stop()?;
    history::fill_a_day(&host, &scraped)?;
    host.start()?;
    for number in 0..VMS {
        host.apply(&host.create(&vm_id(number), &format!("idle-{number}")))?;
    }
    let peer = Peer::start()?;
    println!("watching the agent with {VMS} VMs and node exporter for {} s", WINDOW.as_secs());
    let (agent_pid, peer_pid) = (host.pid(), peer.child.id());
    let before = (cpu_seconds(agent_pid)?, cpu_seconds(peer_pid)?, Instant::now());
    while before.2.elapsed() < WINDOW {
        host.scrape("/metrics").context("the agent answers")?;
        http_get(&peer.address, "/metrics").context("node exporter answers")?;
        pause(SCRAPE_INTERVAL);
        interrupt::check()?;
    }
    let elapsed = before.2.elapsed().as_secs_f64();
    let percent = |seconds: f64| 100.0 * seconds / elapsed;
    let agent_cpu = percent(cpu_seconds(agent_pid)? - before.0);
    let peer_cpu = percent(cpu_seconds(peer_pid)? - before.1);
    let (agent_mib, peer_mib) = (resident_mib(agent_pid)?, resident_mib(peer_pid)?);
    let name = "node exporter";
    Ok(vec![
        Row::new(
            "idle with 20 VMs and a day of samples: resident memory",
            "MiB",
            agent_mib,
            Some((name, peer_mib)),
            Some(RESIDENT_MIB_MAX),
        ),
        Row::new(
            "idle with 20 VMs and a day of samples: share of a core",
            "%",
            agent_cpu,
            Some((name, peer_cpu)),
            Some(CPU_PERCENT_MAX),
        ),
    ])
}

#[expect(clippy::disallowed_methods, reason = "the scrape interval is what is measured at")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Node exporter, ended with this.
struct Peer {
    child: Child,
    address: String,
}

impl Peer {
    fn start() -> Result<Self> {
        // A port that is free now: one that this host already runs is not measured in its place.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new("prometheus-node-exporter");
        command.arg(format!("--web.listen-address={address}")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("cannot start prometheus-node-exporter")?;
        let peer = Self { child, address };
        until("node exporter", || http_get(&peer.address, "/"))?;
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processor time of all threads, from the scheduler's nanoseconds.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0_u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("a process has resident memory")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1_024.0)
}
