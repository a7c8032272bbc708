//! What the workflows need beyond Rust, and how it gets here: Debian's packages.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{installed, run};

/// A Debian package, what shows that it is here, and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    package: &'static str,
    why: &'static str,
    is_here: fn() -> bool,
}

pub const QEMU: Need = Need {
    package: "qemu-system-x86",
    why: "boots the microVMs",
    is_here: || installed("qemu-system-x86_64"),
};
pub const BINUTILS: Need = Need {
    package: "binutils",
    why: "rebuilds the test guest to compare it",
    is_here: || installed("as") && installed("ld"),
};
pub const PROMTOOL: Need =
    Need { package: "prometheus", why: "promtool checks the metrics", is_here: || installed("promtool") };
pub const VALGRIND: Need =
    Need { package: "valgrind", why: "counts instructions", is_here: || installed("valgrind") };
pub const NODE_EXPORTER: Need = Need {
    package: "prometheus-node-exporter",
    why: "the peer that the agent is measured beside",
    is_here: || installed("prometheus-node-exporter"),
};
pub const OPENMETRICS_PARSER: Need = Need {
    package: "python3-prometheus-client",
    why: "has the strict OpenMetrics parser",
    is_here: || {
        let mut python = Command::new("/usr/bin/python3");
        let import = python.args(["-c", "import prometheus_client.openmetrics.parser"]).output();
        import.is_ok_and(|output| output.status.success())
    },
};

pub const PYTHON_VENV: Need = Need {
    package: "python3-venv",
    why: "holds the collector of traces that tests send to",
    is_here: || {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", "import venv, ensurepip"]).output().is_ok_and(|output| output.status.success())
    },
};

/// Installs what is missing, and says so first. Without root it says what to run instead.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.is_here)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("These Debian packages are missing:");
    for need in &missing {
        println!("  {:<28} {}", need.package, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !installed("apt-get") {
        bail!("this machine has no apt-get; install what the packages above hold, then run this again");
    }
    if !is_root() {
        bail!("only root can install them; run this and then this command again:\n  {by_hand}");
    }
    println!("Installing them with apt-get. Servers among them are not needed as services.");
    run(apt().arg("update").arg("-qq"))?;
    run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages))?;
    let still: Vec<&str> = missing.iter().filter(|need| !(need.is_here)()).map(|need| need.package).collect();
    if still.is_empty() { Ok(()) } else { bail!("installed, and yet not found: {}", still.join(", ")) }
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}
