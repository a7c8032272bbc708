//! `cargo xtask test`: every test, on a machine that has nothing yet.

use std::process::Command;

use anyhow::Result;

use crate::setup::{self, BINUTILS, Need, OPENMETRICS_PARSER, PROMTOOL, PYTHON_VENV, QEMU, VALGRIND};
use crate::shell::{self, cargo};
use crate::{bench, collector, coverage};

/// What tests need beside Rust.
const NEEDS: &[Need] = &[QEMU, BINUTILS, PROMTOOL, OPENMETRICS_PARSER, PYTHON_VENV, VALGRIND];

/// Installs what is missing, holds the hottest paths to their instructions, and runs every test: documentation's first, so that the runner's summary comes last.
pub fn run() -> Result<()> {
    setup::ensure(NEEDS)?;
    collector::python()?;
    bench::instructions::run(false)?;
    loom()?;
    shell::run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    if has_nextest() {
        shell::run(cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]))
    } else {
        println!("cargo-nextest is not installed; running with cargo test");
        shell::run(cargo().args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]))
    }
}

/// Runs the tests with counters on every line.
pub fn coverage(packages: &[String]) -> Result<()> {
    if packages.is_empty() {
        setup::ensure(NEEDS)?;
        collector::python()?;
    }
    coverage::measure(packages)
}

/// Goes through every order in which threads can meet in what takes no lock. Loom replaces the atomics of the whole build,
/// which therefore lies apart.
fn loom() -> Result<()> {
    let mut cargo = cargo();
    cargo.env("RUSTFLAGS", "--cfg loom").arg("test").args(["--quiet", "--release", "--target-dir"]);
    cargo.arg(shell::root().join("target/loom"));
    shell::run(cargo.args(["-p", "nkudo-metrics-core", "-p", "nkudo-spans", "--test", "loom"]))
}

pub(crate) fn has_nextest() -> bool {
    let mut version: Command = cargo();
    version.args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}
