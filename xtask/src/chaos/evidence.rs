//! What is there after the fire, from those who keep books and from the host itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nkudo_journal::{RealDisk, replay_each_read_only};
use nkudo_tracker::Record;
use serde_json::Value;

use super::judge::{End, Known, Seen};
use crate::agent::Host;
use crate::fleet::ControlPlane;

/// Executions of its own that a host is asked for.
const EXECUTIONS_MAX: &str = "1000";

/// What everybody knows of the actions whose ids begin so.
pub fn known(control: &ControlPlane, host: &Host, prefix: &str) -> Result<BTreeMap<String, Known>> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ours = |value: &Value| Some(text(&value["action_id"])).filter(|id| id.starts_with(prefix));
    for action in control.list("/v1/actions")? {
        let Some(action_id) = ours(&action) else { continue };
        let end = End {
            status: text(&action["status"]),
            changed: action["changed"].as_bool(),
            error: action["error"].as_str().map(str::to_owned),
        };
        known.entry(action_id).or_default().in_books = Some(end);
    }
    for execution in control.list("/v1/executions")? {
        let Some(action_id) = ours(&execution) else { continue };
        known.entry(action_id).or_default().executions.push(text(&execution["status"]));
    }
    let own = host.json(&["executions", "--limit", EXECUTIONS_MAX])?;
    for execution in own["items"].as_array().context("a host lists its executions")? {
        let Some(action_id) = ours(execution) else { continue };
        known.entry(action_id).or_default().host_executions.push(text(&execution["status"]));
    }
    for (action_id, statuses) in journal_ends(&host.state_dir())? {
        if action_id.starts_with(prefix) {
            known.entry(action_id).or_default().journal = statuses;
        }
    }
    Ok(known)
}

/// Every end of every action that a host's journal holds. The host may be writing to it.
fn journal_ends(state_dir: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unreadable = None;
    replay_each_read_only(&RealDisk, &state_dir.join("journal"), |_, bytes: &[u8]| {
        match serde_json::from_slice(bytes) {
            Ok(Record::Ended { action_id, execution: Some(execution), .. }) => {
                ends.entry(action_id.to_string()).or_default().push(execution.status.to_string());
            }
            Ok(_) => {}
            Err(error) => unreadable = Some(error),
        }
    })?;
    unreadable.map_or(Ok(ends), |error| Err(error).context("a record of the journal is not known"))
}

/// Each process that runs a VM of this host, by VM.
pub fn hypervisors(state_dir: &Path) -> BTreeMap<String, Vec<u32>> {
    let vms = state_dir.join("vms");
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for pid in pids() {
        let Ok(cwd) = fs::read_link(format!("/proc/{pid}/cwd")) else { continue };
        let Ok(name) = cwd.strip_prefix(&vms) else { continue };
        // What was removed under a process is named so by the kernel.
        let name = name.to_string_lossy();
        let vm_id = name.strip_suffix(" (deleted)").unwrap_or(&name);
        found.entry(vm_id.to_owned()).or_default().push(pid);
    }
    found
}

/// How a VM is, from the host alone.
pub fn seen(state_dir: &Path, vm_id: &str, hypervisors: &BTreeMap<String, Vec<u32>>) -> Seen {
    let dir = state_dir.join("vms").join(vm_id);
    let events = fs::read_to_string(dir.join("events.out")).unwrap_or_default();
    let count = |event: &str| events.matches(&format!("\"event\": \"{event}\"")).count();
    Seen {
        processes: hypervisors.get(vm_id).cloned().unwrap_or_default(),
        halted: count("STOP"),
        set_going: count("RESUME"),
        directory: dir.is_dir(),
    }
}

/// What a program may keep: the names in its directory at a moment when all was well, and the host's network interfaces.
#[derive(Debug)]
pub struct Before {
    names: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl Before {
    pub fn of(control: &ControlPlane, host: &Host) -> Self {
        Self { names: names(&[&control.data_dir(), &host.state_dir()]), interfaces: taps() }
    }

    /// What is there now that no VM is, and should not be: in words.
    pub fn leaks(&self, control: &ControlPlane, host: &Host) -> BTreeSet<String> {
        let (data_dir, state_dir) = (control.data_dir(), host.state_dir());
        let new = names(&[&data_dir, &state_dir]);
        let mut leaks: BTreeSet<String> =
            new.difference(&self.names).map(|name| format!("{name} was not there before")).collect();
        leaks.extend(
            taps().difference(&self.interfaces).map(|name| format!("network interface {name} is left")),
        );
        for dir in [&data_dir, &state_dir] {
            unfinished(dir, &mut leaks);
        }
        let vms = state_dir.join("vms");
        leaks.extend(entries(&vms).map(|entry| format!("{} is left", entry.path().display())));
        for link in descriptors(host.pid()).filter(|link| Path::new(link).starts_with(&vms)) {
            leaks.insert(format!("the agent has {link} open"));
        }
        leaks
    }
}

fn pids() -> impl Iterator<Item = u32> {
    entries(Path::new("/proc")).filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
}

fn entries(dir: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

fn names(dirs: &[&Path]) -> BTreeSet<String> {
    dirs.iter().flat_map(|dir| entries(dir)).map(|entry| entry.path().display().to_string()).collect()
}

/// Files that somebody began to write and did not put in their place.
fn unfinished(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in entries(dir) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if [".new", ".tmp"].iter().any(|end| name.ends_with(end)) {
            found.insert(format!("{} is unfinished", entry.path().display()));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unfinished(&entry.path(), found);
        }
    }
}

/// What a process has open.
fn descriptors(pid: u32) -> impl Iterator<Item = String> {
    entries(Path::new(&format!("/proc/{pid}/fd")))
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
}

/// Every control group of the host.
pub fn control_groups() -> Vec<PathBuf> {
    fn within(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in entries(dir).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            within(&entry.path(), found);
            found.push(entry.path());
        }
    }
    let mut found = Vec::new();
    within(Path::new("/sys/fs/cgroup"), &mut found);
    found
}

/// The host's taps.
fn taps() -> BTreeSet<String> {
    entries(Path::new("/sys/class/net"))
        .filter(|entry| entry.path().join("tun_flags").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
