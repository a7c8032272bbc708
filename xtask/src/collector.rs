//! A real collector of traces, for tests: rotel and the protocol's own classes, from Python's package index, in an environment
//! of their own below `target`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::root;

/// What is installed; another version is another environment.
const PACKAGES: [&str; 3] = ["rotel==0.0.1a15", "opentelemetry-proto==1.45.2", "protobuf==7.36.2"];

/// The Python that has the collector; installed when it is not there.
pub fn python() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let dir = target.join("tools").join("collector");
    let (python, done) = (dir.join("bin/python"), dir.join("installed"));
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("Installing {wanted} below {}", dir.display());
    run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .context("Python's venv is needed for it; `cargo xtask test` installs Debian's python3-venv")?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PACKAGES))?;
    std::fs::write(&done, wanted)?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let output =
        command.output().with_context(|| format!("{} does not run", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
