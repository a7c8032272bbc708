//! Commands of the host under fire: what is asked for, and what each leaves behind when it is run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::chance::Chance;
use super::judge::Ran;
use crate::agent::Host;

/// What a host under fire has to allow.
pub const ALLOWED: &str = "[commands]\nallow = [\"/bin/sh\"]\n";
/// A busy machine and a row of crashes are no reason to give an action up.
const TIMEOUT_SECONDS: u64 = 600;
/// Longest time that a command takes, in milliseconds: two or three kills.
const TAKES_MS: u64 = 600;

/// A command to ask for.
#[derive(Debug, Clone)]
pub struct AskedCommand {
    pub action_id: String,
    pub body: serde_json::Value,
}

/// Where the commands of a host write down that they are run.
pub fn dir(host: &Host) -> PathBuf {
    host.dir().join("commands")
}

/// A command that says when it begins and when it ends, and leaves a process behind that would outlive it.
pub fn draw(chance: &mut Chance, action_id: String, dir: &Path) -> AskedCommand {
    let takes_ms = chance.below(TAKES_MS);
    let script = format!(
        "trap '' TERM; echo {action_id} >> began; sleep 600 & sleep {}.{:03}; echo {action_id} >> ended",
        takes_ms / 1_000,
        takes_ms % 1_000
    );
    let params =
        json!({"command": "/bin/sh", "args": ["-c", script], "timeout": TIMEOUT_SECONDS, "dir": dir});
    let body = json!({"action_id": action_id, "action_type": "CommandExecute", "params": params,
        "timeout_seconds": TIMEOUT_SECONDS});
    AskedCommand { action_id, body }
}

/// What a command has left behind.
pub fn ran(dir: &Path, action_id: &str) -> Ran {
    let count = |file: &str| {
        let lines = fs::read_to_string(dir.join(file)).unwrap_or_default();
        lines.lines().filter(|line| *line == action_id).count()
    };
    Ran { began: count("began"), ended: count("ended") }
}
