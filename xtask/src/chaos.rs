//! `cargo xtask chaos`: trying to break the fleet, in worlds that are simulated and with real programs that are killed.

pub mod chance;
pub mod commands;
pub mod evidence;
pub mod fire;
pub mod judge;
pub mod lives;
pub mod real;
pub mod simulated;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use self::judge::{Breach, Fault};

/// What was tried, as people's scripts read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tried {
    /// Simulated worlds.
    Seeds(u64),
    /// Programs that were killed.
    Kills(u64),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    #[serde(flatten)]
    pub tried: Tried,
    /// Actions that ended in simulated worlds, or that were asked of real programs.
    pub actions: u64,
    pub lost: u64,
    pub doubled: u64,
    pub orphans: u64,
    pub leaks: u64,
    /// Seeds of what broke, whatever it was.
    pub failed_seeds: Vec<u64>,
}

impl Figures {
    pub fn new(tried: Tried) -> Self {
        Self { tried, actions: 0, lost: 0, doubled: 0, orphans: 0, leaks: 0, failed_seeds: Vec::new() }
    }

    /// Counts what broke under this seed; nothing, when nothing did.
    pub fn count(&mut self, seed: u64, breaches: &[Breach]) {
        for breach in breaches {
            *match breach.fault {
                Fault::Lost => &mut self.lost,
                Fault::Doubled => &mut self.doubled,
                Fault::Orphan => &mut self.orphans,
                Fault::Leak => &mut self.leaks,
            } += 1;
        }
        if !breaches.is_empty() && !self.failed_seeds.contains(&seed) {
            self.failed_seeds.push(seed);
        }
    }

    fn write(&self, json: Option<&Path>) -> Result<()> {
        json.map_or(Ok(()), |file| Ok(std::fs::write(file, serde_json::to_string_pretty(self)?)?))
    }
}
