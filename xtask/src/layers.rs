//! Which crate may use which: the table of layers, held against `cargo metadata`.
//!
//! Direct normal and build dependencies are judged. Tests may use what they like, as nobody builds on them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::cargo;

/// One of the two wings of the house, or the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wing {
    /// Knows no noun of nkudo; never uses the product.
    Toolkit,
    Product,
}

use Wing::{Product, Toolkit};

/// Every crate of the workspace with its layer. A crate uses only lower layers of its wing; the product uses all of
/// the toolkit.
const LAYERS: &[(&str, Wing, u8)] = &[
    ("nkudo-metrics-core", Toolkit, 0),
    ("nkudo-spans", Toolkit, 1),
    ("nkudo-settings", Toolkit, 1),
    ("nkudo-journal", Toolkit, 1),
    ("nkudo-host", Toolkit, 1),
    ("nkudo-supervision", Toolkit, 2),
    ("nkudo-logging", Toolkit, 3),
    ("nkudo-exporter", Toolkit, 3),
    ("nkudo-timeseries", Toolkit, 3),
    ("nkudo-traces", Toolkit, 3),
    ("nkudo-audit", Toolkit, 3),
    ("nkudo-recorder", Toolkit, 4),
    ("nkudo-scribe", Toolkit, 4),
    ("nkudo-domain", Product, 0),
    ("nkudo-catalogue", Product, 1),
    ("nkudo-tracker", Product, 1),
    ("nkudo-fleet", Product, 1),
    ("nkudo-api", Product, 1),
    ("nkudo-pki", Product, 1),
    ("nkudo-providers", Product, 2),
    ("nkudo-rpc", Product, 2),
    ("nkudo-store", Product, 2),
    ("nkudo-client", Product, 2),
    ("nkudo-logbook", Product, 2),
    ("nkudo-executor", Product, 3),
    ("nkudo-agent", Product, 4),
    ("nkudo-control", Product, 4),
    ("nkudo-terminal", Product, 5),
    ("nkudo-sim", Product, 5),
    ("control-plane", Product, 6),
    ("edge-agent", Product, 6),
    ("nkudo", Product, 6),
    ("xtask", Product, 7),
];

/// Crates from outside that only these of ours may use.
const CONFINED: &[(&str, &[&str])] = &[
    ("nix", &["nkudo-host"]),
    ("procfs", &["nkudo-host"]),
    ("rustix", &["nkudo-host"]),
    ("rtnetlink", &["nkudo-host"]),
    ("tracing-subscriber", &["nkudo-spans", "nkudo-logging"]),
    ("sqlx", &["nkudo-store", "nkudo-timeseries", "nkudo-audit"]),
    ("tonic", &["nkudo-rpc"]),
    ("prost", &["nkudo-rpc"]),
    ("rcgen", &["nkudo-pki"]),
    ("anyhow", &["control-plane", "edge-agent", "nkudo", "nkudo-terminal", "xtask"]),
];

/// Crates that decide without I/O, clock or chance.
pub const PURE: &[&str] = &["nkudo-domain", "nkudo-tracker", "nkudo-fleet", "nkudo-slo"];
/// What a pure crate may not see.
const IMPURE: &[&str] = &["tokio", "serde_json", "jiff", "rand", "getrandom", "fastrand", "nkudo-host"];

/// Each crate of the workspace with its direct dependencies.
pub type Graph = BTreeMap<String, Vec<String>>;

/// The graph of this workspace.
pub fn graph() -> Result<Graph> {
    let output = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata speaks JSON")?;
    let packages = metadata["packages"].as_array().context("it lists packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
            let used = all.iter().filter(|dependency| dependency["kind"] != "dev");
            (text(&package["name"]), used.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect())
}

/// Every breach, as a sentence.
pub fn breaches(graph: &Graph) -> Vec<String> {
    let layer = |name: &str| {
        LAYERS.iter().find(|(known, _, _)| *known == name).map(|(_, wing, layer)| (*wing, *layer))
    };
    let mut found = Vec::new();
    for (user, used) in graph {
        let Some((user_wing, user_layer)) = layer(user) else {
            found.push(format!("{user} has no layer; give it one in xtask/src/layers.rs"));
            continue;
        };
        for used in used {
            match layer(used) {
                Some((Product, _)) if user_wing == Toolkit => {
                    found.push(format!("{user} is toolkit and uses {used}, which is product"));
                }
                Some((wing, layer)) if wing == user_wing && layer >= user_layer => {
                    found.push(format!("{user} (layer {user_layer}) uses {used} (layer {layer})"));
                }
                Some(_) | None => {}
            }
            let confined = CONFINED.iter().find(|(name, _)| name == used);
            if confined.is_some_and(|(_, users)| !users.contains(&user.as_str())) {
                found.push(format!("{user} uses {used}, which is confined"));
            }
            if PURE.contains(&user.as_str()) && IMPURE.contains(&used.as_str()) {
                found.push(format!("{user} is pure and uses {used}"));
            }
        }
    }
    for (name, _, _) in LAYERS.iter().filter(|(name, _, _)| !graph.contains_key(*name)) {
        found.push(format!("{name} has a layer and is not there"));
    }
    found
}
