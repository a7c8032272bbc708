//! `cargo xtask bench`: figures beside those of peers, from one run.

mod actions;
mod adoption;
mod history;
mod idle;
pub mod instructions;
mod overhead;
pub(crate) mod stats;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::agent::build;
use crate::interrupt;
use crate::setup::{self, NODE_EXPORTER, QEMU};
use crate::shell::{self, root};

/// VMs of the idle and the adoption measurement.
pub(crate) const VMS: u32 = 20;

/// One figure. Lower is better; what there is none of is null.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub ours: f64,
    pub best_peer: Option<f64>,
    pub peer: Option<&'static str>,
    pub limit: Option<f64>,
    pub ratio_to_best_peer: Option<f64>,
    pub ratio_to_limit: Option<f64>,
}

impl Row {
    /// A figure beside a peer's and the bar that it is to stay under.
    pub fn new(
        name: &str,
        unit: &'static str,
        ours: f64,
        peer: Option<(&'static str, f64)>,
        limit: Option<f64>,
    ) -> Self {
        let ratio = |to: Option<f64>| to.filter(|to| *to > 0.0).map(|to| round(ours / to));
        let best_peer = peer.map(|(_, figure)| figure);
        Self {
            name: name.to_owned(),
            unit,
            ours: round(ours),
            best_peer: best_peer.map(round),
            peer: peer.map(|(name, _)| name),
            limit,
            ratio_to_best_peer: ratio(best_peer),
            ratio_to_limit: ratio(limit),
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// The toolkit crates beside their peers. The program that measures is of another workspace, so that what it compares with
/// never joins the project's dependencies.
pub fn toolkit(json: Option<&Path>) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]);
    command.arg(root().join("xtask/peers/Cargo.toml"));
    command.arg("--target-dir").arg(root().join("target/peers"));
    if let Some(file) = json {
        command.arg("--").arg("--json").arg(std::path::absolute(file)?);
    }
    shell::run(&mut command)
}

/// The agent: what it costs at rest, what it adds to a boot, how long it takes to adopt.
pub fn agent(json: Option<&Path>) -> Result<()> {
    setup::ensure(&[QEMU, NODE_EXPORTER])?;
    interrupt::watch()?;
    let program = build(true)?;
    let mut rows = idle::measure(&program)?;
    rows.extend(overhead::measure(&program)?);
    rows.extend(adoption::measure(&program)?);
    told(&rows, json)
}

/// Durable actions: what they cost through the executor alone, and how soon a journal of them is read again.
pub fn durable_actions(json: Option<&Path>) -> Result<()> {
    told(&actions::measure()?, json)
}

fn told(rows: &[Row], json: Option<&Path>) -> Result<()> {
    print(rows);
    json.map_or(Ok(()), |file| Ok(std::fs::write(file, serde_json::to_string_pretty(rows)?)?))
}

fn print(rows: &[Row]) {
    println!(
        "{:<44} {:>8} {:>12} {:>12} {:>10} {:>8}  peer",
        "name", "unit", "ours", "peer's", "limit", "of limit"
    );
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for row in rows {
        println!(
            "{:<44} {:>8} {:>12} {:>12} {:>10} {:>8}  {}",
            row.name,
            row.unit,
            row.ours,
            shown(row.best_peer),
            shown(row.limit),
            shown(row.ratio_to_limit),
            row.peer.unwrap_or("-")
        );
    }
}
